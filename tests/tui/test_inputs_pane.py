"""What fires the neuron, beside its heads: in terminals with room for it, and without work between keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual.pilot import Pilot

from tests.tui.canned import CannedExplorer
from tests.tui.driving import LARGE, hints, press, running, settle, until
from tests.tui.test_rooms_of_panes import regions
from tests.tui.views import texts
from tui_lookups.errors import UnsupportedModelError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import SelectedNeuron
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.panes import inputs
from tui_lookups.tui.panes.inputs import InputsPane
from tui_lookups.tui.state.given_text import GIVEN
from tui_lookups.tui.state.layouts import PANES, layout_for, pages, panes_of
from tui_lookups.tui.state.rooms import divider_of
from tui_lookups.tui.text.continuing import continued

VAST = (300, 80)
NEURON = NeuronId(5, 371)


@asynccontextmanager
async def at_heads(
    explorer: CannedExplorer, size: tuple[int, int] = VAST
) -> AsyncIterator[tuple[LookupsApp, Pilot[None], InputsPane]]:
    async with running(explorer, size) as (app, pilot):
        await press(pilot, "3")
        yield app, pilot, app.walk_screen.panes.inputs


def sums(explorer: CannedExplorer) -> int:
    """How often a sum was worked out."""
    return sum(name == "inputs" for name, _ in explorer.calls)


@pytest.fixture
def asks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "_QUIET_SECONDS", 0.0)


@pytest.fixture
def never_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "_QUIET_SECONDS", 3600.0)


def test_only_very_large_terminals_have_the_pane() -> None:
    assert layout_for(220, 45) == "vast"
    assert layout_for(219, 45) == layout_for(220, 44) == "wide"
    assert layout_for(300, 80, plain=True) == "narrow"
    assert panes_of("vast") == pages("vast", "neurons") == (*PANES, "inputs")
    assert panes_of("wide") == PANES
    assert divider_of("inputs", "vast") == ("lower", 1)


@pytest.mark.usefixtures("never_quiet")
async def test_between_keys_only_the_cache_is_asked() -> None:
    explorer = CannedExplorer(hostile=False)
    async with at_heads(explorer) as (_, pilot, pane):
        assert ("cached_inputs", NEURON) in explorer.calls
        await press(pilot, "l", "j", "2", "j", "j", "3")
        assert sums(explorer) == 0
        assert "Worked out once no key is pressed." in (*pane.body.plain_lines(), pane.body.empty)
        await press(pilot, "5")
        assert sums(explorer) == 1, "who goes there asks"


@pytest.mark.usefixtures("never_quiet")
async def test_what_is_cached_is_shown_at_once() -> None:
    explorer = CannedExplorer(hostile=False)
    explorer.cached = frozenset([NEURON])
    async with at_heads(explorer) as (_, _, pane):
        assert pane.body.plain_lines()
        assert pane.words == "What fires L5.N371 on prompt 1, direct"


@pytest.mark.usefixtures("asks_at_once")
async def test_without_keys_it_is_worked_out_once_for_each_place() -> None:
    explorer = CannedExplorer(hostile=False)
    async with at_heads(explorer) as (app, pilot, pane):
        await until(lambda: sums(explorer) == 1, pilot)
        first = pane.body.plain_lines()
        assert first
        await press(pilot, "l", "k", "4", "3")
        assert sums(explorer) == 1, "another head is no other sum"
        await press(pilot, "2", "j", "3")
        await until(lambda: pane.words == "What fires L5.N371 on prompt 2, direct", pilot)
        await until(lambda: sums(explorer) == 2, pilot)
        found = app.walk_screen.walk.shown_inputs
        assert found is not None
        assert found.rank == 2


async def test_the_focus_moves_and_no_line_does() -> None:
    async with at_heads(CannedExplorer(hostile=False)) as (app, pilot, _):
        before = regions(app)
        assert set(before) == {*PANES, "inputs"}
        for key in "51234":
            await press(pilot, key)
            assert regions(app) == before
        await press(pilot, "tab")
        assert app.walk_screen.focused_pane == "inputs"
        await press(pilot, "tab")
        assert app.walk_screen.focused_pane == "neurons"
        await press(pilot, "5", "Z")
        assert set(regions(app)) == {"inputs"}
        await press(pilot, "Z", "escape")
        assert app.walk_screen.focused_pane == "detail"
        assert regions(app) == before


async def test_a_neuron_and_a_head_of_the_sum_are_doors() -> None:
    async with at_heads(CannedExplorer(hostile=False)) as (app, pilot, pane):
        walk, rows = app.walk_screen.walk, pane._rows
        await press(pilot, "5")
        kinds = [type(row.component) for row in rows.rows]
        head = rows.rows[kinds.index(HeadId)].component
        await press(pilot, "home", *["j"] * kinds.index(HeadId), "space")
        assert hints(app) == "Nothing to mark here yet."
        await press(pilot, "enter")
        assert (walk.head, app.walk_screen.focused_pane) == (head, "detail")
        neuron = rows.rows[kinds.index(NeuronId)].component
        await press(pilot, "5", "home", *["j"] * kinds.index(NeuronId), "space", "enter")
        assert [item.neuron for item in app.selection.neurons] == [neuron]
        assert app.selection.neurons == (SelectedNeuron(neuron),)  # type: ignore[arg-type]
        assert (walk.neuron, walk.prompt_id) == (neuron, GIVEN)
        await press(pilot, "left_square_bracket")
        assert (walk.neuron, app.walk_screen.focused_pane) == (NEURON, "inputs")


async def test_the_pane_is_a_table_a_command_and_a_line_of_python() -> None:
    async with at_heads(CannedExplorer(hostile=False)) as (app, pilot, pane):
        await press(pilot, "5", "a")
        walk, settings = app.walk_screen.walk, app.walk_screen.explorer.settings
        assert pane.body.table()[0][:2] == ("component", "contribution")
        assert (
            continued("command", walk, "inputs", settings) == "lookups-tui inputs L5.N371 --prompt 1 --full"
        )
        assert "explorer.inputs(NeuronId(5, 371), prompt_id=" in continued(
            "notebook", walk, "inputs", settings
        )


async def test_what_cannot_be_summed_says_why_in_the_pane() -> None:
    explorer = CannedExplorer(hostile=False)
    explorer.fail["inputs"] = UnsupportedModelError("No sum closes.", "Leave out --raw-weights.")
    async with at_heads(explorer) as (app, pilot, _):
        await press(pilot, "5")
        assert any("No sum closes." in text for text in texts(app))


async def test_elsewhere_the_key_opens_the_screen_and_a_smaller_terminal_keeps_a_focus() -> None:
    async with running(CannedExplorer(hostile=False), LARGE) as (app, pilot):
        await press(pilot, "3", "5")
        assert type(app.screen).__name__ == "InputsScreen"
        await press(pilot, "escape")
        await pilot.resize_terminal(*VAST)
        await until(lambda: app.walk_screen.size_class == "vast", pilot)
        await press(pilot, "5")
        assert app.walk_screen.focused_pane == "inputs"
        await pilot.resize_terminal(*LARGE)
        await until(lambda: app.walk_screen.size_class == "wide", pilot)
        assert app.walk_screen.focused_pane == "heads"
        await settle(pilot)
        assert app.focused is app.walk_screen.panes.heads.body
