"""What components contribute to something that reads the residual stream (method.md, sections 8 to 10).

A component writes at one position: a head, a neuron, or one of the few that have no number of their own. Of
the neurons, which may be a million, the largest are given by name and all of them as one sum a layer.
"""

from __future__ import annotations

from dataclasses import dataclass

from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results.base import Token


@dataclass(frozen=True, slots=True)
class HeadContribution:
    """What a head contributes."""

    head: HeadId
    contribution: float


@dataclass(frozen=True, slots=True)
class NeuronContribution:
    """What a neuron contributes, its activation there, and (section 8) what it says of tokens.

    Attributes:
        share: of the contribution in the target; None where that is 0.
        congruence: with the token, or token against foil, that is asked about; None where none is.
        top_token: the token it promotes most (section 2); next_token_neuron: it is the one asked about. None
            where it was not looked for.
    """

    neuron: NeuronId
    activation: float
    contribution: float
    share: float | None = None
    congruence: float | None = None
    top_token: Token | None = None
    next_token_neuron: bool | None = None


@dataclass(frozen=True, slots=True)
class OtherContributions:
    """The components that are neither a head nor a neuron.

    Attributes:
        embedding: with positional embeddings, and a norm after the embedding where there is one.
        attention_biases: of all layers, value biases and biases of norms after attention in them.
        mlp_biases: of all layers, biases of norms after the MLP in them.
        bias: what the reader itself adds: the bias of its norm and its own.
        skip, error: where a dictionary is open (section 14), what its skips write, and what it leaves
            unexplained of what MLPs write; None where there is nothing of the kind.
    """

    embedding: float
    attention_biases: float
    mlp_biases: float
    bias: float
    skip: float | None = None
    error: float | None = None

    @property
    def beside(self) -> tuple[tuple[str, float], ...]:
        """Those of a dictionary, by name: skip and error, where there are any."""
        both = (("skip", self.skip), ("error", self.error))
        return tuple((name, value) for name, value in both if value is not None)

    @property
    def sum(self) -> float:
        """All of them."""
        constants = self.attention_biases + self.mlp_biases + self.bias
        return self.embedding + constants + sum(value for _, value in self.beside)


@dataclass(frozen=True, slots=True)
class Contributions:
    """An exact sum: heads + neurons_by_layer + other = sum = target - remainder.

    Attributes:
        heads: all that reach the reader, in layer then head order.
        neurons: the largest by |contribution|, largest first. rest: the sum of all others.
        neurons_by_layer: the sum over all neurons of each layer that reaches the reader, layer 0 first.
        target: what is read.
    """

    heads: tuple[HeadContribution, ...]
    neurons: tuple[NeuronContribution, ...]
    rest: float
    neurons_by_layer: tuple[float, ...]
    other: OtherContributions
    target: float
    sum: float
    remainder: float

    @property
    def kind(self) -> str:
        """What its neurons are: "neurons", or "units" of a dictionary."""
        return "neurons" if self.other.error is None else "units"

    @classmethod
    def of(
        cls,
        heads: tuple[HeadContribution, ...],
        neurons: tuple[NeuronContribution, ...],
        neurons_by_layer: tuple[float, ...],
        other: OtherContributions,
        target: float,
    ) -> Contributions:
        """The sum of parts, and what is left of the target."""
        every = sum(neurons_by_layer)
        whole = sum(row.contribution for row in heads) + every + other.sum
        rest = every - sum(row.contribution for row in neurons)
        return cls(heads, neurons, rest, neurons_by_layer, other, target, whole, target - whole)
