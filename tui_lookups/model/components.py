"""Components and readers: what writes into the residual stream, and what reads it through a norm.

See method.md, sections 1, 4, 8 and 9.

1. A **component** writes a vector: the embedding, a head (its z times W_O), an MLP, or each of its neurons
   (its activation times W_out), the biases of attention and of the MLP.
2. A **reader** reads with a vector, through a norm: `direction . norm(stream)` plus a constant. Folding is
   algebra on that vector (norms.py): the model's weights stay as they are. A neuron reads through the norm
   before its MLP; a token is read off the last stream through the final norm.
3. A **contribution** is `write . folded direction / scale`, the norm's scale held at its value in the pass.
   What is written through a norm after attention or after the MLP is read through that norm as well, and in a
   Post-LN model through every norm between the write and the read (held_norms.py).
4. Reading is linear, so contributions and the constant sum to what is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.held_norms import (
    Stage,
    carried_down,
    carried_up,
    divisor,
    norms_above_embedding,
    norms_between,
)
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.model.points import Point
from tui_lookups.model.wiring import Beside, NormName


@dataclass(frozen=True, eq=False)
class Reader:
    """What reads the residual stream: several directions at once, through one norm.

    Attributes:
        directions: [d_model, n], the norm folded into them, in compute_dtype.
        constants: what they read whatever the stream is, from biases: [n].
        norm: the norm whose scale divides what they read; None where there is none.
        head_layers, mlp_layers: the layers whose heads, and whose MLPs, write before it reads.
    """

    directions: Tensor
    constants: Tensor
    norm: Point | None
    head_layers: range
    mlp_layers: range

    @property
    def stage(self) -> Stage:
        """The residual sum that it reads."""
        return Stage(len(self.head_layers), len(self.mlp_layers))


@dataclass(frozen=True, eq=False)
class Contributions:
    """What components contribute to a reader at one position of each row; last axis: its directions.

    Attributes:
        heads: [batch, head layers, n_heads, n].
        mlps: [batch, mlp layers, n], biases in them.
        embedding: [batch, n].
        attention_biases: [batch, head layers, n], value biases and those of norms after attention in them.
            What norms of residual sums add counts likewise: with attention, or with the MLP, before them.
        bias: what the reader's own biases come to, [n].
    """

    heads: Tensor
    mlps: Tensor
    embedding: Tensor
    attention_biases: Tensor
    bias: Tensor


def neuron_reader(model: LookupModel, neuron: NeuronId) -> Reader:
    """What a neuron reads with: W_in alone, or W_in and W_gate of a gated MLP (in this order)."""
    return neurons_reader(model, neuron.layer, [neuron.index])


def neurons_reader(model: LookupModel, layer: int, indices: Sequence[int]) -> Reader:
    """What neurons of a layer read with, those of a neuron side by side; see `neuron_reader`."""
    block = model.wiring.blocks[layer]
    parts = [block.up] + ([] if block.gate is None else [block.gate])
    columns = [model.at_home(part.outputs(indices)) for part in parts]  # [d_model, neurons] each
    read = torch.stack(columns, 2).flatten(1)
    biases = [part.bias for part in parts]
    constants = torch.stack(
        [
            read.new_zeros(len(indices)) if bias is None else model.at_home(bias[list(indices)])
            for bias in biases
        ],
        1,
    ).flatten()
    norm = block.norms.get("ln2")
    if norm is not None:
        constants = constants + norm.constant(read)
        read = norm.fold(read)
    point = None if norm is None else Point("ln2", layer)
    return Reader(read, constants, point, range(model.info.last_head_layer(layer) + 1), range(layer))


def read_vectors(model: LookupModel, layer: int, indices: Sequence[int]) -> np.ndarray:
    """The directions of `neurons_reader`, those of W_in and of W_gate apart.

    Shape [1 or 2, d_model, n], float64 on the processor.
    """
    directions = neurons_reader(model, layer, indices).directions.detach().cpu().double().numpy()
    return directions.reshape(len(directions), len(indices), -1).transpose(2, 0, 1)


def token_reader(model: LookupModel, token_id: int, foil_id: int | None = None) -> Reader:
    """What reads a token's logit off the last residual stream, before a soft cap (method.md, section 8).

    It is counted from the mean over all rows of the unembedding, which the model's logits are of, rows that
    no token has among them; with a foil, from the foil's logit.
    """
    direction, bias = model.unembedding_against(token_id, foil_id)
    read, constants = direction.unsqueeze(1), bias.unsqueeze(0)
    norm, factor = model.wiring.ln_final, model.wiring.logit_factor
    layers = range(model.info.n_layers)
    return Reader(
        norm.fold(read) * factor,
        (constants + norm.constant(read)) * factor,
        Point("ln_final"),
        layers,
        layers,
    )


def points_read(model: LookupModel, reader: Reader, *, neurons: bool = False) -> list[Point]:
    """What has to be seen in a pass for `contributions`; with `neurons` what `neuron_contributions` needs in
    place of what their MLPs write."""
    wiring = model.wiring
    points = [Point("resid_pre")] + ([] if reader.norm is None else [reader.norm])
    points += norms_above_embedding(wiring, reader.stage)
    for layer in reader.head_layers:
        points += [Point("z", layer), *norms_between(wiring, layer, "ln1_post", reader.stage)]
    for layer in reader.mlp_layers:
        points.append(Point("post" if neurons else "mlp_out", layer))
        points += [Point(role, layer) for role in wiring.blocks[layer].beside] if neurons else []
        points += norms_between(wiring, layer, "ln2_post", reader.stage)
    return list(dict.fromkeys(points))


def contributions(
    model: LookupModel, reader: Reader, seen: Mapping[Point, Tensor], *, hold_scale: bool = True
) -> Contributions:
    """What every component contributes to what a reader reads.

    Args:
        seen: `points_read` at one position of each row, as `LookupModel.capture` gives them. Where neurons
            were seen in place of what their MLPs write, `mlps` has no layers; see `neuron_contributions`.
        hold_scale: False leaves the division by the reader's scale out, as the paper's authors do.
    """
    embedding = seen[Point("resid_pre")]
    scale = _scale(reader, seen, hold_scale)
    n = reader.directions.shape[1]
    heads, biases, mlps = [], [], []
    for layer in reader.head_layers:
        read, scales, constant = _through(model, reader, seen, scale, layer, "ln1_post")
        projected = _projected(model, layer, read)  # z meets it, and stacked head results are never formed
        heads.append(torch.einsum("bhd,hdn->bhn", seen[Point("z", layer)], projected) / scales.unsqueeze(1))
        biases.append(of_attention_biases(model, layer, read, projected) / scales + constant)
    for layer in reader.mlp_layers:
        if (written := seen.get(Point("mlp_out", layer))) is not None:
            read, scales, constant = _through(model, reader, seen, scale, layer, "ln2_post")
            mlps.append(written @ read / scales + constant)

    def by_layer(layers: list[Tensor], *shape: int) -> Tensor:
        return torch.stack(layers, 1) if layers else embedding.new_zeros(len(embedding), 0, *shape)

    above = norms_above_embedding(model.wiring, reader.stage)
    read, _ = carried_down(model.wiring, above, reader.directions)
    return Contributions(
        heads=by_layer(heads, model.info.n_heads, n),
        mlps=by_layer(mlps, n),
        embedding=embedding @ read / (scale * divisor([seen[norm] for norm in above], scale)),
        attention_biases=by_layer(biases, n),
        bias=reader.constants,
    )


def neuron_contributions(
    model: LookupModel, reader: Reader, seen: Mapping[Point, Tensor], layer: int
) -> Tensor:
    """What every neuron of a layer contributes: [batch, d_mlp, n].

    With `mlp_biases` and `beside_units` they sum to what `contributions` says of the layer's MLP.

    Args:
        seen: as those of `contributions`, neurons in them (`points_read`).
    """
    scale = _scale(reader, seen, True)
    read, scales, _ = _through(model, reader, seen, scale, layer, "ln2_post")
    per_unit = model.written_along(layer, read)  # [d_mlp, n]
    return seen[Point("post", layer)].unsqueeze(2) * per_unit / scales.unsqueeze(1)


def mlp_biases(model: LookupModel, reader: Reader, seen: Mapping[Point, Tensor], layer: int) -> Tensor:
    """What the bias of a layer's down-projection contributes, and that of a norm after it: [batch, n]."""
    scale = _scale(reader, seen, True)
    read, scales, constant = _through(model, reader, seen, scale, layer, "ln2_post")
    bias = model.wiring.blocks[layer].down.bias
    return constant if bias is None else model.at_home(bias) @ read / scales + constant


def beside_roles(model: LookupModel, layers: Iterable[int]) -> tuple[Beside, ...]:
    """What MLPs of these layers write beside a dictionary's units and biases."""
    return tuple(dict.fromkeys(role for layer in layers for role in model.wiring.blocks[layer].beside))


def beside_units(
    model: LookupModel, reader: Reader, seen: Mapping[Point, Tensor], layer: int
) -> dict[Beside, Tensor]:
    """What a layer's MLP contributes beside a dictionary's units and biases: [batch, n] each.

    See method.md, section 14.
    """
    read, scales, _ = _through(model, reader, seen, _scale(reader, seen, True), layer, "ln2_post")
    roles = model.wiring.blocks[layer].beside
    return {role: seen[Point(role, layer)] @ read / scales for role in roles}


def of_attention_biases(model: LookupModel, layer: int, read: Tensor, projected: Tensor) -> Tensor:
    """What biases of attention write times `read` [d_model, n]; `projected` is W_O times it: [n]."""
    written, bias = read.new_zeros(read.shape[1]), model.wiring.blocks[layer].heads_out.bias
    if bias is not None:
        written = written + model.at_home(bias) @ read
    values = model.value_biases[layer]
    return written if values is None else written + torch.einsum("hd,hdn->n", values, projected)


def source_contributions(
    model: LookupModel,
    reader: Reader,
    seen: Mapping[Point, Tensor],
    layer: int,
    head: int,
    pattern: Tensor,
    values: Tensor,
    *,
    hold_scale: bool = True,
) -> Tensor:
    """One head's contribution by the position that it reads: [batch, k, n].

    Args:
        pattern: the head's, at the position read, [batch, k].
        values: the head's, [batch, k, d_head], value biases in them.
    """
    read, scales, _ = _through(model, reader, seen, _scale(reader, seen, hold_scale), layer, "ln1_post")
    biases = model.value_biases[layer]
    apart = values if biases is None else values - biases[head]
    by_key = torch.einsum("bkd,dn->bkn", apart, W_O(model, layer)[head] @ read)
    return pattern.unsqueeze(2) * by_key / scales.unsqueeze(1)


def written(
    model: LookupModel, component: HeadId | NeuronId, seen: Mapping[Point, Tensor], reads: Stage
) -> Tensor:
    """What of a residual sum is a head's, value biases apart, or a neuron's: [batch, d_model].

    Args:
        seen: its z, or its layer's activations, and the scales of norms in between; see `points_read`.
        reads: the sum.
    """
    layer, index = component.layer, component.index
    writer: NormName = "ln1_post" if isinstance(component, HeadId) else "ln2_post"
    if isinstance(component, HeadId):
        added = seen[Point("z", layer)][:, index] @ W_O(model, layer)[index]
    else:
        (row,) = model.at_home(model.wiring.blocks[layer].down.inputs([index]))
        added = seen[Point("post", layer)][:, index, None] * row
    passed = norms_between(model.wiring, layer, writer, reads)
    added = carried_up(model.wiring, passed, added) / divisor([seen[norm] for norm in passed], added)
    return added * model.wiring.residual_multiplier


def _scale(reader: Reader, seen: Mapping[Point, Tensor], hold_scale: bool) -> Tensor:
    """What divides what a reader reads, at one position of each row: [batch, 1]."""
    embedding = seen[Point("resid_pre")]
    return (
        seen[reader.norm] if reader.norm is not None and hold_scale else embedding.new_ones(len(embedding), 1)
    )


def _projected(model: LookupModel, layer: int, read: Tensor) -> Tensor:
    """W_O times `read` [d_model, n]: [n_heads, d_head, n]."""
    product = model.at_home(model.wiring.blocks[layer].heads_out.matrix) @ read
    return product.reshape(model.info.n_heads, model.info.d_head, -1)


def W_O(model: LookupModel, layer: int) -> Tensor:
    """[n_heads, d_head, d_model], in compute_dtype."""
    matrix = model.wiring.blocks[layer].heads_out.matrix
    return model.at_home(matrix).reshape(model.info.n_heads, model.info.d_head, -1)


def read_after(
    model: LookupModel, layer: int, writer: NormName, read: Tensor, reads: Stage
) -> tuple[Tensor, Tensor, list[Point]]:
    """How what attention, or the MLP, of a layer writes is read where `read` [d_model, n] reads a sum.

    Returns:
        The vectors that meet it, [d_model, n]; what the bias of the norm next to it adds, [n]; and the norms
        in between, that nearest to the reader first. The scales of all of them divide the product, and those
        of all but the last what the bias adds.
    """
    multiplier = model.wiring.residual_multiplier
    passed = norms_between(model.wiring, layer, writer, reads)
    return *carried_down(model.wiring, passed, read if multiplier == 1.0 else read * multiplier), passed


def _through(
    model: LookupModel,
    reader: Reader,
    seen: Mapping[Point, Tensor],
    scale: Tensor,
    layer: int,
    writer: NormName,
) -> tuple[Tensor, Tensor, Tensor]:
    """As `read_after`: the vectors, what divides the product, [batch, 1], and what the bias of the norm next
    to what is written adds, [batch, n]."""
    read, constant, passed = read_after(model, layer, writer, reader.directions, reader.stage)
    scales = [scale, *(seen[norm] for norm in passed)]
    return read, divisor(scales, scale), constant / divisor(scales[:-1] if passed else scales, scale)
