"""All that moves a walk along: to a token, to a neuron and its prompts, to heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tui_lookups.tui.state.head_steps import HeadSteps
from tui_lookups.tui.state.input_steps import InputSteps
from tui_lookups.tui.state.neuron_steps import NeuronSteps
from tui_lookups.tui.state.token_steps import TokenSteps

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer
    from tui_lookups.tui.state.queries import Queries
    from tui_lookups.tui.state.walk import Part, Walk


class Steps:
    """Changes `walk`, and tells `changed` which part of it. `later` does something after the next paint."""

    def __init__(
        self,
        explorer: Explorer,
        queries: Queries,
        walk: Walk,
        changed: Callable[[Part], None],
        later: Callable[[Callable[[], None]], object],
    ) -> None:
        self.heads = HeadSteps(walk, explorer, queries, changed)
        self.inputs = InputSteps(walk, explorer, queries, changed)
        self.neurons = NeuronSteps(walk, explorer, queries, changed, self.heads)
        self.tokens = TokenSteps(walk, explorer, queries, changed, self.neurons, later)
