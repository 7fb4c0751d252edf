"""Exact sums down to neurons: all that contributes to what a reader reads at one position.

See method.md, sections 8 and 9.

1. One forward pass keeps, at the asked position of each row only, what model/components.py needs: z, scales
   of norms, the embedding, and every neuron's activation. Nothing of the size positions x d_mlp is kept.
2. A neuron contributes its activation times what its row of W_out is to the reader, over the scales: one
   product of a matrix and a vector a layer, whatever the number of rows.
3. Where a reader has several directions (g and u of a gated neuron), each is held to its bound by itself;
   their figures are then weighted into one.
4. The sum is held to what the model itself gave, within the bound of its precision: of the sum of the sizes
   of heads, embedding, biases and MLPs, an MLP being counted whole, as in section 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tui_lookups.analysis.congruence import best_first
from tui_lookups.errors import Poll, no_poll
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.components import (
    Reader,
    beside_roles,
    beside_units,
    contributions,
    mlp_biases,
    neuron_contributions,
)
from tui_lookups.model.lookup_model import LookupModel, require_finite
from tui_lookups.model.points import Point
from tui_lookups.model.wiring import Beside
from tui_lookups.progress import counting
from tui_lookups.results import Contributions, HeadContribution, NeuronContribution, OtherContributions, Token

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ExactSum:
    """What contributes to what is read at one position of one text (float64).

    Attributes:
        heads: [head layers, n_heads].
        neurons, activations: [mlp layers, d_mlp].
        attention_biases: [head layers]; mlp_biases: [mlp layers].
        beside: what MLPs write beside a dictionary's units, [mlp layers] each (section 14).
        bias: what the reader itself adds.
        target: what is read.
        relative_remainder: the largest |remainder| of the reader's directions, in units of step 4.
        neuron_id: what its neurons are named by.
    """

    heads: Array
    neurons: Array
    activations: Array
    attention_biases: Array
    mlp_biases: Array
    embedding: float
    bias: float
    target: float
    relative_remainder: float
    neuron_id: type[NeuronId] = NeuronId
    beside: Mapping[Beside, Array] = field(default_factory=dict)

    def of(self, component: HeadId | NeuronId) -> float:
        """What one component contributes."""
        table = self.heads if isinstance(component, HeadId) else self.neurons
        return float(table[component.layer, component.index])

    def largest(self, top: int) -> list[NeuronId]:
        """The `top` neurons of largest |contribution|, largest first; ties in layer, then neuron order."""
        largest = best_first(np.abs(self.neurons).ravel(), top)
        return [self.neuron_id(*divmod(int(number), self.neurons.shape[1])) for number in largest]


@torch.inference_mode()
def exact_sums(
    model: LookupModel,
    reader: Reader,
    seen: Mapping[Point, Tensor],
    read: Tensor,
    weights: Tensor,
    targets: Sequence[float],
    *,
    poll: Poll = no_poll,
) -> list[ExactSum]:
    """The exact sum of each row.

    Args:
        seen: `points_read` with neurons, at one position of each row.
        read: what the model itself gave for each direction, [batch, n].
        weights: what each direction counts, in double precision on the processor: [batch, n].
        targets: what the weighted figures sum to, by row.
    Raises NumericalError for NaN or infinite values.
    """
    summed_parts = contributions(model, reader, seen)
    by_layer, of_mlps, whole = [], [], []
    roles = beside_roles(model, reader.mlp_layers)
    aside: dict[Beside, list[Tensor]] = {role: [] for role in roles}
    weighting = weights.to(summed_parts.heads.device, summed_parts.heads.dtype).unsqueeze(2)  # [batch, n, 1]
    poll = counting(poll, "summing what is in it", len(reader.mlp_layers), "layers")
    for layer in reader.mlp_layers:
        poll()
        of_layer = neuron_contributions(model, reader, seen, layer)  # [batch, d_mlp, n]
        of_mlps.append(mlp_biases(model, reader, seen, layer))
        beside = beside_units(model, reader, seen, layer)
        for role in roles:
            aside[role].append(beside.get(role, torch.zeros_like(of_mlps[-1])))
        whole.append(of_layer.sum(1) + of_mlps[-1] + sum(beside.values()))
        by_layer.append((of_layer @ weighting).squeeze(2))
    parts = [summed_parts.heads.flatten(1, 2), summed_parts.embedding.unsqueeze(1)]
    parts += [summed_parts.attention_biases.sum(1, keepdim=True)]
    parts += [mlp.unsqueeze(1) for mlp in whole]
    every = torch.cat([*parts, summed_parts.bias.expand(len(read), 1, -1)], 1).cpu().double()
    off = (read.cpu().double() - every.sum(1)).abs() / every.abs().sum(1).clamp(min=1e-30)
    relative = off.amax(1).tolist()

    def weighted(values: Tensor) -> Array:
        """[batch, ..., n] -> [batch, ...], in double precision on the processor."""
        array: Array = torch.einsum("b...n,bn->b...", values.cpu().double(), weights).numpy()
        return array

    def layers_of(values: Sequence[Tensor], width: int) -> Tensor:
        return torch.stack(list(values), 1) if values else weighting.new_zeros(len(read), 0, width)

    n, d_mlp = weights.shape[1], model.info.d_mlp
    heads, embedding = weighted(summed_parts.heads), weighted(summed_parts.embedding)
    bias = weighted(summed_parts.bias.expand(len(read), -1))
    attention, mlps = weighted(summed_parts.attention_biases), weighted(layers_of(of_mlps, n))
    of_beside = {role: weighted(layers_of(values, n)) for role, values in aside.items()}
    neurons = layers_of(by_layer, d_mlp).cpu().double()
    activations = layers_of([seen[Point("post", layer)] for layer in reader.mlp_layers], d_mlp).cpu().double()
    if not bool(torch.isfinite(every.sum())):
        for layer in reader.mlp_layers:  # the first that is not finite is named
            require_finite(neurons[:, layer], layer)
        require_finite(every, reader.head_layers.stop - 1)
    return [
        ExactSum(
            heads=heads[row],
            neurons=neurons[row].numpy(),
            activations=activations[row].numpy(),
            attention_biases=attention[row],
            mlp_biases=mlps[row],
            embedding=float(embedding[row]),
            bias=float(bias[row]),
            target=target,
            relative_remainder=relative[row],
            neuron_id=model.info.neuron_id,
            beside={role: values[row] for role, values in of_beside.items()},
        )
        for row, target in enumerate(targets)
    ]


def as_contributions(
    found: ExactSum,
    top: int,
    congruences: Mapping[NeuronId, float] | None = None,
    own: Mapping[NeuronId, Token] | None = None,
    token_id: int | None = None,
) -> Contributions:
    """The sum as a result, with the `top` largest neurons by name.

    Args:
        congruences: theirs, where there are; own: the tokens that they promote most.
        token_id: the token asked about.
    """
    heads = tuple(
        HeadContribution(HeadId(layer, index), float(value))
        for (layer, index), value in np.ndenumerate(found.heads)
    )
    named, promoted = congruences or {}, own or {}

    def row(neuron: NeuronId) -> NeuronContribution:
        part, token = found.of(neuron), promoted.get(neuron)
        return NeuronContribution(
            neuron,
            activation=float(found.activations[neuron.layer, neuron.index]),
            contribution=part,
            share=part / found.target if found.target else None,
            congruence=named.get(neuron),
            top_token=token,
            next_token_neuron=None if token is None or token_id is None else token.id == token_id,
        )

    neurons = tuple(map(row, found.largest(top)))
    return Contributions.of(
        heads=heads,
        neurons=neurons,
        neurons_by_layer=tuple(found.neurons.sum(1).tolist()),
        other=OtherContributions(
            found.embedding,
            float(found.attention_biases.sum()),
            float(found.mlp_biases.sum()),
            found.bias,
            **{role: float(values.sum()) for role, values in found.beside.items()},
        ),
        target=found.target,
    )
