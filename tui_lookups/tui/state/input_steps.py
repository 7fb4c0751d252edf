"""What fires the neuron where its heads are shown, for the pane beside them (method.md, section 9).

1. What is cached is looked up as soon as heads are shown: that runs no model.
2. What is not cached is asked for by `open_inputs`, which the pane calls once no key comes any more.
3. Where other heads are shown, what was asked for the ones before is given up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tui_lookups.tui.state.given_text import GIVEN

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer
    from tui_lookups.results import HeadAttributions, NeuronInputs
    from tui_lookups.tui.state.queries import Queries
    from tui_lookups.tui.state.walk import Part, Walk


class InputSteps:
    """Asks what fires the neuron at the place that the heads of `walk` are about."""

    def __init__(
        self, walk: Walk, explorer: Explorer, queries: Queries, changed: Callable[[Part], None]
    ) -> None:
        self._walk = walk
        self._explorer = explorer
        self._queries = queries
        self._changed = changed
        self._looked_up: HeadAttributions | None = None
        self.uncached = False
        """Whether the cache was looked through and does not have it."""

    def look_up(self) -> None:
        """Show what the cache has, unless that was looked for already."""
        walk = self._walk
        if walk.heads is self._looked_up:
            return
        self._queries.cancel("inputs")
        self._looked_up, self.uncached = walk.heads, False
        walk.errors.pop("inputs", None)
        asked = self._asked()
        if asked is None or walk.neuron is None or walk.shown_inputs is not None:
            return
        neuron, cached = walk.neuron, self._explorer.cached_inputs
        self._queries.ask("inputs", lambda: cached(neuron, **asked), self._take)

    def open_inputs(self) -> None:
        """Ask for it, unless it is known or under way."""
        walk, asked = self._walk, self._asked()
        asked_already = walk.shown_inputs is not None or walk.waiting("inputs")
        if asked is None or walk.neuron is None or asked_already:
            return
        neuron, inputs = walk.neuron, self._explorer.inputs
        self.uncached = False
        self._queries.ask("inputs", lambda: inputs(neuron, **asked), self._take)
        self._changed("inputs")

    def _asked(self) -> dict[str, Any] | None:
        """The place that the heads on screen are about; None without heads."""
        walk, heads = self._walk, self._walk.heads
        if heads is None or heads.neuron != walk.neuron:
            return None
        if walk.prompt_id == GIVEN and walk.given is not None:
            return {"text": walk.given.text, "position": heads.position}
        return {"prompt_id": heads.prompt_id, "trimmed": walk.trimmed}

    def _take(self, found: NeuronInputs | None) -> None:
        self.uncached = found is None
        if found is not None:
            self._walk.inputs = found
        self._changed("inputs")
