"""The model's next-token neurons, layer by layer (method.md, section 2)."""

from __future__ import annotations

from dataclasses import dataclass

from tui_lookups.ids import NeuronId
from tui_lookups.results.base import Basis, Provenance, Sign, Token


@dataclass(frozen=True, slots=True)
class AtlasNeuron:
    """A next-token neuron: the token it promotes most, and how much (s of method.md, section 2).

    `top_congruence` is negative where the neuron was read flipped (sign "-" or "both").
    """

    neuron: NeuronId
    top_token: Token
    top_congruence: float


@dataclass(frozen=True, slots=True)
class AtlasLayer:
    """One layer: its next-token neurons, best first, and how many tokens have their best neuron in it."""

    layer: int
    neurons: tuple[AtlasNeuron, ...]
    best_of_tokens: int


@dataclass(frozen=True, slots=True)
class Atlas:
    """Next-token neurons of every layer asked for.

    `tokens` is how many tokens pass the filters; the layers' `best_of_tokens` sum to it. `rejected` are the
    tokens left out by hand.
    """

    basis: Basis
    sign: Sign
    per_layer: int
    tokens: int
    rejected: tuple[Token, ...]
    layers: tuple[AtlasLayer, ...]
    provenance: Provenance
