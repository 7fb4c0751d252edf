"""Published figures beside ours (method.md, section 7)."""

from __future__ import annotations

from dataclasses import dataclass

from tui_lookups.ids import NeuronId
from tui_lookups.results.base import Provenance, Token


@dataclass(frozen=True, slots=True)
class ReproducedFigure:
    """One published figure beside ours. `published` is None where only the neuron was named for its token.

    `agrees`: within the tolerance of the published digits, or (nothing published but the neuron) the neuron
    is the first of its token's ranking.
    """

    neuron: NeuronId
    token: Token
    published: float | None
    ours: float
    token_rank: int
    neuron_rank: int
    top_token: Token
    agrees: bool
    source: str


@dataclass(frozen=True, slots=True)
class Reproduction:
    """Published figures of a model beside ours; `skipped` says why there are none of ours."""

    model: str
    tolerance: float
    figures: tuple[ReproducedFigure, ...]
    agrees: bool
    skipped: str
    provenance: Provenance | None
