"""What a neuron writes: a token's neurons, and a neuron's tokens (method.md, section 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tui_lookups.ids import NeuronId
from tui_lookups.results.base import Basis, Provenance, Sign, Token


@dataclass(frozen=True, slots=True)
class TokenMatch:
    """What a typed text is in the vocabulary: one token, several pieces to choose from, or close names."""

    text: str
    token: Token | None
    pieces: tuple[Token, ...]
    close: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class NeuronScore:
    """One row of a token's ranking. `token_rank` is 1 when no token has a larger congruence."""

    neuron: NeuronId
    layer: int
    index: int
    congruence: float
    cosine: float
    token_rank: int
    top_token: Token
    top_congruence: float


@dataclass(frozen=True, slots=True)
class TokenNeurons:
    """A token's neurons, best first."""

    token: Token
    basis: Basis
    sign: Sign
    neurons: tuple[NeuronScore, ...]
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class NeuronsOfTokens:
    """The neurons of several tokens, in the order asked for."""

    tokens: tuple[TokenNeurons, ...]


AsOne = Literal["mean", "any", "all"]
"""How a set of tokens is read: by the mean of its members, by the one that gets most, or by the one that
gets least."""


@dataclass(frozen=True, slots=True)
class MemberScore:
    """What one neuron gives one token of a set."""

    token: Token
    congruence: float
    cosine: float
    token_rank: int


@dataclass(frozen=True, slots=True)
class SetScore(NeuronScore):
    """One row of a set's ranking: `congruence` is that to the set, `token_rank` that of the leading member.

    Attributes:
        leading: the member that the figure is that of; by the mean the one that gets most.
        members: each of them, in the order of the set.
    """

    leading: Token
    members: tuple[MemberScore, ...]


@dataclass(frozen=True, slots=True)
class SetNeurons(TokenNeurons):
    """A set's neurons, best first; `token` is the first of `tokens`."""

    neurons: tuple[SetScore, ...]
    tokens: tuple[Token, ...]
    as_one: AsOne


@dataclass(frozen=True, slots=True)
class TokenCongruence:
    id: int
    text: str
    congruence: float


@dataclass(frozen=True, slots=True)
class NeuronTokens:
    """The tokens a neuron promotes most (`tokens`) and suppresses most (`suppressed`)."""

    neuron: NeuronId
    basis: Basis
    tokens: tuple[TokenCongruence, ...]
    suppressed: tuple[TokenCongruence, ...]
    provenance: Provenance


NearBy = Literal["writes", "reads"]


@dataclass(frozen=True, slots=True)
class NearNeuron:
    """A neuron of another layer, the cosine, and the token that it promotes most."""

    neuron: NeuronId
    cosine: float
    top_token: Token


@dataclass(frozen=True, slots=True)
class NearestNeurons:
    """The neurons of other layers that write, or read, most like `neuron`, largest cosine first."""

    neuron: NeuronId
    by: NearBy
    basis: Basis
    neurons: tuple[NearNeuron, ...]
    provenance: Provenance
