"""Filters of the neurons: what they leave open, how they end, and what they say where nothing passes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.tui.canned import CannedExplorer
from tests.tui.driving import SMALL, hints, line, press, running, type_text
from tests.tui.views import texts
from tui_lookups.ids import NeuronId
from tui_lookups.results import TokenNeurons
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.state.history import Place
from tui_lookups.tui.state.token_steps import TOP_NEURONS
from tui_lookups.tui.widgets.head_grid import HeadGrid
from tui_lookups.tui.widgets.neurons_table import NeuronsTable
from tui_lookups.tui.widgets.prompt_list import PromptList


class Barren(CannedExplorer):
    """No neuron of layer 0 has the token as its own."""

    def neurons(self, token: str | int, **named: Any) -> TokenNeurons:
        found = super().neurons(token, **named)
        return replace(found, neurons=()) if named.get("layers") == (0,) else found


async def new_token_that_nothing_passes(pilot: Any) -> None:
    await press(pilot, "f", "o", "t")
    await type_text(pilot, " river")
    await press(pilot, "enter")


def shown(app: LookupsApp) -> str:
    return "\n".join(texts(app))


async def test_a_token_without_a_row_has_no_neuron_open() -> None:
    async with running(Barren(hostile=False)) as (app, pilot):
        walk = app.walk_screen.walk
        assert walk.neuron is not None
        await press(pilot, "3", "1")
        await new_token_that_nothing_passes(pilot)
        assert walk.token is not None
        assert walk.token.text == " river"
        assert walk.neuron is None
        assert "›" not in line(app, "#token-facts")
        assert not app.screen.query_one(PromptList).prompts
        assert app.screen.query_one(HeadGrid).head is None
        assert walk.promoted is None
        assert walk.heads is None
        for words in ("layer 0", "own token only", "esc drops them"):
            assert words in shown(app)
        await press(pilot, "2", "3", "4", "e", "P", "1")
        assert app.screen is app.walk_screen


async def test_the_best_neuron_opens_once_rows_pass_again() -> None:
    async with running(Barren(hostile=False), SMALL) as (app, pilot):
        walk = app.walk_screen.walk
        await new_token_that_nothing_passes(pilot)
        assert walk.neuron is None
        await press(pilot, "escape")
        assert walk.layer is None
        assert not walk.own_only
        assert walk.ranking is not None
        assert walk.neuron == walk.ranking.neurons[0].neuron


async def test_a_filter_that_leaves_nothing_keeps_the_neuron_that_was_opened_for_the_token() -> None:
    async with running(Barren(hostile=False), SMALL) as (app, pilot):
        walk = app.walk_screen.walk
        opened = walk.neuron
        await press(pilot, "f")
        assert walk.neuron == opened
        await press(pilot, "f")
        assert walk.ranking is not None
        assert walk.ranking.neurons
        assert walk.neuron == opened


async def test_going_back_to_a_token_without_a_neuron_shows_none() -> None:
    async with running(Barren(hostile=False), SMALL) as (app, pilot):
        walk = app.walk_screen.walk
        await new_token_that_nothing_passes(pilot)
        token = walk.token
        await press(pilot, "t")
        await type_text(pilot, "5.371")
        await press(pilot, "enter")
        assert walk.neuron == NeuronId(5, 371)
        await press(pilot, "left_square_bracket")
        assert (walk.token, walk.neuron) == (token, None)
        await press(pilot, "right_square_bracket")
        assert walk.neuron == NeuronId(5, 371)


async def test_a_neuron_opened_meanwhile_is_not_replaced_by_the_best_one() -> None:
    async with running(Barren(hostile=False), SMALL) as (app, pilot):
        walk = app.walk_screen.walk
        await new_token_that_nothing_passes(pilot)
        app.walk_screen.places.open_place(Place(walk.token, NeuronId(5, 371), pane="prompts"))
        await press(pilot, "1", "escape")
        assert walk.ranking is not None
        assert walk.neuron == NeuronId(5, 371)


async def test_escape_ends_the_text_filter() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        table = app.screen.query_one(NeuronsTable)
        await press(pilot, "slash")
        await type_text(pilot, "L5")
        await press(pilot, "enter")
        assert table.needle == "L5"
        await press(pilot, "2", "escape")
        assert table.needle == "L5", "escape goes back first"
        await press(pilot, "escape")
        assert table.needle == ""
        assert table.row_count() == table.total
        assert not app.screen.query_one("#filter").display
        await press(pilot, "escape")
        assert app.focused is table


@pytest.mark.parametrize("name", ["L3.N333", "3.333"])
async def test_a_whole_name_opens_the_neuron_though_it_is_not_listed(name: str) -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "slash")
        await type_text(pilot, name)
        said = shown(app)
        assert f"the {TOP_NEURONS} strongest" in said
        assert "enter opens L3.N333" in said
        await press(pilot, "enter")
        assert app.walk_screen.walk.neuron == NeuronId(3, 333)
        assert app.focused is app.screen.query_one(PromptList)
        assert app.screen.query_one(NeuronsTable).needle == ""


async def test_a_text_that_no_row_has_says_where_it_looked() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "slash")
        await type_text(pilot, "zzz")
        said = shown(app)
        assert f"the {TOP_NEURONS} strongest" in said
        assert "t, then its name" in said
        await press(pilot, "enter")
        assert "esc ends the filter" in shown(app)


async def test_a_name_of_no_neuron_is_not_opened_from_the_filter() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        opened = app.walk_screen.walk.neuron
        await press(pilot, "slash")
        await type_text(pilot, "5.9999")
        assert "opens" not in shown(app).split("strongest")[1].splitlines()[0]
        await press(pilot, "enter")
        assert app.walk_screen.walk.neuron == opened
        assert "L5.N9999 does not exist" in hints(app)
