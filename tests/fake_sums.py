"""Fixed exact sums for the command line's tests."""

from __future__ import annotations

from tests.fake_answers import BECAUSE, HOSTILE, NEURON, PROVENANCE, TOKENS
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import (
    Attends,
    Carried,
    Contributions,
    EdgeCut,
    HeadContribution,
    InputsOverview,
    Key,
    LayerOfWhy,
    LogitTarget,
    NeuronContribution,
    NeuronInputMean,
    NeuronInputs,
    OtherContributions,
    PairContribution,
    Prediction,
    Removed,
    Target,
    Why,
)

CONTRIBUTIONS = Contributions.of(
    heads=(HeadContribution(HeadId(0, 0), 0.5), HeadContribution(HeadId(3, 1), -1.25)),
    neurons=(
        NeuronContribution(NEURON, 4.25, 2.5, 1.05, 6.125, BECAUSE, True),
        NeuronContribution(NeuronId(4, 19), 1.0, -0.25),
    ),
    neurons_by_layer=(0.5, 1.75),
    other=OtherContributions(0.25, 0.125, -0.0625, 0.5),
    target=2.375,
)


def why(foil: str | None, top: int) -> Why:
    layers = (LayerOfWhy(0, 0.5, 0.5, 0.0625, 1.5, HOSTILE), LayerOfWhy(1, -1.25, 1.75, 0.0, 2.375, BECAUSE))
    likely = (Prediction(BECAUSE, 0.5), Prediction(HOSTILE, 0.25))
    against, probability = (None, None) if foil is None else (HOSTILE, 0.25)
    return Why(
        TOKENS, 3, BECAUSE, against, likely, 0.5, probability, LogitTarget("logit", 2.375), CONTRIBUTIONS,
        layers, 0.75, 30.0, PROVENANCE,
    )  # fmt: skip


def removed(component: HeadId | NeuronId, method: str) -> Removed:
    parameters = {"token": BECAUSE.id, "sample": 64}
    provenance = type(PROVENANCE)(PROVENANCE.model, PROVENANCE.corpus, "folded", "cpu", "float32", parameters)
    return Removed(component, method, 2.5, 0.5, 0.125, provenance)


def inputs(neuron: NeuronId, given: bool) -> NeuronInputs:
    return NeuronInputs(
        neuron, None if given else 101, None if given else 1, "text" if given else "full", TOKENS, 3, 2.0,
        Target("pre_activation", 2.375), CONTRIBUTIONS, PROVENANCE,
    )  # fmt: skip


def overview(neuron: NeuronId, top: int) -> InputsOverview:
    rows = (NeuronInputMean(NeuronId(4, 19), -0.75, 0.25), NeuronInputMean(NeuronId(3, 1), 0.5, 1.0))
    return InputsOverview(neuron, 20, "full", rows[:top], (0.25, -0.5), PROVENANCE)


def edge_cut(neuron: NeuronId, component: HeadId | NeuronId, gated: bool = False) -> EdgeCut:
    target = Target("activation" if gated else "pre_activation", 2.375)
    return EdgeCut(neuron, component, TOKENS, 3, target, 2.25, 0.5, 1.875, 1.75, 2.0, 1.9375, PROVENANCE)


def carried(neuron: NeuronId | None, head: HeadId) -> Carried:
    token = HOSTILE if neuron is None else None
    return Carried(head, neuron, token, TOKENS, 3, 2, 0.5, CONTRIBUTIONS, PROVENANCE)


def attends(head: HeadId) -> Attends:
    keys = tuple(Key(k, TOKENS[k], weight, score) for k, weight, score in ((1, 0.25, -1.0), (2, 0.75, 0.5)))
    pairs = (
        PairContribution("L0.H0", "L0.H0", 2.625),
        PairContribution("embedding", "L0.H0", -2.0),
        PairContribution("L0.H0", "embedding", 1.5),
        PairContribution("embedding", "embedding", 0.25),
    )
    return Attends(
        head, TOKENS, 3, 2, keys, 0.75, 0.5, 2.375, CONTRIBUTIONS, CONTRIBUTIONS, ("embedding", "L0.H0"),
        pairs, 0.0, 20.0, PROVENANCE,
    )  # fmt: skip
