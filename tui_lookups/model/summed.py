"""What every component contributes to readers of one text's residual stream, summed over its positions.

See method.md, sections 9 and 10. A reader here has a vector for each position, so that what reads the stream
at one position (a source token, a query) and what compares several (a key with the other keys) are one sum.

1. A pass shows what the components of a layer write with, at the positions asked for, and lets go of it when
   the next layer begins: nothing of the size of positions x d_mlp x layers is kept.
2. It is multiplied with the vectors at its position, and summed over positions.
3. What is written through a norm after attention, or after the MLP, is read through it, its scale held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from tui_lookups.errors import Poll
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.model.points import Hook, Point
from tui_lookups.model.wiring import NormName


@dataclass(frozen=True, eq=False)
class Summed:
    """What components contribute to n readers, in double precision, on the processor.

    Attributes:
        heads: [layers, n_heads, n].
        mlps: what the neurons of a layer contribute together, [layers, n].
        neurons: [layers, d_mlp, n]; no layers where they were not asked for.
        activations: of each neuron, where each reader is told of them, likewise.
        attention_biases, mlp_biases: [layers, n]. Value biases count among those of attention.
        embedding: [n].
    """

    heads: Tensor
    mlps: Tensor
    neurons: Tensor
    activations: Tensor
    embedding: Tensor
    attention_biases: Tensor
    mlp_biases: Tensor


def summed(
    model: LookupModel,
    tokens: Tensor,
    readers: Tensor,
    positions: Tensor,
    n_layers: int,
    *,
    told: Sequence[int] = (),
    poll: Poll,
) -> Summed:
    """What components contribute to readers of the stream before layer `n_layers`.

    Args:
        tokens: [1, pos].
        readers: what reads the stream at each of the positions, norm folded and scale divided by: [n, p,
            d_model], in compute_dtype.
        positions: [p].
        told: of each neuron too, not only of all of a layer together, and of their activations: for each
            reader the place, among `positions`, that they are of.
    """
    neurons = bool(told)
    layers: list[_OfLayer] = []
    activations: list[Tensor] = []
    embedding: list[Tensor] = []
    seen: dict[Point, Tensor] = {}

    def keep(point: Point) -> Hook:
        def hook(activation: Tensor) -> None:
            seen[point] = activation[0, positions].to(readers.dtype, copy=True)

        return hook

    def close_layer(layer: int) -> Hook:
        def hook(_: Tensor) -> None:
            layers.append(_of_layer(model, readers, seen, layer))
            if neurons:
                activations.append(seen[Point("post", layer)][list(told)].T)
            seen.clear()

        return hook

    def see_embedding(activation: Tensor) -> None:
        embedding.append(torch.einsum("pe,npe->n", activation[0, positions].to(readers.dtype), readers))

    hooks: dict[Point, Hook] = {Point("resid_pre"): see_embedding}
    for layer in range(n_layers):
        norms = model.wiring.blocks[layer].norms
        points = [Point("z", layer), Point("post" if neurons else "mlp_out", layer)]
        points += [Point(name, layer) for name in _POST_NORMS if name in norms]
        hooks |= {point: keep(point) for point in points}
        hooks[Point("resid_pre", layer + 1)] = close_layer(layer)
    model.run(tokens, hooks, stop_after=n_layers, poll=poll)
    n, info = len(readers), model.info

    def joined(parts: list[Tensor], *shape: int) -> Tensor:
        return torch.stack(parts).cpu().double() if parts else torch.zeros(0, *shape, dtype=torch.float64)

    return Summed(
        heads=joined([layer.heads for layer in layers], info.n_heads, n),
        mlps=joined([layer.neurons.sum(0) for layer in layers], n),
        neurons=joined([layer.neurons for layer in layers] if neurons else [], info.d_mlp, n),
        activations=joined(activations, info.d_mlp, n),
        embedding=embedding[0].cpu().double(),
        attention_biases=joined([layer.attention_biases for layer in layers], n),
        mlp_biases=joined([layer.mlp_biases for layer in layers], n),
    )


_POST_NORMS: tuple[NormName, ...] = ("ln1_post", "ln2_post")


@dataclass(frozen=True, eq=False)
class _OfLayer:
    """Of one layer: heads [n_heads, n]; neurons [d_mlp, n], or [1, n] together; biases [n] each."""

    heads: Tensor
    neurons: Tensor
    attention_biases: Tensor
    mlp_biases: Tensor


def _of_layer(model: LookupModel, readers: Tensor, seen: Mapping[Point, Tensor], layer: int) -> _OfLayer:
    block = model.wiring.blocks[layer]
    n, p, width = readers.shape

    def written_by(part: Tensor | None) -> Tensor:
        return readers.new_zeros(width) if part is None else model.at_home(part)

    read, constant = _through(model, readers, seen, Point("ln1_post", layer))
    W_O = model.at_home(block.heads_out.matrix).reshape(model.info.n_heads, model.info.d_head, width)
    z, values = seen[Point("z", layer)], model.value_biases[layer]
    # One head at a time: what all of them write is n_heads times the stream.
    heads = [torch.einsum("pe,npe->n", z[:, h] @ W_O[h], read) for h in range(model.info.n_heads)]
    biases = written_by(block.heads_out.bias)
    if values is not None:
        biases = biases + torch.einsum("hd,hde->e", values, W_O)
    of_attention = torch.einsum("e,npe->n", biases, read) + constant

    read, constant = _through(model, readers, seen, Point("ln2_post", layer))
    of_mlp = written_by(block.down.bias)
    if (post := seen.get(Point("post", layer))) is not None:
        per_unit = model.written_along(layer, read.reshape(-1, width).T).reshape(-1, n, p)
        each = torch.einsum("mnp,pm->mn", per_unit, post)
    else:
        each = torch.einsum("pe,npe->n", seen[Point("mlp_out", layer)] - of_mlp, read).unsqueeze(0)
    of_biases = torch.einsum("e,npe->n", of_mlp, read) + constant
    return _OfLayer(torch.stack(heads), each, of_attention, of_biases)


def _through(
    model: LookupModel, readers: Tensor, seen: Mapping[Point, Tensor], post_norm: Point
) -> tuple[Tensor, Tensor]:
    """How readers read what attention, or the MLP, of a layer writes: what meets it [n, p, d_model], and what
    the bias of the norm in between adds [n]."""
    read = readers * model.wiring.residual_multiplier
    norm = model.wiring.blocks[post_norm.layer].norms.get(cast(NormName, post_norm.role))
    if norm is None:
        return read, read.new_zeros(len(read))
    columns = read.reshape(-1, read.shape[-1]).T
    constant = norm.constant(columns).reshape(read.shape[:2]).sum(1)
    return norm.fold(columns).T.reshape(read.shape) / seen[post_norm], constant
