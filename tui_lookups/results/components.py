"""What components contribute to something that reads the residual stream (method.md, sections 8 to 10).

A component writes at one position: a head, a neuron, or one of the few that have no number of their own. Of
the neurons, which may be a million, the largest are given by name and all of them as one sum a layer.
"""

from __future__ import annotations

from dataclasses import dataclass

from tui_lookups.ids import HeadId, NeuronId


@dataclass(frozen=True, slots=True)
class HeadContribution:
    """What a head contributes."""

    head: HeadId
    contribution: float


@dataclass(frozen=True, slots=True)
class NeuronContribution:
    """What a neuron contributes, its activation there, and (section 8) what it says of tokens.

    Attributes:
        congruence: with the token, or token against foil, that is asked about; None where none is.
    """

    neuron: NeuronId
    activation: float
    contribution: float
    congruence: float | None = None


@dataclass(frozen=True, slots=True)
class Remaining:
    """The components that are neither a head nor a neuron.

    Attributes:
        embedding: with positional embeddings, and a norm after the embedding where there is one.
        attention_biases: of all layers, value biases and biases of norms after attention in them.
        mlp_biases: of all layers, biases of norms after the MLP in them.
        bias: what the reader itself adds: the bias of its norm and its own.
    """

    embedding: float
    attention_biases: float
    mlp_biases: float
    bias: float


@dataclass(frozen=True, slots=True)
class Contributions:
    """An exact sum: heads + neurons_by_layer + remaining = target - remainder.

    Attributes:
        heads: all that reach the reader, in layer then head order.
        neurons: the largest by |contribution|, largest first.
        neurons_by_layer: the sum over all neurons of each layer that reaches the reader, layer 0 first.
        target: what is read.
    """

    heads: tuple[HeadContribution, ...]
    neurons: tuple[NeuronContribution, ...]
    neurons_by_layer: tuple[float, ...]
    remaining: Remaining
    target: float

    @property
    def sum(self) -> float:
        rest = self.remaining
        others = rest.embedding + rest.attention_biases + rest.mlp_biases + rest.bias
        return sum(row.contribution for row in self.heads) + sum(self.neurons_by_layer) + others

    @property
    def remainder(self) -> float:
        return self.target - self.sum
