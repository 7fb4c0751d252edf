"""Published figures that a model at hand can be checked against (method.md, section 7)."""

from __future__ import annotations

from dataclasses import dataclass

from tui_lookups.ids import NeuronId
from tui_lookups.results import MeanKind

NOTEBOOKS = "Neo, Cohen and Barez 2024 (arXiv 2402.15055), result files of the released code"
ANSWERS = "the recorded answers of that code"
AN_NEURON = 'the " an" neuron of GPT-2 large, which the same work takes up'

TOLERANCE = 0.01
"""Published to three decimals; the rest is room for another order of summation in float32."""


@dataclass(frozen=True, slots=True)
class PublishedFigure:
    """A neuron, its token, and their congruence; None where only the neuron was named for the token."""

    neuron: NeuronId
    token: str
    congruence: float | None
    source: str


def _gpt2(layer: int, index: int, token: str, congruence: float) -> PublishedFigure:
    return PublishedFigure(NeuronId(layer, index), token, congruence, NOTEBOOKS)


PUBLISHED: dict[str, tuple[PublishedFigure, ...]] = {
    "gpt2": (
        _gpt2(9, 5, " too", 17.856),
        _gpt2(9, 1616, " each", 17.375),
        _gpt2(9, 1985, " because", 14.865),
        _gpt2(9, 1496, " such", 14.769),
        _gpt2(9, 2513, " term", 13.630),
        _gpt2(9, 1047, " does", 13.454),
        _gpt2(9, 1690, " by", 12.645),
        _gpt2(10, 3041, " right", 19.741),
        _gpt2(10, 1122, " way", 18.581),
    ),
    "gpt2-large": (PublishedFigure(NeuronId(31, 892), " an", None, AN_NEURON),),
}
"""By hub name: in the folded basis, float32."""


@dataclass(frozen=True, slots=True)
class PublishedMean:
    """A figure over many pairs: which, of how many pairs where that was said, and its deviation."""

    what: MeanKind
    value: float
    deviation: float | None
    pairs: int | None
    source: str


def _score(value: float, deviation: float | None = None, *, recorded: int | None = None) -> PublishedMean:
    return PublishedMean(
        "head explanation score", value, deviation, recorded, NOTEBOOKS if recorded is None else ANSWERS
    )


def _f1(value: float, pairs: int) -> PublishedMean:
    return PublishedMean("F1", value, None, pairs, ANSWERS)


def _distance(value: float) -> PublishedMean:
    return PublishedMean("Kolmogorov-Smirnov distance", value, None, None, NOTEBOOKS)


PUBLISHED_MEANS: dict[str, tuple[PublishedMean, ...]] = {
    "gpt2": (_score(0.650, 0.194), _score(0.6293, 0.1717, recorded=194), _f1(0.6295, 194), _distance(0.242)),
    "gpt2-medium": (
        _score(0.610),
        _score(0.6101, 0.1547, recorded=256),
        _f1(0.5547, 256),
        _distance(0.331),
    ),
    "gpt2-large": (_score(0.575), _distance(0.293)),
    "EleutherAI/pythia-160m": (_score(0.621),),
    "EleutherAI/pythia-1.4b": (_score(0.574),),
}
"""By hub name: explanations and scores by GPT-4 on the authors' corpus, preset paper."""
