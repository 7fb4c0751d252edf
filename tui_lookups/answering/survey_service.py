"""Surveys, as the Explorer answers them (method.md, section 12).

1. The neurons are the atlas': the next-token neurons of the layers of the settings.
2. Each neuron's heads over all its prompts are an answer of their own (`HeadService.overview`), kept in the
   cache as soon as it is there. A survey that was ended on its way, however it was, goes on there.
3. The tables are put together from these answers, so they are the figures of the single questions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
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

Row = tuple[AtlasNeuron, HeadOverview]


class SurveyService:
    """The surveys of one Explorer's model. Thread-safe."""

    def __init__(self, engine: Engine, atlas: AtlasService, heads: HeadService) -> None:
        self._engine = engine
        self._atlas = atlas
        self._heads = heads

    def plan(self, per_layer: int, *, trimmed: bool | None) -> SurveyPlan:
        """See `Explorer.survey_plan`."""
        atlas = self._neurons(per_layer)
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
        self, per_layer: int, *, trimmed: bool | None, progress: Callable[[SurveyProgress], None]
    ) -> Survey:
        """See `Explorer.survey`."""
        engine = self._engine
        conventions = engine.conventions(trimmed=trimmed)
        atlas = self._neurons(per_layer)
        rows = list(self._rows(atlas, trimmed, progress))
        return Survey(
            layers=tuple(layer.layer for layer in atlas.layers),
            per_layer=per_layer,
            sign=atlas.sign,
            context=conventions.context,
            activity_rule=conventions.activity_rule,
            neurons=tuple(_surveyed(*row) for row in rows),
            pairs=tuple(pair for row in rows for pair in _pairs(*row)),
            heads=_heads(rows),
            provenance=replace(
                engine.provenance(
                    corpus=True,
                    per_layer=per_layer,
                    layers=",".join(str(layer.layer) for layer in atlas.layers),
                    **choices("overview", conventions),
                ),
                device=atlas.provenance.device if not rows else rows[0][1].provenance.device,
            ),
        )

    def served_by(
        self,
        head: HeadId,
        per_layer: int,
        *,
        trimmed: bool | None,
        progress: Callable[[SurveyProgress], None],
    ) -> ServedNeurons:
        """See `Explorer.served_by`."""
        self._engine.check_head(head)
        survey = self.survey(per_layer, trimmed=trimmed, progress=progress)
        own = next((row for row in survey.heads if row.head == head), None)
        if own is None:
            raise LookupsError(
                f"{head} reaches none of the surveyed neurons.", "Survey later layers: --layers."
            )
        pairs = sorted(
            (pair for pair in survey.pairs if pair.head == head), key=lambda pair: -pair.mean_attribution
        )
        return ServedNeurons(own, tuple(pairs), survey.provenance)

    def _neurons(self, per_layer: int) -> Atlas:
        return self._atlas.atlas(per_layer, None, None, lambda done, layers: None)

    def _rows(
        self, atlas: Atlas, trimmed: bool | None, progress: Callable[[SurveyProgress], None]
    ) -> Iterator[Row]:
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
        )
        for head in worth
    ]


def _heads(rows: Iterable[Row]) -> tuple[SurveyedHead, ...]:
    """Every head that reaches one of the neurons that have prompts."""
    attributed: dict[HeadId, list[float]] = {}
    served: dict[HeadId, list[float]] = {}
    targets: dict[HeadId, float] = {}
    for _, overview in rows:
        if overview.mean_target is None:
            continue
        for head in overview.heads:
            attributed.setdefault(head.head, []).append(head.mean_attribution)
            targets[head.head] = targets.get(head.head, 0.0) + overview.mean_target
            if head.worth_explaining:
                served.setdefault(head.head, []).append(head.mean_attribution)
    found = []
    for name in sorted(attributed, key=lambda name: (name.layer, name.index)):
        whole, mine = targets[name], served.get(name, [])
        found.append(
            SurveyedHead(
                head=name,
                reaches=len(attributed[name]),
                serves=len(mine),
                mean_attribution=sum(mine) / len(mine) if mine else None,
                carries=sum(attributed[name]) / whole if whole else None,
            )
        )
    return tuple(found)
