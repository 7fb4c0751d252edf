"""Questions about several neurons as one (method.md, section 4).

Each neuron's part is answered by itself and kept in the cache by itself: a group is put together from what is
there, so another group of the same neurons costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tui_lookups.answering.cache_keys import choices
from tui_lookups.answering.engine import Engine
from tui_lookups.answering.head_service import HeadService
from tui_lookups.answering.overviews import HeadOverviews
from tui_lookups.answering.passes import PassesHere
from tui_lookups.answering.peak_inputs import input_of_text
from tui_lookups.answering.prompt_service import PromptService
from tui_lookups.errors import LookupsError
from tui_lookups.ids import NeuronId, check_position
from tui_lookups.progress import Count, heard_by, listener
from tui_lookups.results import HeadAttributions, HeadOverview, SharedHeads, SummedHeads


class GroupService:
    """Groups of one Explorer's neurons. Thread-safe."""

    def __init__(
        self, engine: Engine, prompts: PromptService, heads: HeadService, overviews: HeadOverviews
    ) -> None:
        self._engine = engine
        self._prompts = prompts
        self._heads = heads
        self._overviews = overviews

    def shared_heads(self, neurons: Sequence[NeuronId], *, trimmed: bool | None) -> SharedHeads:
        """The heads of several neurons, each over its own prompts. See `Explorer.shared_heads`."""
        from tui_lookups.analysis.neuron_groups import shared_heads

        members = self._members(neurons)
        conventions = self._engine.conventions(trimmed=trimmed)
        for neuron in members:
            self._overviews.check(neuron, conventions)
        overviews = self._overviews_of(members, trimmed)
        provenance = self._engine.provenance(
            corpus=True, neurons=" ".join(map(str, members)), **choices("overview", conventions)
        )
        return shared_heads(
            overviews,
            least_share=conventions.least_share,
            provenance=replace(provenance, device=overviews[0].provenance.device),
        )

    def _overviews_of(self, members: Sequence[NeuronId], trimmed: bool | None) -> list[HeadOverview]:
        """Each one's heads; those of a layer are asked together, for they share passes."""
        layers: dict[int, list[NeuronId]] = {}
        for neuron in members:
            layers.setdefault(neuron.layer, []).append(neuron)
        count, hear = Count("looking at the heads", len(members), "neurons"), listener()
        found: dict[NeuronId, HeadOverview] = {}
        here = PassesHere(self._engine)
        for mine in layers.values():
            done = len(found)

            def told(finished: int, share: float, done: int = done, of: int = len(mine)) -> None:
                hear(replace(count.at(done + finished), worked=(done + share * of) / len(members)))

            with heard_by(None):  # its passes are parts of this
                overviews = next(self._overviews.of_groups([mine], here, trimmed=trimmed, told=told))
            found |= zip(mine, overviews, strict=True)
        return [found[neuron] for neuron in members]

    def summed_heads(self, neurons: Sequence[NeuronId], text: str, position: int | None) -> SummedHeads:
        """Attribution to the sum of several neurons on a text. See `Explorer.summed_heads`."""
        from tui_lookups.analysis.neuron_groups import summed_heads

        members, conventions = self._members(neurons), self._engine.conventions()
        for neuron in members:
            self._overviews.check(neuron, conventions)
        activations = [self._prompts.activations(neuron, text) for neuron in members]
        summed = [sum(values) for values in zip(*(each.activations for each in activations), strict=True)]
        if position is not None:
            check_position(position, len(summed))
        ids = [token.id for token in activations[0].tokens]
        place = input_of_text(summed, ids, sign=conventions.sign, position=position)
        found = [self._on_text(neuron, text, place.position) for neuron in members]
        return summed_heads(found, conventions.activity_rule, place.sign)

    def _on_text(self, neuron: NeuronId, text: str, position: int) -> HeadAttributions:
        return self._heads.heads(
            neuron, prompt=None, prompt_id=None, text=text, position=position, sources=None, trimmed=None
        )

    def _members(self, neurons: Sequence[NeuronId]) -> list[NeuronId]:
        """Each once. Raises LookupsError for none, BadIdError for one that the model does not have."""
        if not neurons:
            raise LookupsError("A group needs a neuron at least.", "Name neurons, like L5.N371.")
        members = list(dict.fromkeys(neurons))
        for neuron in members:
            self._engine.check_neuron(neuron)
        return members
