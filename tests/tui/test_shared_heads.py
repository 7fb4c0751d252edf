"""The heads that marked neurons share, on screen."""

from __future__ import annotations

import pytest

from tests.tui.canned import CannedExplorer
from tests.tui.driving import LARGE, SMALL, hints, press, running, until
from tests.tui.head_words import asked
from tests.tui.test_hostile import check_widgets
from tui_lookups.errors import LookupsError
from tui_lookups.results import SharedHead
from tui_lookups.tui.screens.shared_heads import SharedHeadsScreen
from tui_lookups.tui.state.orders import SHARED_HEADS, shared_in
from tui_lookups.tui.text.groups import in_sum
from tui_lookups.tui.widgets.paragraphs import Paragraphs
from tui_lookups.tui.widgets.shared_rows import SharedRows
from tui_lookups.tui.widgets.summed_rows import SummedRows
from tui_lookups.tui.widgets.text import TextLines
from tui_lookups.tui.widgets.typed_line import TypedLine

MARK_THREE = ("space", "j", "space", "j", "space")


def own(head: SharedHead, number: int, rows: SharedRows) -> float | None:
    parts = {part.neuron: part.mean_attribution for part in head.neurons}
    return parts.get(rows.neurons[number])


async def test_they_are_sorted_copied_gone_on_from_and_left_as_they_were() -> None:
    explorer = CannedExplorer()
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "space", "G")
        assert app.screen is app.walk_screen
        assert hints(app).startswith("Mark two neurons or more first: space")
        await press(pilot, "space", *MARK_THREE, "G")
        screen = app.screen
        assert isinstance(screen, SharedHeadsScreen)
        rows = screen.query_one(SharedRows)
        neurons = tuple(marked.neuron for marked in app.selection.neurons)
        assert asked(explorer, "shared_heads") == [neurons]
        expected = explorer.shared_heads(neurons)
        assert (rows.heads, rows.neurons) == (expected.heads, neurons)
        assert check_widgets(screen) > 5
        assert f"{expected.heads[0].head}, active for 3 of 3" in rows.plain_row(0)

        await press(pilot, "S", "S", "right", "right", "home")
        assert rows.order == "neuron"
        values = [own(head, 2, rows) for head in rows.heads]
        reached = [value for value in values if value is not None]
        assert values[: len(reached)] == sorted(reached, reverse=True), "those that do not reach it come last"
        words = screen.query_one(Paragraphs).text
        assert f"{rows.heads[0].head} for {neurons[2]}: mean attribution" in words
        assert "for all: " in words

        await press(pilot, "y")
        assert app.clipboard == str(rows.heads[0].head)
        await press(pilot, "Y")
        assert len(app.clipboard.splitlines()) == len(expected.heads) + 1
        await press(pilot, "exclamation_mark")
        assert app.clipboard == f"lookups-tui shared-heads {' '.join(map(str, neurons))}"
        await press(pilot, "percent_sign")
        assert f"explorer.shared_heads([NeuronId({neurons[0].layer}, {neurons[0].index})," in app.clipboard

        await press(pilot, "end", "enter")
        assert app.screen is screen
        assert hints(app).startswith(f"{rows.heads[-1].head} does not reach {neurons[2]}")
        await press(pilot, "home", "down", "enter")
        chosen, walk = rows.heads[1].head, app.walk_screen.walk
        assert app.screen is app.walk_screen
        assert (walk.neuron, walk.head) == (neurons[2], chosen)
        assert walk.token == app.selection.neurons[2].token
        assert app.walk_screen.focused_pane == "detail"
        await press(pilot, "escape")
        rows = app.screen.query_one(SharedRows)
        assert (rows.order, rows.column, rows.current and rows.current.head) == ("neuron", 2, chosen)
        await press(pilot, "escape", "G")
        assert app.screen.query_one(SharedRows).column == 2
        assert len(asked(explorer, "shared_heads")) == 2, "nothing is asked twice; one of these is the test's"


async def test_their_sum_is_looked_at_on_a_text_and_left_for_what_they_share() -> None:
    explorer = CannedExplorer()
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, *MARK_THREE)
        prompt = app.walk_screen.walk.prompt
        assert prompt is not None
        await press(pilot, "G", "down", "t")
        line = app.screen.query_one(TypedLine)
        assert line.value == "".join(token.text for token in prompt.tokens[1 : prompt.peak.position + 1])
        line.value = " some text"
        await press(pilot, "enter")
        screen = app.screen
        assert isinstance(screen, SharedHeadsScreen)
        rows, neurons = screen.query_one(SummedRows), tuple(m.neuron for m in app.selection.neurons)
        assert asked(explorer, "summed_heads") == [(neurons, " some text")], "its spaces are its tokens"
        expected = explorer.summed_heads(neurons, " some text")
        assert rows.has_focus
        assert [row.head for row in rows.heads] == [
            row.head for row in sorted(expected.heads, key=lambda row: -abs(row.attribution))
        ]
        assert check_widgets(screen) > 5
        assert rows.plain_row(0).startswith(f"{rows.heads[0].head}, active, sum +")
        words = screen.query_one(Paragraphs).text
        assert f"for {neurons[0]}: " in words
        assert "earlier MLPs" in words
        assert ", position " in screen.query_one("#shared-title", TextLines).text

        await press(pilot, "S", "right")
        own = [in_sum(head, neurons[1]) or 0.0 for head in rows.heads]
        assert [abs(value) for value in own] == sorted(map(abs, own), reverse=True)
        await press(pilot, "Y")
        assert len(app.clipboard.splitlines()) == len(expected.heads) + 1
        await press(pilot, "exclamation_mark")
        assert app.clipboard.endswith("--text ' some text'")
        await press(pilot, "percent_sign")
        assert "explorer.summed_heads([" in app.clipboard
        await press(pilot, "home", "enter")
        assert app.screen is app.walk_screen
        assert (app.walk_screen.walk.neuron, app.walk_screen.walk.head) == (neurons[1], rows.heads[0].head)
        await press(pilot, "escape")
        assert app.screen.query_one(SummedRows).order == "neuron"
        await press(pilot, "t")
        assert app.screen.query_one(SharedRows).has_focus
        await press(pilot, "t", "enter")
        assert app.screen.query_one(SummedRows).display
        assert len(asked(explorer, "summed_heads")) == 2, "nothing is asked twice; one of these is the test's"


async def test_a_sum_says_how_far_it_is_and_stops() -> None:
    explorer = CannedExplorer()
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, *MARK_THREE, "G")
        explorer.held = []
        await press(pilot, "t", "enter")
        rows = app.screen.query_one(SummedRows)
        await until(lambda: rows.empty.startswith("Looking at the heads of each neuron…"), pilot)
        await press(pilot, "c")
        assert rows.empty.startswith("Stopped")
        explorer.release()
        await press(pilot, "t", "t", "escape")
        assert app.screen.query_one(SharedRows).display, "no text was given"


async def test_a_click_chooses_head_and_neuron_and_columns_scroll() -> None:
    explorer = CannedExplorer()
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, *MARK_THREE, "j", "space", "j", "space", "j", "space", "G")
        rows = app.screen.query_one(SharedRows)
        await pilot.click(SharedRows, offset=(36 + 11, 3))
        assert (rows.column, rows.cursor) == (1, 2)
        await press(pilot, *("right",) * 4)
        assert rows.neuron == rows.neurons[5]
        heading = "".join(segment.text for segment in rows.heading(80))
        assert str(rows.neurons[5]) in heading
        assert str(rows.neurons[0]) not in heading
        assert "‹" in heading


async def test_it_says_how_far_it_is_stops_and_says_what_went_wrong() -> None:
    explorer = CannedExplorer()
    async with running(explorer, LARGE) as (app, pilot):
        await press(pilot, *MARK_THREE)
        explorer.held = []
        await press(pilot, "G")
        rows = app.screen.query_one(SharedRows)
        await until(lambda: rows.empty.startswith("Looking at the heads of each neuron…"), pilot)
        assert "c stops it" in rows.empty
        assert "c stop" in hints(app)
        await press(pilot, "c")
        assert rows.empty.startswith("Stopped")
        assert "c stop" not in hints(app)
        explorer.release()
        explorer.fail["shared_heads"] = LookupsError("No sum closes.", "Leave it [out].")
        await press(pilot, "escape", "G")
        rows = app.screen.query_one(SharedRows)
        await until(lambda: rows.empty == "No sum closes.\nLeave it [out].", pilot)


@pytest.mark.parametrize("order", SHARED_HEADS)
def test_an_order_keeps_every_head(order: str) -> None:
    explorer = CannedExplorer()
    neurons = tuple(row.neuron for row in explorer.neurons(5).neurons[:3])
    heads = explorer.shared_heads(neurons).heads
    found = shared_in(order, heads, neurons[0])  # type: ignore[arg-type]
    assert set(found) == set(heads)
    if order == "sum":
        assert [head.attribution for head in found] == sorted(
            (head.attribution for head in heads), reverse=True
        )
    if order == "head":
        assert [head.head for head in found] == sorted(head.head for head in heads)
