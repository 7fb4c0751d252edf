"""A trace by keyboard: opened node by node, gone on from, left and found again, copied and written."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.tui.canned import BECAUSE, CannedExplorer
from tests.tui.driving import LARGE, SMALL, hints, press, rest, running, settle, type_text
from tests.tui.head_words import asked
from tests.tui.test_hostile import check_widgets
from tests.tui.test_why import state, title
from tests.tui.views import texts
from tui_lookups.errors import LookupsError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.settings import Settings
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.paint.prompt_lines import DIVIDER
from tui_lookups.tui.paint.shading import plain_palette
from tui_lookups.tui.paint.trace_text import place_lines
from tui_lookups.tui.screens.inputs import InputsScreen
from tui_lookups.tui.screens.trace import TraceScreen
from tui_lookups.tui.screens.why import WhyScreen
from tui_lookups.tui.state.given_text import GIVEN
from tui_lookups.tui.state.left_screens import TracePlace
from tui_lookups.tui.state.trace_tree import TraceTree
from tui_lookups.tui.text.continuing import continued_trace
from tui_lookups.tui.text.trace import row_words, trace_sum
from tui_lookups.tui.widgets.text import PackedText
from tui_lookups.tui.widgets.trace_rows import TraceRows
from tui_lookups.tui.widgets.trace_text import TraceText
from tui_lookups.visible import visible

TEXT = "not so"
NEURON = NeuronId(5, 371)


# --- the tree ---


def names(tree: TraceTree) -> list[str]:
    return [row.node.id + (" rest" if row.rest is not None else "") for row in tree.rows]


def check_sums(tree: TraceTree) -> None:
    """Below every open node stand its parts and its rest, and they are it but for its rounding."""
    for row in tree.rows:
        if row.is_open:
            below = [each for each in tree.rows if each.above is row.node]
            assert below[-1].rest is not None or tree.rest(row.node).parts == 0  # type: ignore[union-attr]
            found = math.fsum(each.contribution for each in below)
            assert found == pytest.approx(row.contribution, abs=1e-6)
    shown = tree.shown
    assert shown.leaves + shown.rests + shown.remainder == pytest.approx(tree.first.root.value)


def test_nodes_opened_one_by_one_are_the_trace_opened_at_once() -> None:
    explorer = CannedExplorer()
    tree = TraceTree.of(explorer.trace(TEXT, depth=1))
    for part in tree.parts("root"):
        if part.openable:
            tree = tree.grown(explorer.trace(TEXT, node=part.id, depth=1))
    whole = explorer.trace(TEXT, depth=2)
    assert dict(tree.known) == {node.id: node for node in whole.nodes}
    assert names(tree) == names(TraceTree.of(whole))
    assert (tree.depth, tree.width) == (2, 8)
    shown = tree.shown
    assert (shown.leaves, shown.rests) == pytest.approx((whole.conserved.leaves, whole.conserved.rests))
    check_sums(tree)


def test_a_closed_node_is_one_row_and_opens_as_it_was() -> None:
    explorer = CannedExplorer()
    tree = TraceTree.of(explorer.trace(TEXT, depth=3))
    node = "root/L5.N7"
    shut = tree.shut(node)
    assert [name for name in names(shut) if name.startswith(node)] == [node]
    check_sums(shut)
    assert names(shut.opened(node)) == names(tree)
    assert names(shut.grown(explorer.trace(TEXT, depth=3))) == names(tree), "an answer opens what it has"
    assert names(shut.shut("root").opened(f"{node}/L4.N7")) == names(tree), "what is above it is opened, too"


def test_a_part_that_is_asked_for_by_name_is_taken_out_of_the_rest() -> None:
    explorer = CannedExplorer()
    tree = TraceTree.of(explorer.trace(TEXT, depth=1, width=2))
    asked_for = "root/L5.N9"
    assert asked_for not in names(tree)
    grown = tree.grown(explorer.trace(TEXT, node=asked_for, depth=1, width=2))
    assert grown.rows[4].node.id == "root/L5.N9/L4.N7", "between its like, in order of size"
    before, after = tree.rest(tree.rows[0].node), grown.rest(tree.rows[0].node)
    assert before is not None
    assert after is not None
    assert after.parts == before.parts - 1
    check_sums(grown)
    more = grown.grown(explorer.trace(TEXT, depth=1, width=8))
    assert more.rest(more.rows[0].node) == more.rows[0].node.rest, "now it is told apart anyway"
    check_sums(more)
    fewer = more.grown(explorer.trace(TEXT, depth=1, width=2))
    assert names(fewer) == names(more), "an answer that tells less apart takes nothing away"


def test_places_of_the_text_sum_to_what_is_shown() -> None:
    tree = TraceTree.of(CannedExplorer().trace(TEXT, depth=4))
    root, *others = tree.rows
    places = tree.by_position(root)
    assert len(places) > 1, "heads read earlier tokens"
    assert math.fsum(places.values()) == pytest.approx(tree.shown.leaves)
    for row in others:
        closed = {row.node.position: row.contribution} if row.rest is None else {}
        assert row.is_open or tree.by_position(row) == closed
    lines = place_lines(tree.first.tokens, places, root.contribution, plain_palette(), 60)
    said = ["".join(segment.text for segment in line) for line in lines[1:]]
    assert [int(line.split()[0]) for line in said] == sorted(places, key=lambda at: -abs(places[at]))
    assert {cell_len(line) for line in said} == {60}


# --- by keyboard ---


def rows_of(app: LookupsApp) -> TraceRows:
    return app.screen.query_one(TraceRows)


def under_cursor(app: LookupsApp) -> str:
    row = rows_of(app).current
    assert row is not None
    return row.node.id + (" rest" if row.rest is not None else "")


async def test_from_a_token_to_an_earlier_neuron_and_all_the_way_back() -> None:
    explorer = CannedExplorer(hostile=False)
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "w", "e", "ctrl+u")
        await type_text(pilot, TEXT)
        await press(pilot, "enter", "left", "r")
        screen = app.screen
        assert isinstance(screen, TraceScreen)
        assert asked(explorer, "trace") == [(TEXT, None, None, 2, BECAUSE.id, None, "root", 1, 8)]
        assert title(app).strip().startswith("Why ␣because (40.00%) at 2:")
        assert "rounding" in screen.query_one("#trace-sum", PackedText).parts[-1]
        await press(pilot, "down", "enter", "l", "enter")
        assert under_cursor(app) == "root/L5.N7/L4.N7"
        assert [call[-3] for call in asked(explorer, "trace")[1:]] == ["root/L5.N7", "root/L5.N7/L4.N7"]
        await press(pilot, "h")
        assert not rows_of(app).current.is_open  # type: ignore[union-attr]
        await press(pilot, "h")
        assert under_cursor(app) == "root/L5.N7", "from a closed node to the one above it"
        await press(pilot, "l", "l")
        assert len(asked(explorer, "trace")) == 3, "what was opened is not asked for again"
        before = [row.node.id for row in rows_of(app).rows]
        await press(pilot, "g")
        walk = app.walk_screen.walk
        assert (walk.neuron, walk.prompt_id, walk.token) == (NeuronId(4, 7), GIVEN, BECAUSE)
        await press(pilot, "escape")
        assert isinstance(app.screen, TraceScreen)
        assert [row.node.id for row in rows_of(app).rows] == before
        assert under_cursor(app) == "root/L5.N7/L4.N7"
        await press(pilot, "escape")
        assert isinstance(app.screen, WhyScreen)
        assert app.screen.query_one("#why-text").value == TEXT  # type: ignore[attr-defined]
        await press(pilot, "right", "down", "r")
        assert under_cursor(app) == "root/L0.H0", "the component that it was opened from"
        assert "root/L5.N7/L4.N7" in [row.node.id for row in rows_of(app).rows], "as it was left"
        await press(pilot, "escape", "escape")
        assert app.screen is app.walk_screen


async def test_from_a_neuron_on_its_prompt_a_head_goes_on_in_its_pane() -> None:
    explorer = CannedExplorer(hostile=False)
    async with running(explorer, LARGE) as (app, pilot):
        await press(pilot, "2", "down", "3")
        await rest(pilot)
        first = state(app)
        await press(pilot, "r")
        assert asked(explorer, "trace")[-1][:4] == (None, NEURON, 1001, None)
        assert "What fires L5.N371 (prompt #1001)" in title(app)
        await press(pilot, "down", "down", "enter", "down")
        assert under_cursor(app).startswith("root/L4.H0/@")
        await press(pilot, "g")
        walk = app.walk_screen.walk
        assert (walk.neuron, walk.prompt_id, walk.head) == (NEURON, 1001, HeadId(4, 0))
        assert app.walk_screen.focused_pane == "detail"
        await press(pilot, "escape", "down", "end", "g")
        assert "Only a neuron or a head" in hints(app)
        await press(pilot, "escape")
        assert state(app) == first
        await press(pilot, "I", "r")
        assert isinstance(app.screen, TraceScreen)
        await press(pilot, "q")
        assert isinstance(app.screen, InputsScreen)


async def test_several_levels_and_more_parts_at_once() -> None:
    explorer = CannedExplorer(hostile=True)
    async with running(explorer, LARGE) as (app, pilot):
        await press(pilot, "w", "left", "r", "o")
        roots = [call[-3:] for call in asked(explorer, "trace")]
        assert roots == [("root", 1, 16), ("root", 3, 8)], "more of the root's parts where there is room"
        assert max(row.level for row in rows_of(app).rows) == 3
        check_widgets(app.screen)
        await press(pilot, "plus")
        assert asked(explorer, "trace")[-1][-3:] == ("root", 1, 20), "twice the ten there were"
        await press(pilot, "end", "enter")
        assert under_cursor(app) == "root rest"
        assert "tells more of them apart" in hints(app)
        names_, *cells = rows_of(app).table()
        assert len(cells) == len(rows_of(app).rows)
        assert {len(row) for row in cells} == {len(names_)}
        lines = rows_of(app).plain_lines()
        assert lines[0].startswith("level 0, root, at ")
        await press(pilot, "home", "down", "l", "down", "end", "up", "o")
        assert "Put the cursor on a node that has parts" in hints(app)


async def test_a_wide_screen_has_the_text_beside_the_tree() -> None:
    async with running(CannedExplorer(hostile=True), (300, 80)) as (app, pilot):
        await press(pilot, "w", "left", "r")
        beside, tree = app.screen.query_one(TraceText), app.screen.found  # type: ignore[attr-defined]
        check_widgets(app.screen)
        assert beside.text.startswith("What is shown of the root, by its place in the text: ")
        last = tree.first.tokens[tree.first.position]
        assert f"{visible(last.text)}{DIVIDER}" in beside.text
        before = beside.text
        await press(pilot, "down")
        assert beside.text != before
        assert "which is not open" in beside.text.splitlines()[0]
        await press(pilot, "end")
        assert beside.text.splitlines()[0].strip() == "The others are not told apart: they have no places"
        await pilot.resize_terminal(160, 45)
        assert not beside.region


async def test_opening_is_stopped_by_escape_and_failures_are_said() -> None:
    explorer = CannedExplorer(hostile=False)
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "w", "left")
        explorer.held = []
        await press(pilot, "r")
        shown = " ".join(" ".join(texts(app)).split())
        assert "Running the text" in shown
        assert "esc stops it" in shown
        explorer.release()
        await settle(pilot)
        explorer.held = []
        await press(pilot, "down", "enter", "down", "enter", "enter")
        assert len(explorer.held) == 2, "neither waits for the other, and none is asked for twice"
        assert "Opening L5.N7, L5.H0…" in " ".join(texts(app))
        await press(pilot, "escape")
        explorer.release()
        await settle(pilot)
        assert isinstance(app.screen, TraceScreen)
        assert max(row.level for row in rows_of(app).rows) == 1, "what comes after it was stopped is dropped"
        explorer.fail["trace"] = LookupsError("It does not [close].", "Report it.")
        await press(pilot, "enter")
        assert hints(app) == "It does not [close]. Report it."
        await press(pilot, "escape", "escape", "2", "r")
        assert "It does not [close]." in "\n".join(texts(app))


async def test_it_is_copied_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    explorer = CannedExplorer(hostile=False)
    async with running(explorer, LARGE) as (app, pilot):
        await press(pilot, "2", "r", "down", "enter", "exclamation_mark")
        at = rows_of(app).rows[0].node.position
        asks = f"trace --neuron L5.N371 --prompt-id 1000 --position {at} --depth 2 --width 10"
        assert app.clipboard == f"lookups-tui {asks}"
        await press(pilot, "y")
        assert app.clipboard.startswith("level 1, L4.N7, at ")
        await press(pilot, "x", "enter")
        written = (tmp_path / "lookups-trace.html").read_text(encoding="utf-8")
        assert asked(explorer, "trace")[-1][-3:] == ("root", 2, 10)
        assert "root/L4.N7/L3.N7" in written
        assert "Written: " in hints(app)
        await press(pilot, "x", "ctrl+u", *"t.txt", "enter")
        assert "ends in .html, .json or .graph.json" in " ".join(texts(app))
        await press(pilot, "ctrl+u", *"t.json", "enter")
        assert json.loads((tmp_path / "t.json").read_text("utf-8"))["depth"] == 2


def test_the_command_and_the_notebook_ask_the_same() -> None:
    explorer = CannedExplorer(hostile=False)
    tree = TraceTree.of(explorer.trace(TEXT, token=BECAUSE.id, depth=2))
    place = TracePlace(None, TEXT, None, 2, BECAUSE, tree=tree)
    assert continued_trace("command", place, Settings()) == (
        f"lookups-tui trace 'not so' --position 2 --token '#{BECAUSE.id}' --depth 2 --width 8"
    )
    python = continued_trace("notebook", place, Settings())
    assert f"explorer.trace('not so', position=2, token={BECAUSE.id}, depth=2, width=8)" in python
    of_neuron = TracePlace(NEURON, None, 1000, None, trimmed=True, tree=tree)
    assert "--neuron L5.N371 --trimmed --prompt-id 1000" in continued_trace("command", of_neuron, Settings())
    dash = TracePlace(None, "-so", None, 2, tree=tree)
    assert continued_trace("command", dash, Settings()) == "", "it would be taken for an option"


def test_a_node_says_what_it_is_the_sum_of() -> None:
    tree = TraceTree.of(CannedExplorer().trace(TEXT, depth=2))
    first, *_, source, of_source, rest = (row_words(row, tree, "enter") for row in tree.rows[1:])
    assert first == (
        "L5.N7 at 2 ␣so",
        "adds +3.596, 50.0% of the root",
        "activation 3.10",
        "= 8 parts +2.805, 3,872 others +0.791, rounding +2.0e-07",
    )
    assert source == (
        "L5.H3 reads 0 <|endoftext|> with weight 0.17",
        "adds -0.043, -0.6% of the root",
        "enter opens it",
    )
    assert of_source == ("3,870 other parts of L5.H3", "together +0.086")
    assert rest == ("3,872 other parts of the root", "together +1.582")
    last = TraceTree.of(CannedExplorer().trace(TEXT, neuron=NeuronId(0, 5), depth=1)).rows[1]
    assert row_words(last, tree, "enter")[-1] == "the token itself: it has no parts"
    parts = ("logit 7.191", "shown +3.728", "not told apart +3.463", "rounding +1.8e-06")
    assert trace_sum(tree) == parts
