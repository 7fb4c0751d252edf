"""The prompts of the neuron under the cursor, where they are cached; moving waits for nothing."""

from __future__ import annotations

import pytest

from tests.tui.canned import CannedExplorer
from tests.tui.driving import LARGE, press, rest, running
from tui_lookups.errors import LookupsError
from tui_lookups.tui.panes.pane import Pane
from tui_lookups.tui.widgets.prompt_list import PromptList


@pytest.mark.parametrize("size", [LARGE, (120, 26)])
async def test_cached_prompts_of_the_neuron_under_the_cursor_are_shown(size: tuple[int, int]) -> None:
    explorer = CannedExplorer(hostile=False)
    rows = explorer.neurons(1).neurons
    async with running(explorer, size) as (app, pilot):
        walk, pane = app.walk_screen.walk, app.screen.query_one("#prompts-pane", Pane)
        rows = walk.ranking.neurons if walk.ranking is not None else ()
        explorer.cached = frozenset([rows[1].neuron])
        opened, prompts = walk.neuron, app.screen.query_one(PromptList)
        await press(pilot, "2", "j", "j", "1")
        own, chosen = prompts.prompts, walk.prompt_id
        assert chosen == own[2].prompt_id
        await press(pilot, "j")
        await rest(pilot)
        assert pane.words == f"Prompts that fire {rows[1].neuron}: enter opens it"
        assert prompts.prompts == explorer.prompts(rows[1].neuron).prompts
        assert (walk.neuron, walk.prompt_id) == (opened, chosen), "what is open is what it was"
        await press(pilot, "j")
        await rest(pilot)
        assert prompts.prompts == own, "of the third nothing is cached"
        assert pane.words == f"Prompts that fire {opened}"
        assert prompts.current == own[2]
        await press(pilot, "k")
        await rest(pilot)
        await press(pilot, "2")
        assert prompts.prompts == own, "leaving the neurons ends it"
        assert (walk.prompt_id, prompts.current) == (chosen, own[2])
        await press(pilot, "1", "enter")
        assert walk.neuron == rows[1].neuron
        assert walk.preview is None


async def test_keys_that_follow_fast_ask_once_and_a_failure_says_nothing() -> None:
    explorer = CannedExplorer(hostile=False)
    explorer.fail["cached_prompts"] = LookupsError("damaged", "again")
    async with running(explorer, LARGE) as (app, pilot):
        await press(pilot, *["j"] * 6)
        await rest(pilot)
        asked = [argument for name, argument in explorer.calls if name == "cached_prompts"]
        assert len(asked) <= 2
        assert "preview" not in app.walk_screen.walk.errors
