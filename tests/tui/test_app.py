"""The whole walk by keyboard, on a canned explorer, at several sizes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from textual import events
from textual.filter import ANSIToTruecolor
from textual.widgets import Input

from tests.tui.canned import BECAUSE, MODEL, CannedExplorer
from tests.tui.driving import (
    SIZES,
    SMALL,
    hints,
    line,
    press,
    rest,
    running,
    settle,
    type_text,
    until,
)
from tui_lookups.errors import ExportError, NumericalError
from tui_lookups.exports import writing
from tui_lookups.exports.document import ExportDocument
from tui_lookups.exports.reading import read_export
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import SelectedHead, SelectedNeuron, SelectedPrompt
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.palette_commands import entries
from tui_lookups.tui.screens.basket import BasketScreen
from tui_lookups.tui.screens.export import ExportScreen
from tui_lookups.tui.screens.help import HelpScreen, KeyRows
from tui_lookups.tui.widgets.head_detail import HeadDetail
from tui_lookups.tui.widgets.head_grid import HeadGrid
from tui_lookups.tui.widgets.neurons_table import NeuronsTable
from tui_lookups.tui.widgets.prompt_list import PromptList
from tui_lookups.tui.widgets.text import PackedText, WrappedText
from tui_lookups.tui.widgets.token_box import CandidateList


@SIZES
async def test_the_walk_by_keyboard(size: tuple[int, int], tmp_path: Path) -> None:
    explorer = CannedExplorer()
    async with running(explorer, size) as (app, pilot):
        await press(pilot, "t")
        await type_text(pilot, "time")
        rows = app.screen.query_one(CandidateList)
        assert [row.why for row in rows.found.rows[:2]] == ["with a space", "as typed"]
        await press(pilot, "enter")
        assert rows.display, "two tokens were typed: the first enter must not choose"
        await press(pilot, "down", "enter")
        assert app.walk_screen.walk.token is not None
        assert app.walk_screen.walk.token.text == "time"
        assert "time" in line(app, "#token-facts")

        await press(pilot, "down", "down", "space", "enter")
        neuron = app.screen.query_one(NeuronsTable).under_cursor
        assert neuron is not None
        assert app.walk_screen.walk.neuron == neuron.neuron
        assert app.walk_screen.focused_pane == "prompts"
        await press(pilot, "j", "right", "space")
        prompts = app.screen.query_one(PromptList)
        assert prompts.current is not None
        assert prompts.current.rank == 2
        assert f"position {prompts.current.peak.position + 1}" in line(app, "#token-under")

        await press(pilot, "enter")
        await rest(pilot)
        grid = app.screen.query_one(HeadGrid)
        assert app.focused is grid
        assert grid.head is not None
        assert app.walk_screen.walk.heads is not None
        assert app.walk_screen.walk.heads.prompt_id == prompts.current.prompt_id
        parts = app.screen.query_one("#decomposition", PackedText).parts
        assert parts[0].startswith("heads ")
        assert any("rest 0.00" in part for part in parts)
        await press(pilot, "space", "enter")
        assert app.focused is app.screen.query_one(HeadDetail)
        assert "direct" in app.screen.query_one("#head-facts", PackedText).parts[0]

        assert app.selection.neurons == (SelectedNeuron(neuron.neuron, app.walk_screen.walk.token),)
        assert app.selection.prompts == (SelectedPrompt(neuron.neuron, prompts.current.prompt_id),)
        assert app.selection.heads == (
            SelectedHead(neuron.neuron, grid.head, prompts.current.prompt_id, "full"),
        )
        assert "[3 marked]" in line(app, "#token-facts")

        await press(pilot, "x")
        assert isinstance(app.screen, ExportScreen)
        assert app.screen.query_one("#path").value == "lookups-export-time.json"  # type: ignore[attr-defined]
        target = tmp_path / "out.json"
        app.screen.query_one("#path").value = str(target)  # type: ignore[attr-defined]
        await press(pilot, "enter")
        assert read_export(target).selection() == app.selection
        assert target.name in hints(app)

        await press(pilot, "escape", "escape", "escape")
        assert app.walk_screen.focused_pane == "neurons"
        await press(pilot, "q")
    assert app.return_code == 0
    assert not app.is_running


async def test_without_a_token_the_explorer_chooses() -> None:
    async with running(CannedExplorer()) as (app, _):
        walk = app.walk_screen.walk
        assert walk.token == BECAUSE
        assert walk.neuron == NeuronId(5, 371)
        assert "because" in app.screen.query_one("#notice", WrappedText).text


@pytest.mark.parametrize(("given", "opened"), [("time", "time"), (" time", " time"), ("#3", " although")])
async def test_a_given_token_is_opened_as_given(given: str, opened: str) -> None:
    explorer = CannedExplorer()
    async with running(explorer, token=given) as (app, _):
        assert app.walk_screen.walk.token is not None
        assert app.walk_screen.walk.token.text == opened
        assert not any(name == "first_view" for name, _ in explorer.calls)


async def test_a_given_text_of_several_pieces_asks() -> None:
    async with running(CannedExplorer(), token="becausetime") as (app, pilot):
        rows = app.screen.query_one(CandidateList)
        assert rows.display
        assert "pieces" in rows.found.note
        await press(pilot, "enter")
        assert app.walk_screen.walk.token is None
        await press(pilot, "enter")
        assert app.walk_screen.walk.token is not None


async def test_a_line_to_type_on_is_mounted_by_its_key() -> None:
    """Three of them would be a fifth of what the app mounts at its start."""
    async with running(CannedExplorer()) as (app, pilot):
        assert not app.screen.query(Input)
        for keys, name in ((("t",), "token-input"), (("1", "slash"), "filter"), (("2", "slash"), "find")):
            await press(pilot, *keys)
            assert app.focused is app.screen.query_one(f"#{name}")
            await press(pilot, "escape")
        assert len(app.screen.query(Input)) == 3


async def test_a_neuron_by_name() -> None:
    async with running(CannedExplorer()) as (app, pilot):
        await press(pilot, "t")
        await type_text(pilot, "3.44")
        await press(pilot, "enter")
        assert app.walk_screen.walk.neuron == NeuronId(3, 44)
        assert app.walk_screen.focused_pane == "prompts"


async def test_a_neuron_that_does_not_exist_is_said_in_place() -> None:
    """Where it was opened before the model was known: what is typed later is refused."""
    async with running(CannedExplorer()) as (app, pilot):
        app.walk_screen.places.open_neuron(NeuronId(99, 1), "neurons")
        await settle(pilot)
        assert app.screen.query_one(PromptList).empty.startswith("L99.N1 does not exist.")


async def test_enter_before_the_rows_came_waits_for_them() -> None:
    explorer = CannedExplorer(hold=True)
    async with running(explorer) as (app, pilot):
        await press(pilot, "t")
        await type_text(pilot, " time")
        await press(pilot, "enter")
        assert app.walk_screen.walk.token is None
        explorer.release()
        await settle(pilot)
        assert app.walk_screen.walk.token is not None
        assert app.walk_screen.walk.token.text == " time"


async def test_escape_leaves_the_token_box_as_it_was() -> None:
    async with running(CannedExplorer()) as (app, pilot):
        await press(pilot, "t")
        await type_text(pilot, "time")
        await press(pilot, "escape")
        assert app.walk_screen.walk.token == BECAUSE
        assert not app.screen.query_one(CandidateList).display
        assert app.focused is app.screen.query_one(NeuronsTable)


async def test_filters_ask_the_explorer_and_text_filters_rows() -> None:
    explorer = CannedExplorer()
    async with running(explorer) as (app, pilot):
        await press(pilot, "f", "f", "o")
        asked = [call for call in explorer.calls if call[0] == "neurons"]
        assert asked[-1] == ("neurons", (BECAUSE.id, (1,), True))
        assert "layers 1" in line(app, "#token-facts")
        await press(pilot, "F", "F", "o", "slash")
        await type_text(pilot, "l5.n3")
        table = app.screen.query_one(NeuronsTable)
        assert table.under_cursor is not None
        assert 0 < table.row_count() < table.total
        await press(pilot, "escape")
        assert table.row_count() == table.total


async def test_the_skeleton_stands_before_anything_is_loaded() -> None:
    explorer = CannedExplorer(hold=True)
    async with running(explorer, SMALL) as (app, pilot):
        assert app.focused is app.screen.query_one(NeuronsTable)
        assert "Loading" in app.screen.query_one(NeuronsTable).empty
        await press(pilot, "2", "3", "4", "1")
        await press(pilot, "q")
    assert app.return_code == 0, "quitting never waits for the explorer"


async def test_a_failed_load_is_shown_without_markup() -> None:
    explorer = CannedExplorer(hold=True)
    explorer.failure = ("No model [red]x[/INST] here.", "Try --model demo.")
    async with running(explorer) as (app, _):
        text = app.screen.query_one("#notice", WrappedText).text
        assert text == "No model [red]x[/INST] here. Try --model demo."
        assert "see above" in app.screen.query_one(NeuronsTable).empty


async def test_an_error_stays_in_its_pane_and_the_basket_survives() -> None:
    explorer = CannedExplorer()
    explorer.fail["heads"] = NumericalError("NaN in layer 3.", "Try --dtype float32.")
    async with running(explorer) as (app, pilot):
        await press(pilot, "space", "2", "enter")
        assert app.screen.query_one(HeadGrid).empty == "NaN in layer 3.\nTry --dtype float32."
        assert len(app.selection) == 1


async def test_prompts_improve_in_place_while_the_scan_runs() -> None:
    explorer = CannedExplorer(scanned=253)
    async with running(explorer) as (app, pilot):
        await press(pilot, "2", "j", "right")
        prompts = app.screen.query_one(PromptList)
        before = prompts.current
        assert before is not None
        position = prompts.position
        explorer.scanned = 506
        app.walk_screen.steps.neurons.poll()
        await settle(pilot)
        assert prompts.current is not None
        assert len(prompts.prompts) == 20
        assert prompts.current.prompt_id == before.prompt_id
        assert prompts.current.rank == before.rank + 10
        assert prompts.position == position
        calls = len(explorer.calls)
        app.walk_screen.steps.neurons.poll()
        assert len(explorer.calls) == calls, "a finished scan is not asked again"


async def test_heads_are_those_of_the_open_prompt_while_ranks_move() -> None:
    """The ranks may move between asking and answering."""
    explorer = CannedExplorer(scanned=253)
    async with running(explorer) as (app, pilot):
        wanted = app.walk_screen.walk.prompt_id
        app.screen.query_one(PromptList).hold()
        app.walk_screen.walk.heads = None
        explorer.scanned = 506  # rank 1 is another prompt now, which the list does not know yet
        app.walk_screen.steps.heads.open_heads()
        await settle(pilot)
        app.walk_screen.steps.neurons.poll()
        await settle(pilot)
        assert app.walk_screen.walk.heads is not None
        assert app.walk_screen.walk.heads.prompt_id == wanted
        asked = [argument[1] for name, argument in explorer.calls if name == "heads" and argument[2] is None]
        assert set(asked) == {wanted}, "prompts are asked for by their number, which does not move"


async def test_heads_over_all_prompts_and_trimmed() -> None:
    explorer = CannedExplorer()
    async with running(explorer) as (app, pilot):
        await press(pilot, "2", "enter", "a")
        assert "over its 20 prompts" in app.screen.query_one("#heads-pane").words  # type: ignore[attr-defined]
        await press(pilot, "space")
        assert app.selection.heads[0].prompt_id is None
        await press(pilot, "a", "c")
        assert app.walk_screen.walk.heads is not None
        assert app.walk_screen.walk.heads.context == "trimmed"
        await press(pilot, "enter")
        prompt = app.walk_screen.walk.prompt
        source = app.screen.query_one(HeadDetail).source
        assert prompt is not None
        assert source is not None
        await press(pilot, "enter")
        assert app.focused is app.screen.query_one(PromptList)
        token = prompt.tokens[app.screen.query_one(PromptList).position]
        assert token == source.token, "a position of the trimmed text is found in the full window"


async def test_read_directions_of_gated_models() -> None:
    async with running(CannedExplorer(model=replace(MODEL, gated=True))) as (app, pilot):
        await press(pilot, "3", "g")
        assert app.walk_screen.walk.direction == "gate"
        assert "by gate" in app.screen.query_one("#heads-pane").words  # type: ignore[attr-defined]
    async with running(CannedExplorer()) as (app, pilot):
        await press(pilot, "3", "g")
        assert app.walk_screen.walk.direction == "both"
        assert "not gated" in hints(app)


async def test_the_strongest_heads_in_turn() -> None:
    async with running(CannedExplorer()) as (app, pilot):
        await press(pilot, "3")
        grid = app.screen.query_one(HeadGrid)
        assert grid.head == HeadId(3, 2)
        await press(pilot, "n", "N")
        assert grid.head == HeadId(3, 2)
        await press(pilot, "k", "k", "k", "k", "h", "h", "h")
        assert grid.head == HeadId(0, 0)


async def test_the_basket_lists_removes_and_opens_again(tmp_path: Path) -> None:
    explorer = CannedExplorer()
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "x")
        assert "Nothing is marked" in hints(app)
        await press(pilot, "space", "2", "space", "b")
        assert isinstance(app.screen, BasketScreen)
        await press(pilot, "down", "d", "escape")
        assert len(app.selection) == 1
        target = tmp_path / "out.json"
        target.write_text("mine", encoding="utf-8")
        await press(pilot, "x")
        app.screen.query_one("#path").value = str(target)  # type: ignore[attr-defined]
        await press(pilot, "enter")
        assert target.read_text(encoding="utf-8") == "mine", "the first enter must not replace a file"
        assert "exists" in app.screen.query_one("#problem", WrappedText).text
        await press(pilot, "enter")
        assert target.read_text(encoding="utf-8") != "mine"
        kept = app.selection
        await press(pilot, "space")
        assert len(app.selection) == 2
        await press(pilot, "space", "1", "space")
        assert len(app.selection) == 0
        await press(pilot, "O")
        (tmp_path / "none.json").write_text("{}")
        app.screen.query_one("#path").value = str(tmp_path / "none.json")  # type: ignore[attr-defined]
        await press(pilot, "enter")
        assert "no export" in app.screen.query_one("#problem", WrappedText).text
        app.screen.query_one("#path").value = str(target)  # type: ignore[attr-defined]
        await press(pilot, "enter")
        assert app.selection == kept


async def test_an_export_under_another_formats_name_is_refused(tmp_path: Path) -> None:
    explorer = CannedExplorer()
    (tmp_path / "a.csv").write_text("mine")
    async with running(explorer) as (app, pilot):
        await press(pilot, "space", "x")
        app.screen.query_one("#path", Input).value = str(tmp_path / "a.csv")
        await press(pilot, "enter", "enter")
        said = app.screen.query_one("#problem", WrappedText).text
        assert "JSON document" in said
        assert ".json" in said
        assert (tmp_path / "a.csv").read_text() == "mine"


async def test_a_failed_export_keeps_the_dialog_and_the_basket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(document: ExportDocument, path: Path, overwrite: bool) -> Path:
        raise ExportError("The disk is full [red].", "Make room.")

    monkeypatch.setattr(writing, "write_export", full)
    async with running(CannedExplorer()) as (app, pilot):
        await press(pilot, "space", "x")
        app.screen.query_one("#path").value = str(tmp_path / "a.json")  # type: ignore[attr-defined]
        await press(pilot, "enter")
        assert isinstance(app.screen, ExportScreen)
        assert app.screen.query_one("#problem", WrappedText).text == "The disk is full [red]. Make room."
        await press(pilot, "escape")
        assert len(app.selection) == 1


async def test_help_lists_the_keys_of_the_focused_pane() -> None:
    async with running(CannedExplorer(), SMALL) as (app, pilot):
        await press(pilot, "3", "question_mark")
        assert isinstance(app.screen, HelpScreen)
        rows = dict(reversed(app.screen.rows()))
        assert rows["a"] == "This prompt, or the mean over all" or "all" in rows["a"]
        assert "← h" in rows
        assert app.screen.query_one(KeyRows).row_count() > 15
        await press(pilot, "escape", "1", "question_mark")
        assert isinstance(app.screen, HelpScreen)
        assert "o" in dict(app.screen.rows())


async def test_the_palette_has_every_action() -> None:
    async with running(CannedExplorer()) as (app, pilot):
        titles = {entry.title for entry in entries(app, app.screen)}
        for what in (
            "Export what is marked as JSON (x)",
            "Quit the program (q)",
            "Open a token, a neuron or a head by its name (t)",
            "Ask a language model when this head is active (e)",
            "Show only next-token neurons of this token (o)",
            "Use the theme lookups-light",
        ):
            assert what in titles
        await press(pilot, "ctrl+p")
        await type_text(pilot, "basket")
        await pilot.pause(0.3)
        await press(pilot, "enter")
        await pilot.pause(0.2)
        assert isinstance(app.screen, BasketScreen)


async def test_every_binding_has_an_id_and_a_tooltip() -> None:
    async with running(CannedExplorer()) as (app, pilot):
        for pane in "1234":
            await press(pilot, pane)
            ours = [
                a.binding
                for a in app.screen.active_bindings.values()
                if "tui_lookups" in type(a.node).__module__
            ]
            own = [b for b in ours if b.id]
            assert len({b.id for b in own}) > 15
            assert all(b.tooltip for b in own)
            assert not {b.key for b in own} & {"ctrl+i", "ctrl+j", "ctrl+m", "ctrl+h"}


async def test_copying_writes_osc_52(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    async with running(CannedExplorer()) as (app, pilot):
        written: list[str] = []
        assert app._driver is not None
        monkeypatch.setattr(app._driver, "write", written.append)
        await press(pilot, "y")
        assert "\x1b]52;c;TDUuTjM3MQ==\x07" in written  # L5.N371
        monkeypatch.setenv("TMUX", "/tmp/tmux")
        await press(pilot, "y")
        await until(lambda: any(text.startswith("\x1bPtmux;") for text in written), pilot)


@pytest.mark.parametrize(("theme", "converted"), [("ansi-dark", False), ("lookups-dark", True)])
async def test_the_terminals_own_colours_are_not_converted(theme: str, converted: bool) -> None:
    app = LookupsApp(CannedExplorer(), theme=theme)
    assert [f.enabled for f in app._filters if isinstance(f, ANSIToTruecolor)] == [converted]
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        assert [f.enabled for f in app._filters if isinstance(f, ANSIToTruecolor)] == [converted]
        assert app.palette.depth == ("full" if converted else "ansi")
        assert app.has_class(f"-theme-{theme}")
        assert app.screen.styles.background.css == ("rgb(18,22,27)" if converted else "ansi_default")


async def test_themes_go_round() -> None:
    async with running(CannedExplorer()) as (app, pilot):
        seen = {app.theme}
        for _ in range(3):
            await press(pilot, "C")
            seen.add(app.theme)
        assert seen == {"lookups-dark", "lookups-light", "ansi-dark"}


@pytest.mark.parametrize("keys", [("q",), ("ctrl+q",), ("A", "q", "q"), ("t", "escape", "q")])
async def test_a_terminal_too_small_can_be_left(keys: tuple[str, ...]) -> None:
    async with running(CannedExplorer(), SMALL) as (app, pilot):
        await press(pilot, *keys[:1] if len(keys) > 1 else ())
        await pilot.resize_terminal(50, 12)
        await settle(pilot)
        await press(pilot, *keys[1:] or keys)
    assert not app.is_running
    assert app.return_code == 0


@pytest.mark.parametrize("size", [(59, 20), (80, 15), (10, 4), (1, 1)])
async def test_a_terminal_too_small_says_so(size: tuple[int, int]) -> None:
    async with running(CannedExplorer(), size) as (app, pilot):
        assert app.screen.query_one("#too-small").display
        assert not app.screen.query_one("#panes").display
        before = app.walk_screen.places.here()
        await press(pilot, "A", "t", "j", "space", "ctrl+p", "question_mark", "V")
        app.post_message(events.Paste("t"))
        await press(pilot)
        assert app.screen is app.walk_screen, "no key but quit is taken"
        assert (app.walk_screen.places.here(), len(app.selection), app.plain) == (before, 0, False)
        assert "60 x 16 cells are needed; q quits" in hints(app)
        await pilot.resize_terminal(80, 24)
        await settle(pilot)
        assert app.screen.query_one("#panes").display
        assert not app.screen.query_one("#too-small").display
        assert app.focused is app.screen.query_one(NeuronsTable), "the keys of the pane work again"
