"""A neuron's first prompts are on screen before the list is worked out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from tests.tui.canned import CannedExplorer
from tests.tui.driving import LARGE, running, until
from tui_lookups.ids import NeuronId
from tui_lookups.results import NeuronPrompts
from tui_lookups.tui.widgets.prompt_list import PromptList


class Slow(CannedExplorer):
    """Tells four prompts, then waits to be let go before it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.threads = True
        self.let_go = threading.Event()

    def prompts(
        self,
        neuron: NeuronId,
        *,
        top: int | None = None,
        wait: bool = True,
        so_far: Callable[[NeuronPrompts], None] | None = None,
    ) -> NeuronPrompts:
        found = super().prompts(neuron, top=top, wait=wait)
        if so_far is not None:
            so_far(replace(found, prompts=found.prompts[:4]))
            self.let_go.wait(60)
        return found


async def test_the_first_few_are_shown_at_once_and_the_rest_follows() -> None:
    explorer = Slow()
    try:
        async with running(explorer, LARGE) as (app, pilot):
            shown, walk = app.screen.query_one(PromptList), app.walk_screen.walk
            await until(lambda: len(shown.prompts) == 4, pilot)
            assert walk.waiting("prompts")
            assert walk.prompt_id == shown.prompts[0].prompt_id
            assert walk.figures is None, "they are of the whole list"
            explorer.let_go.set()
            await until(lambda: len(shown.prompts) == 20, pilot)
            await until(lambda: walk.figures is not None, pilot)
    finally:
        explorer.let_go.set()


async def test_a_prompt_that_is_to_be_opened_is_waited_for_beyond_the_first_few() -> None:
    explorer = Slow()
    wanted = CannedExplorer().prompts(NeuronId(5, 371)).prompts[9].prompt_id
    try:
        async with running(explorer, LARGE) as (app, pilot):
            walk = app.walk_screen.walk
            await until(lambda: walk.prompts is not None, pilot)
            app.walk_screen.steps.neurons.open_neuron(NeuronId(2, 2))
            app.walk_screen.steps.neurons.open_neuron(NeuronId(5, 371), prompt_id=wanted)
            await until(lambda: walk.prompts is not None and len(walk.prompts.prompts) == 4, pilot)
            assert walk.wanted_prompt == wanted
            explorer.let_go.set()
            await until(lambda: walk.prompt_id == wanted, pilot)
    finally:
        explorer.let_go.set()
