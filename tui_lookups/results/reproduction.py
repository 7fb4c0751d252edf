"""Published figures beside ours (method.md, section 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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


MeanKind = Literal["head explanation score", "F1", "Kolmogorov-Smirnov distance"]


@dataclass(frozen=True, slots=True)
class ReproducedMean:
    """A published figure over many pairs beside ours, each with its deviation and pairs where there are some.

    It rests on a corpus and on answers of a language model: `why` says why there is none of ours.
    """

    what: MeanKind
    published: float
    published_deviation: float | None
    published_pairs: int | None
    ours: float | None
    ours_deviation: float | None
    ours_pairs: int | None
    why: str
    source: str


@dataclass(frozen=True, slots=True)
class Reproduction:
    """Published figures of a model beside ours; `skipped` says why there are none of ours.

    `means` are told, and not held to a tolerance: corpus and language model are others.
    """

    model: str
    tolerance: float
    figures: tuple[ReproducedFigure, ...]
    agrees: bool
    skipped: str
    provenance: Provenance | None
    means: tuple[ReproducedMean, ...] = ()
