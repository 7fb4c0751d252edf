"""The heads of a walk: behind the open prompt's peak, over all prompts, and what the chosen one reads.

A head question names its prompt by its number in the corpus; an answer for another prompt than the open one
is dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.tui.state.walk_state import WalkState

if TYPE_CHECKING:
    from tui_lookups.ids import HeadId
    from tui_lookups.results import Direction, HeadAttribution, HeadAttributions, HeadOverview

_NEXT_DIRECTION: dict[Direction, Direction] = {"both": "gate", "gate": "up", "up": "both"}


class WalkHeads(WalkState):
    """Asks about heads; knows the neuron and the prompt that are open."""

    @property
    def gated(self) -> bool | None:
        """Whether head attributions come with their gate and up shares; None until the model is known."""
        if self.heads is not None:
            return self.heads.provenance.model.gated
        model = self._explorer.status().model  # no prompt's heads need to have been open
        return None if model is None else model.gated

    @property
    def shown_direction(self) -> Direction:
        """The read direction whose share of a head is on screen; over all prompts there is only their sum."""
        return self.direction if self.gated and not self.over_all else "both"

    def score(self, head: HeadAttribution) -> float:
        """A head's attribution through the read direction that is chosen."""
        if self.direction == "gate" and head.gate is not None:
            return head.gate
        if self.direction == "up" and head.up is not None:
            return head.up
        return head.attribution

    def open_heads(self) -> None:
        """Attribute the open prompt's peak to the heads, unless that is known; over all prompts where these
        are shown."""
        if self.over_all:
            self.open_overview()
        neuron, prompt = self.neuron, self.prompt
        if neuron is None or prompt is None:
            return
        if self.heads is not None and self.heads.prompt_id == prompt.prompt_id:
            return
        if self.waiting("heads"):
            return
        trimmed = self.trimmed

        def done(heads: HeadAttributions) -> None:
            if heads.prompt_id != self.prompt_id:
                return
            self.heads = heads
            self._changed("heads")
            if self.head is not None:
                self._ask_sources(self.head)

        self._ask(
            "heads", lambda: self._explorer.heads(neuron, prompt_id=prompt.prompt_id, trimmed=trimmed), done
        )
        self._changed("heads")

    def open_overview(self) -> None:
        """Ask for the heads over all the neuron's prompts, once."""
        neuron, trimmed = self.neuron, self.trimmed
        if neuron is None or self.overview is not None or self.waiting("overview"):
            return

        def done(overview: HeadOverview) -> None:
            self.overview = overview
            self._changed("overview")

        self._ask(
            "overview", lambda: self._explorer.heads_overview(neuron, trimmed=trimmed, wait=False), done
        )

    def toggle_over_all(self) -> None:
        """Switch between one prompt and all prompts."""
        self.over_all = not self.over_all
        if self.over_all:
            self.open_overview()
        self._changed("heads")

    def toggle_trimmed(self) -> None:
        """Switch between the full window and the trimmed prompt as the text that is attributed."""
        as_set = self.heads is not None and self.heads.context == "trimmed"
        # Not by what is shown alone: a prompt that cannot be trimmed is shown whole in either mode.
        self.take_context(trimmed=not (as_set if self.trimmed is None else self.trimmed))

    def take_context(self, *, trimmed: bool) -> None:
        """Attribute trimmed prompts, or full windows; what is shown of the other is asked for anew."""
        if trimmed == self.trimmed:
            return
        self.trimmed = trimmed
        self._queries.cancel("heads", "overview", "sources")
        self.heads = self.overview = self.sources = None
        self.open_heads()
        if self.over_all:
            self.open_overview()

    def cycle_direction(self) -> None:
        """Gated MLPs: both read directions, the gate's, or W_in's."""
        self.direction = _NEXT_DIRECTION[self.direction]
        self._changed("heads")

    def choose_head(self, head: HeadId) -> None:
        """Put the cursor on a head; `open_sources` asks for what it reads."""
        if head != self.head:
            self.head = head
            self.sources = None
            self._queries.cancel("sources")
            self._changed("sources")

    def open_sources(self) -> None:
        """Ask which tokens the chosen head reads from, on the open prompt."""
        if self.head is not None and self.heads is not None and self.sources is None:
            self._ask_sources(self.head)

    def _ask_sources(self, head: HeadId) -> None:
        neuron, prompt, trimmed = self.neuron, self.prompt, self.trimmed
        reachable = self.heads is not None and any(score.head == head for score in self.heads.heads)
        if neuron is None or prompt is None or not reachable:
            return

        def done(sources: HeadAttributions) -> None:
            if sources.prompt_id == self.prompt_id and sources.source_head == self.head:
                self.sources = sources
                self._changed("sources")

        self._ask(
            "sources",
            lambda: self._explorer.heads(neuron, prompt_id=prompt.prompt_id, sources=head, trimmed=trimmed),
            done,
        )
