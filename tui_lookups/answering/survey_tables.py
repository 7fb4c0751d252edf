"""The tables of a survey, put together as its neurons come (method.md, section 12)."""

from __future__ import annotations

from tui_lookups.ids import HeadId
from tui_lookups.results import (
    ActiveShare,
    AtlasNeuron,
    HeadOverview,
    SurveyedHead,
    SurveyedLayer,
    SurveyedNeuron,
    SurveyedPair,
)

_STEPS = 10
"""Of the shares of prompts on which a head is active."""


class SurveyTables:
    """The tables of a survey, as its neurons come."""

    def __init__(self) -> None:
        self.neurons: list[SurveyedNeuron] = []
        self.pairs: list[SurveyedPair] = []
        self.device = ""
        self._reaches: dict[HeadId, int] = {}
        self._attributed: dict[HeadId, float] = {}
        self._targets: dict[HeadId, float] = {}
        self._shares = [0] * _STEPS

    def add(self, neuron: AtlasNeuron, overview: HeadOverview) -> None:
        """The next neuron."""
        self.neurons.append(_surveyed(neuron, overview))
        self.pairs += _pairs(neuron, overview)
        self.device = self.device or overview.provenance.device
        if overview.mean_target is not None:
            for head in overview.heads:
                self._reaches[head.head] = self._reaches.get(head.head, 0) + 1
                self._attributed[head.head] = self._attributed.get(head.head, 0.0) + head.mean_attribution
                self._targets[head.head] = self._targets.get(head.head, 0.0) + overview.mean_target
                self._shares[min(_STEPS - 1, int(head.active_fraction * _STEPS + 1e-9))] += 1

    def heads(self) -> tuple[SurveyedHead, ...]:
        """Every head that reaches one of the neurons that have prompts."""
        served: dict[HeadId, list[float]] = {}
        for pair in self.pairs:
            served.setdefault(pair.head, []).append(pair.mean_attribution)
        heads = []
        for name in sorted(self._attributed, key=lambda name: (name.layer, name.index)):
            whole, mine = self._targets[name], served.get(name, [])
            heads.append(
                SurveyedHead(
                    head=name,
                    reaches=self._reaches[name],
                    serves=len(mine),
                    mean_attribution=sum(mine) / len(mine) if mine else None,
                    carries=self._attributed[name] / whole if whole else None,
                )
            )
        return tuple(heads)

    def by_layer(self) -> tuple[SurveyedLayer, ...]:
        """Every layer of a neuron, or of a head that reaches one that fires."""
        explained, serving = {pair.neuron for pair in self.pairs}, {pair.head for pair in self.pairs}
        layers = {row.neuron.layer for row in self.neurons} | {head.layer for head in self._attributed}

        def count(layer: int) -> SurveyedLayer:
            mine = [row for row in self.neurons if row.neuron.layer == layer]
            return SurveyedLayer(
                layer,
                neurons=len(mine),
                fire=sum(row.prompts > 0 for row in mine),
                explained=sum(row.neuron in explained for row in mine),
                pairs=sum(pair.neuron.layer == layer for pair in self.pairs),
                serving=sum(head.layer == layer for head in serving),
                served=sum(pair.head.layer == layer for pair in self.pairs),
            )

        return tuple(count(layer) for layer in sorted(layers))

    def active_shares(self) -> tuple[ActiveShare, ...]:
        """How often heads are active, in steps of equal width."""
        return tuple(
            ActiveShare(step / _STEPS, (step + 1) / _STEPS, pairs) for step, pairs in enumerate(self._shares)
        )


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
