"""What fires a neuron, down to earlier neurons, and one edge cut (method.md, sections 9 and 11).

Each is answered from the cache where it can be. The sums are exact under every preset.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tui_lookups.answering.cache_keys import choices
from tui_lookups.answering.checks import check_count, check_folded
from tui_lookups.answering.engine import Engine
from tui_lookups.answering.neuron_places import Place, check_reaches, place_of
from tui_lookups.answering.prompt_service import PromptService
from tui_lookups.answering.scan_session import ScanSession
from tui_lookups.errors import Poll
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import EdgeCut, InputsOverview, NeuronInputs

if TYPE_CHECKING:
    from tui_lookups.model.lookup_model import LookupModel
    from tui_lookups.results.conventions import Conventions


class InputService:
    """What the neurons of one Explorer read. Thread-safe."""

    def __init__(self, engine: Engine, scan: ScanSession, prompts: PromptService) -> None:
        self._engine = engine
        self._scan = scan
        self._prompts = prompts

    def inputs(self, neuron: NeuronId, *, trimmed: bool | None, top: int, **asked: Any) -> NeuronInputs:
        """See `Explorer.inputs`; `asked` as `place_of` has it."""
        peak, key = self._place(neuron, trimmed, top, asked)
        rank = None if peak.prompt is None else peak.prompt.rank

        def work(model: LookupModel, poll: Poll) -> NeuronInputs:
            from tui_lookups.answering import sums

            return sums.inputs(
                model,
                neuron,
                peak.input,
                prompt_id=peak.prompt_id,
                rank=rank,
                context=peak.context,
                top=top,
                provenance=self._engine.provenance(corpus=peak.prompt_id is not None, top=top),
                poll=poll,
            )

        inputs = self._engine.cached(key, NeuronInputs) or self._engine.keep(key, self._engine.on_model(work))
        return replace(inputs, rank=rank)

    def cached(
        self, neuron: NeuronId, *, trimmed: bool | None, top: int, **asked: Any
    ) -> NeuronInputs | None:
        """See `Explorer.cached_inputs`."""
        place, key = self._place(neuron, trimmed, top, asked)
        inputs = self._engine.cached(key, NeuronInputs)
        return (
            None
            if inputs is None
            else replace(inputs, rank=None if place.prompt is None else place.prompt.rank)
        )

    def _place(
        self, neuron: NeuronId, trimmed: bool | None, top: int, asked: Mapping[str, Any]
    ) -> tuple[Place, str]:
        """Where the neuron is looked at, and under which key the answer is kept."""
        check_count("top", top)
        conventions = self._engine.conventions(trimmed=trimmed)
        self._check(neuron)
        place = place_of(self._engine, self._prompts, neuron, conventions, **asked)
        return place, self._key("inputs", conventions, neuron, place, top=top)

    def overview(self, neuron: NeuronId, *, trimmed: bool | None, top: int) -> InputsOverview:
        """See `Explorer.inputs_overview`."""
        check_count("top", top)
        engine, conventions = self._engine, self._engine.conventions(trimmed=trimmed)
        self._check(neuron)
        listed = self._prompts.prompts(neuron, sign=conventions.sign)
        prompts = self._prompts.with_trims(neuron, listed.prompts)

        def work(model: LookupModel, poll: Poll) -> InputsOverview:
            from tui_lookups.answering import sums

            provenance = engine.provenance(
                corpus=True, prompts=len(prompts), top=top, **choices("inputs_overview", conventions)
            )
            overview = sums.inputs_overview(
                model, neuron, prompts, conventions=conventions, top=top, provenance=provenance, poll=poll
            )
            return replace(overview, note=listed.note)

        key = engine.key(
            "inputs_overview",
            conventions,
            corpus=True,
            neuron=str(neuron),
            index=self._scan.key(),
            top=top,
        )
        return engine.cached(key, InputsOverview) or engine.keep(key, engine.on_model(work))

    def cut_edge(
        self, neuron: NeuronId, component: HeadId | NeuronId, *, trimmed: bool | None, **asked: Any
    ) -> EdgeCut:
        """See `Explorer.cut_edge`; `asked` as `place_of` has it."""
        engine, conventions = self._engine, self._engine.conventions(trimmed=trimmed)
        self._check(neuron)
        check_reaches(engine, component, neuron)
        peak = place_of(engine, self._prompts, neuron, conventions, **asked)

        def work(model: LookupModel, poll: Poll) -> EdgeCut:
            from tui_lookups.answering import sums

            provenance = engine.provenance(corpus=peak.prompt_id is not None, context=peak.context)
            return sums.edge_cut(model, neuron, component, peak.input, provenance=provenance, poll=poll)

        key = self._key("edge_cut", conventions, neuron, peak, component=str(component))
        return engine.cached(key, EdgeCut) or engine.keep(key, engine.on_model(work))

    def _key(self, kind: str, conventions: Conventions, neuron: NeuronId, place: Place, **more: Any) -> str:
        return self._engine.key(
            kind,
            conventions,
            corpus=place.prompt_id is not None,
            neuron=str(neuron),
            prompt_id=place.prompt_id,
            context=place.context,
            ids=list(place.input.ids),
            position=place.input.position,
            **more,
        )

    def _check(self, neuron: NeuronId) -> None:
        """Refuse at once what cannot be answered, before minutes of scanning."""
        self._engine.check_neuron(neuron)
        check_folded(self._engine.basis)
