"""Published figures that a model at hand can be checked against (method.md, section 7)."""

from __future__ import annotations

from dataclasses import dataclass

from tui_lookups.ids import NeuronId

NOTEBOOKS = "Neo, Cohen and Barez 2024 (arXiv 2402.15055), result files of the released code"
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
