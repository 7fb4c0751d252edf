"""Surveys, as the Explorer answers them (method.md, section 12).

1. The neurons are the atlas': the next-token neurons of the layers of the settings.
2. Each neuron's heads over all its prompts are an answer of their own (`HeadService.overview`), kept in the
   cache as soon as it is there. A survey that was ended on its way, however it was, goes on there.
3. The tables are put together from these answers, so they are the figures of the single questions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from tui_lookups.answering.atlas_service import AtlasService
from tui_lookups.answering.cache_keys import choices
from tui_lookups.answering.engine import Engine
from tui_lookups.answering.head_service import HeadService
from tui_lookups.errors import LookupsError
from tui_lookups.ids import HeadId
from tui_lookups.progress import heard_by, tell
from tui_lookups.results import (
    Atlas,
    AtlasNeuron,
    HeadOverview,
    ServedNeurons,
    Survey,
    SurveyedHead,
    SurveyedNeuron,
    SurveyedPair,
    SurveyPlan,
    SurveyProgress,
)
from tui_lookups.settings_values import format_layers

_TELL_SECONDS = 0.5
"""Least time between two tellings of what a survey has so far."""


class SurveyService:
    """The surveys of one Explorer's model. Thread-safe."""

    def __init__(self, engine: Engine, atlas: AtlasService, heads: HeadService) -> None:
        self._engine = engine
        self._atlas = atlas
        self._heads = heads

    def plan(self, per_layer: int, *, layers: Sequence[int] | None, trimmed: bool | None) -> SurveyPlan:
        """See `Explorer.survey_plan`."""
        atlas = self._neurons(per_layer, self._checked(layers))
        listed = [neuron.neuron for neuron in _neurons_of(atlas)]
        info = self._engine.model_info()
        return SurveyPlan(
            layers=tuple(layer.layer for layer in atlas.layers),
            neurons=len(listed),
            done=sum(self._heads.known_overview(neuron, trimmed=trimmed) is not None for neuron in listed),
            prompts=self._engine.settings.top,
            pairs=sum((info.last_head_layer(neuron.layer) + 1) * info.n_heads for neuron in listed),
        )

    def survey(
        self,
        per_layer: int,
        *,
        layers: Sequence[int] | None,
        trimmed: bool | None,
        progress: Callable[[SurveyProgress], None],
        so_far: Callable[[Survey], None] | None,
    ) -> Survey:
        """See `Explorer.survey`."""
        atlas = self._neurons(per_layer, self._checked(layers))
        return self._grown(atlas, trimmed, progress, so_far)

    def served_by(
        self,
        head: HeadId,
        per_layer: int,
        *,
        layers: Sequence[int] | None,
        trimmed: bool | None,
        progress: Callable[[SurveyProgress], None],
        so_far: Callable[[ServedNeurons], None] | None,
    ) -> ServedNeurons:
        """See `Explorer.served_by`."""
        self._engine.check_head(head)
        info = self._engine.model_info()
        # The others' neurons count in none of the head's figures.
        reached = [layer for layer in self._checked(layers) if info.last_head_layer(layer) >= head.layer]
        if not reached:
            raise _reaches_none(head)

        def part(survey: Survey) -> None:
            served = _served(survey, head)
            if served is not None and so_far is not None:
                so_far(served)

        atlas = self._neurons(per_layer, reached)
        found = _served(self._grown(atlas, trimmed, progress, None if so_far is None else part), head)
        if found is None:
            raise _reaches_none(head)
        return found

    def _neurons(self, per_layer: int, layers: Sequence[int]) -> Atlas:
        return self._atlas.atlas(per_layer, None, None, lambda done, layers: None, layers)

    def _checked(self, layers: Sequence[int] | None) -> tuple[int, ...]:
        """The layers asked for, those of the settings where None. Raises LookupsError for any other."""
        there = self._engine.layers()
        if layers is None:
            return there
        missing = [layer for layer in layers if layer not in there]
        if missing or not layers:
            about = f"Layer {missing[0]} is not surveyed." if missing else "A survey needs a layer."
            raise LookupsError(about, f"The layers are {format_layers(there)} (--layers).")
        return tuple(sorted(set(layers)))

    def _grown(
        self,
        atlas: Atlas,
        trimmed: bool | None,
        progress: Callable[[SurveyProgress], None],
        so_far: Callable[[Survey], None] | None,
    ) -> Survey:
        """The survey of these neurons; `so_far` is told it as it grows, now and then."""
        tables = _Tables()
        due = time.monotonic() + _TELL_SECONDS
        for neuron, overview in self._rows(atlas, trimmed, progress):
            tables.add(neuron, overview)
            if so_far is not None and time.monotonic() >= due:
                so_far(self._survey(atlas, trimmed, tables))
                due = time.monotonic() + _TELL_SECONDS
        return self._survey(atlas, trimmed, tables)

    def _survey(self, atlas: Atlas, trimmed: bool | None, tables: _Tables) -> Survey:
        engine = self._engine
        conventions = engine.conventions(trimmed=trimmed)
        return Survey(
            layers=tuple(layer.layer for layer in atlas.layers),
            per_layer=atlas.per_layer,
            sign=atlas.sign,
            context=conventions.context,
            activity_rule=conventions.activity_rule,
            neurons=tuple(tables.neurons),
            pairs=tuple(tables.pairs),
            heads=tables.heads(),
            provenance=replace(
                engine.provenance(
                    corpus=True,
                    per_layer=atlas.per_layer,
                    layers=",".join(str(layer.layer) for layer in atlas.layers),
                    **choices("overview", conventions),
                ),
                device=tables.device or atlas.provenance.device,
            ),
        )

    def _rows(
        self, atlas: Atlas, trimmed: bool | None, progress: Callable[[SurveyProgress], None]
    ) -> Iterator[tuple[AtlasNeuron, HeadOverview]]:
        """Each neuron's heads, asked one neuron after the other."""
        listed = list(_neurons_of(atlas))
        began, worked = time.monotonic(), list[float]()
        for done, neuron in enumerate(listed):
            # The first one's time has the scan and the loading of the model in it.
            each = sum(worked[1:]) / (len(worked) - 1) if len(worked) > 1 else None
            left = None if each is None else each * (len(listed) - done)
            before = time.monotonic()
            now = SurveyProgress(done, len(listed), before - began, left)
            progress(now)
            tell(now.under_way)
            found = self._heads.known_overview(neuron.neuron, trimmed=trimmed)
            if found is None:
                with heard_by(None):  # its passes are parts of this
                    found = self._heads.overview(neuron.neuron, trimmed=trimmed)
                worked.append(time.monotonic() - before)
            yield neuron, found
        progress(SurveyProgress(len(listed), len(listed), time.monotonic() - began, 0.0))


def _served(survey: Survey, head: HeadId) -> ServedNeurons | None:
    """A head's part of a survey; None where it reaches none of the neurons that have prompts."""
    own = next((row for row in survey.heads if row.head == head), None)
    if own is None:
        return None
    pairs = sorted((p for p in survey.pairs if p.head == head), key=lambda pair: -pair.mean_attribution)
    return ServedNeurons(own, tuple(pairs), survey.provenance)


def _reaches_none(head: HeadId) -> LookupsError:
    return LookupsError(f"{head} reaches none of the surveyed neurons.", "Survey later layers: --layers.")


def _neurons_of(atlas: Atlas) -> Iterator[AtlasNeuron]:
    return (neuron for layer in atlas.layers for neuron in layer.neurons)


def _surveyed(neuron: AtlasNeuron, overview: HeadOverview) -> SurveyedNeuron:
    return SurveyedNeuron(
        neuron=neuron.neuron,
        token=neuron.top_token,
        congruence=neuron.top_congruence,
        prompts=overview.prompts,
        mean_target=overview.mean_target,
        heads=len(overview.heads),
        worth_explaining=sum(head.worth_explaining for head in overview.heads),
        note=overview.note,
    )


def _pairs(neuron: AtlasNeuron, overview: HeadOverview) -> list[SurveyedPair]:
    target = overview.mean_target
    worth = sorted(
        (head for head in overview.heads if head.worth_explaining), key=lambda head: -head.mean_attribution
    )
    return [
        SurveyedPair(
            neuron.neuron,
            neuron.top_token,
            neuron.top_congruence,
            head.head,
            head.mean_attribution,
            head.active_fraction,
            head.mean_attribution / target if target else None,
        )
        for head in worth
    ]


class _Tables:
    """The tables of a survey, as its neurons come."""

    def __init__(self) -> None:
        self.neurons: list[SurveyedNeuron] = []
        self.pairs: list[SurveyedPair] = []
        self.device = ""
        self._attributed: dict[HeadId, list[float]] = {}
        self._targets: dict[HeadId, float] = {}

    def add(self, neuron: AtlasNeuron, overview: HeadOverview) -> None:
        """The next neuron."""
        self.neurons.append(_surveyed(neuron, overview))
        self.pairs += _pairs(neuron, overview)
        self.device = self.device or overview.provenance.device
        if overview.mean_target is not None:
            for head in overview.heads:
                self._attributed.setdefault(head.head, []).append(head.mean_attribution)
                self._targets[head.head] = self._targets.get(head.head, 0.0) + overview.mean_target

    def heads(self) -> tuple[SurveyedHead, ...]:
        """Every head that reaches one of the neurons that have prompts."""
        served: dict[HeadId, list[float]] = {}
        for pair in self.pairs:
            served.setdefault(pair.head, []).append(pair.mean_attribution)
        found = []
        for name in sorted(self._attributed, key=lambda name: (name.layer, name.index)):
            attributed, whole, mine = self._attributed[name], self._targets[name], served.get(name, [])
            found.append(
                SurveyedHead(
                    head=name,
                    reaches=len(attributed),
                    serves=len(mine),
                    mean_attribution=sum(mine) / len(mine) if mine else None,
                    carries=sum(attributed) / whole if whole else None,
                )
            )
        return tuple(found)
