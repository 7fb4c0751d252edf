"""The heads of a walk: behind the open prompt's peak, over all prompts, and what the chosen one reads.

A head question names its prompt by its number in the corpus; an answer for another prompt than the open one
is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from tui_lookups.tui.state.given_text import GIVEN

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer
    from tui_lookups.ids import HeadId
    from tui_lookups.results import Direction, HeadAttributions, HeadOverview
    from tui_lookups.tui.state.queries import Queries
    from tui_lookups.tui.state.walk import Part, Walk

_MOST_ATTENDED = 12
"""Heads of which what they attend to is asked before the cursor was on them: those of the largest figures."""
_NEXT_DIRECTION: dict[Direction, Direction] = {"both": "gate", "gate": "up", "up": "both"}


class HeadSteps:
    """Asks about heads of the neuron and the prompt that are open."""

    def __init__(
        self, walk: Walk, explorer: Explorer, queries: Queries, changed: Callable[[Part], None]
    ) -> None:
        self._walk = walk
        self._explorer = explorer
        self._queries = queries
        self._changed = changed

    def open_heads(self) -> None:
        """Attribute the open prompt's peak to the heads, unless that is known; over all prompts where these
        are shown."""
        walk = self._walk
        if walk.over_all:
            self.open_overview()
        neuron, prompt = walk.neuron, walk.prompt
        if neuron is None or prompt is None:
            return
        if walk.heads is not None and _prompt_of(walk.heads) == prompt.prompt_id:
            return
        if walk.waiting("heads"):
            return
        ask = self._heads_on(prompt.prompt_id)

        def done(heads: HeadAttributions) -> None:
            if _prompt_of(heads) != walk.prompt_id:
                return
            walk.heads, walk.attended = heads, {}
            self._changed("heads")
            if walk.head is not None:
                self._ask_sources(walk.head)

        self._queries.ask("heads", lambda: ask(neuron), done)
        self._changed("heads")

    def _heads_on(self, prompt_id: int) -> Callable[..., HeadAttributions]:
        """The question about heads on a prompt, or on the text that was given."""
        walk, heads = self._walk, self._explorer.heads
        if prompt_id == GIVEN and walk.given is not None and walk.given_prompt is not None:
            return partial(heads, text=walk.given.text, position=walk.given_prompt.peak.position)
        return partial(heads, prompt_id=prompt_id, trimmed=walk.trimmed)

    def open_overview(self) -> None:
        """Ask for the heads over all the neuron's prompts, once."""
        walk, explorer = self._walk, self._explorer
        neuron, trimmed = walk.neuron, walk.trimmed
        if neuron is None or walk.overview is not None or walk.waiting("overview"):
            return

        def done(overview: HeadOverview) -> None:
            walk.overview = overview
            self._changed("overview")

        self._queries.ask(
            "overview", lambda: explorer.heads_overview(neuron, trimmed=trimmed, wait=False), done
        )

    def toggle_over_all(self) -> None:
        """Switch between one prompt and all prompts."""
        self._walk.over_all = not self._walk.over_all
        if self._walk.over_all:
            self.open_overview()
        self._changed("heads")

    def stop_overview(self) -> bool:
        """Give up what is being asked over all prompts, for one prompt again; whether there was anything."""
        if not (self._walk.over_all and self._walk.waiting("overview")):
            return False
        self._queries.cancel("overview")
        self.toggle_over_all()
        return True

    def toggle_trimmed(self) -> None:
        """Switch between the full window and the trimmed prompt as the text that is attributed."""
        walk = self._walk
        as_set = walk.heads is not None and walk.heads.context == "trimmed"
        # Not by what is shown alone: a prompt that cannot be trimmed is shown whole in either mode.
        self.take_context(trimmed=not (as_set if walk.trimmed is None else walk.trimmed))

    def take_context(self, *, trimmed: bool) -> None:
        """Attribute trimmed prompts, or full windows; what is shown of the other is asked for anew."""
        walk = self._walk
        if trimmed == walk.trimmed:
            return
        walk.trimmed = trimmed
        self._queries.cancel("heads", "overview", "sources", "attended")
        walk.heads = walk.overview = walk.sources = None
        self.open_heads()
        if walk.over_all:
            self.open_overview()

    def cycle_direction(self) -> None:
        """Gated MLPs: both read directions, the gate's, or W_in's."""
        self._walk.direction = _NEXT_DIRECTION[self._walk.direction]
        self._changed("heads")

    def choose_head(self, head: HeadId) -> None:
        """Put the cursor on a head; `open_sources` asks for what it reads."""
        if head != self._walk.head:
            self._walk.head = head
            self._walk.sources = None
            self._queries.cancel("sources")
            self._changed("sources")

    def open_sources(self) -> None:
        """Ask which tokens the chosen head reads from, on the open prompt."""
        if self._walk.head is not None and self._walk.heads is not None and self._walk.sources is None:
            self._ask_sources(self._walk.head)

    def _ask_sources(self, head: HeadId) -> None:
        walk, neuron, prompt = self._walk, self._walk.neuron, self._walk.prompt
        reachable = walk.heads is not None and any(score.head == head for score in walk.heads.heads)
        if neuron is None or prompt is None or not reachable:
            return

        def done(sources: HeadAttributions) -> None:
            if _prompt_of(sources) == walk.prompt_id and sources.source_head == walk.head:
                walk.sources = sources
                self._take_attended(head, sources)
                self._changed("sources")

        ask = self._heads_on(prompt.prompt_id)
        self._queries.ask("sources", lambda: ask(neuron, sources=head), done)

    def open_attended(self) -> None:
        """Ask what the largest heads attend to, one after the other: no other question waits for them all."""
        walk, heads, neuron, prompt = self._walk, self._walk.heads, self._walk.neuron, self._walk.prompt
        if heads is None or neuron is None or prompt is None or self._queries.waiting("attended"):
            return
        largest = sorted(heads.heads, key=lambda score: -abs(walk.score(score)))[:_MOST_ATTENDED]
        head = next((score.head for score in largest if score.head not in walk.attended), None)
        if head is None:
            return

        def done(sources: HeadAttributions) -> None:
            if walk.heads is not heads:
                return
            self._take_attended(head, sources)
            self._changed("sources")
            if head in walk.attended:
                self.open_attended()

        ask = self._heads_on(prompt.prompt_id)
        self._queries.ask("attended", lambda: ask(neuron, sources=head), done)

    def _take_attended(self, head: HeadId, sources: HeadAttributions) -> None:
        weighted = [source for source in sources.sources if source.weight is not None]
        if weighted:
            self._walk.attended[head] = max(weighted, key=lambda source: source.weight or 0.0)


def _prompt_of(heads: HeadAttributions) -> int:
    """The number of the prompt that was attributed, that of the given text where it was none."""
    return GIVEN if heads.prompt_id is None else heads.prompt_id
