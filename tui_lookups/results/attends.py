"""What a head carries from a source token (method.md, section 9), and why it attends there (section 10)."""

from __future__ import annotations

from dataclasses import dataclass

from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results.base import Provenance, Token
from tui_lookups.results.components import Contributions

PAIRS_KEPT = 200
"""Pairs that are told apart on either side of zero: the grid of a large model has a million cells."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What a head carries from `source` to a reader at `position`, by the components of the stream there.

    Attributes:
        neuron: what reads it; None where it is the logit of `token`.
        weight: the attention pattern there.
        contributions: their target is the head's attribution from this source token.
    """

    head: HeadId
    neuron: NeuronId | None
    token: Token | None
    tokens: tuple[Token, ...]
    position: int
    source: int
    weight: float
    contributions: Contributions
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Key:
    """One key position that the head may attend to from the query."""

    position: int
    token: Token
    weight: float
    score: float


@dataclass(frozen=True, slots=True)
class PairContribution:
    """A cell of the grid of pairs: what a group on the query side and one on the key side give together."""

    query: str
    key: str
    contribution: float


@dataclass(frozen=True, slots=True)
class Attends:
    """Why a head attends from `query` to `key`: the advantage of the score there, split on either side.

    What depends on distance alone (ALiBi) is in the scores, and among the `bias` of either side.

    Attributes:
        keys: every position the head may attend to, in order; scores are those before the softmax, and
            before a soft cap.
        advantage: the score at `key` minus its mean under the pattern.
        key_side: components at the key against the same at the other positions; target: the advantage.
        query_side: components at the query, against the key less the mean key; target: the advantage.
        groups: rows and columns of the grid: heads and embedding, layers of neurons summed, biases.
        pairs: cells of the grid, largest first: the `PAIRS_KEPT` that raise the advantage most and as many
            that lower it most; every cell where there are no more.
        pairs_rest: the sum of all other cells; with the pairs they sum to the advantage.
        soft_cap: of the scores (Gemma 2), which comes after; None where there is none.
    """

    head: HeadId
    tokens: tuple[Token, ...]
    query: int
    key: int
    keys: tuple[Key, ...]
    weight: float
    score: float
    advantage: float
    key_side: Contributions
    query_side: Contributions
    groups: tuple[str, ...]
    pairs: tuple[PairContribution, ...]
    pairs_rest: float
    soft_cap: float | None
    provenance: Provenance
