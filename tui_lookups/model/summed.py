"""What every component contributes to readers of one text's residual stream, summed over its positions.

See method.md, sections 9 and 10. A reader here has a vector for each position, so that what reads the stream
at one position (a source token, a query) and what compares several (a key with the other keys) are one sum.

1. A pass shows what the components of a layer write with, at the positions asked for, and lets go of it when
   the next layer begins: nothing of the size of positions x d_mlp x layers is kept.
2. It is multiplied with the vectors at its position, and summed over positions.
3. What is written through a norm after attention, or after the MLP, is read through it, its scale held. In a
   Post-LN model (held_norms.py) the scales of norms above a layer are needed before they are seen: a pass of
   its own shows them first.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tui_lookups.errors import Poll
from tui_lookups.model.components import W_O, beside_roles, read_after
from tui_lookups.model.held_norms import Stage, carried_down, divisor, norms_above_embedding
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.model.points import Hook, Point
from tui_lookups.model.wiring import Beside, NormName

_MOST_NUMBERS = 2**24
"""Of what some heads write, at once."""


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
        beside: what MLPs write beside a dictionary's units, [layers, n] each (method.md, section 14).
    """

    heads: Tensor
    mlps: Tensor
    neurons: Tensor
    activations: Tensor
    embedding: Tensor
    attention_biases: Tensor
    mlp_biases: Tensor
    beside: dict[Beside, Tensor]


@dataclass(frozen=True, eq=False)
class Readers:
    """What reads the stream of one text.

    Attributes:
        vectors: norm folded and scale divided by, [n, p, d_model], in compute_dtype.
        positions: of the p.
        told: of each neuron too, not only of all of a layer together, with its activation at this position,
            one for each of the n; empty: of layers alone.
    """

    vectors: Tensor
    positions: Sequence[int]
    told: Sequence[int] = ()

    @property
    def columns(self) -> Tensor:
        """The vectors side by side, [d_model, n * p]."""
        return self.vectors.flatten(0, 1).T


def summed(
    model: LookupModel, tokens: Tensor, asked: Sequence[Readers], n_layers: int, *, poll: Poll
) -> list[Summed]:
    """What components contribute to readers of the stream before layer `n_layers`, in one pass.

    Args:
        tokens: [1, pos].
    """
    layers: list[list[_OfLayer]] = [[] for _ in asked]
    embedding: list[Tensor] = []
    reads = Stage(n_layers, n_layers)
    held: dict[Point, Tensor] = {}
    seen: ChainMap[Point, Tensor] = ChainMap({}, held)

    def keep(point: Point, kept: MutableMapping[Point, Tensor]) -> Hook:
        def hook(activation: Tensor) -> None:
            kept[point] = activation[0].to(model.compute_dtype, copy=True)

        return hook

    above = norms_above_embedding(model.wiring, reads)
    if above:
        model.run(tokens, {norm: keep(norm, held) for norm in above}, stop_after=n_layers, poll=poll)

    def see_embedding(activation: Tensor) -> None:
        stream = activation[0].to(model.compute_dtype)
        for readers in asked:
            read, _ = carried_down(model.wiring, above, readers.columns)
            at_embedding = _divided(readers, read, above, held)
            embedding.append(_product(stream[list(readers.positions)], at_embedding))

    def close_layer(layer: int) -> Hook:
        def hook(_: Tensor) -> None:
            for of_layer, readers in zip(layers, asked, strict=True):
                of_layer.append(_of_layer(model, readers, seen, layer, reads))
            seen.clear()

        return hook

    hooks: dict[Point, Hook] = {Point("resid_pre"): see_embedding}
    neurons = any(readers.told for readers in asked)
    for layer in range(n_layers):
        norms, beside = model.wiring.blocks[layer].norms, model.wiring.blocks[layer].beside
        points = [Point("z", layer), Point("mlp_out", layer), *(Point(role, layer) for role in beside)]
        points += [Point("post", layer)] if neurons else []
        points += [Point(name, layer) for name in _POST_NORMS if name in norms]
        hooks |= {point: keep(point, seen) for point in points}
        hooks[Point("resid_pre", layer + 1)] = close_layer(layer)
    model.run(tokens, hooks, stop_after=n_layers, poll=poll)
    return [
        _joined(model, readers, of_layer, of_embedding)
        for readers, of_layer, of_embedding in zip(asked, layers, embedding, strict=True)
    ]


_POST_NORMS: tuple[NormName, ...] = ("ln1_post", "ln2_post")


@dataclass(frozen=True, eq=False)
class _OfLayer:
    """Of one layer, as in `Summed`, without its axis of layers."""

    heads: Tensor
    mlp: Tensor
    neurons: Tensor | None
    activations: Tensor | None
    attention_biases: Tensor
    mlp_biases: Tensor
    beside: dict[Beside, Tensor]


def _joined(model: LookupModel, asked: Readers, layers: list[_OfLayer], embedding: Tensor) -> Summed:
    n, info = len(asked.vectors), model.info

    def joined(name: str, *shape: int) -> Tensor:
        parts = [part for layer in layers if (part := getattr(layer, name)) is not None]
        return torch.stack(parts).cpu().double() if parts else torch.zeros(0, *shape, dtype=torch.float64)

    roles = beside_roles(model, range(len(layers)))
    beside = {
        role: torch.stack([layer.beside.get(role, layer.mlp_biases.new_zeros(n)) for layer in layers])
        for role in roles
    }
    return Summed(
        heads=joined("heads", info.n_heads, n),
        mlps=joined("mlp", n),
        neurons=joined("neurons", info.d_mlp, n),
        activations=joined("activations", info.d_mlp, n),
        embedding=embedding.cpu().double(),
        attention_biases=joined("attention_biases", n),
        mlp_biases=joined("mlp_biases", n),
        beside={role: values.cpu().double() for role, values in beside.items()},
    )


def _of_layer(
    model: LookupModel, asked: Readers, seen: Mapping[Point, Tensor], layer: int, reads: Stage
) -> _OfLayer:
    block, info, at = model.wiring.blocks[layer], model.info, list(asked.positions)
    read, constant = _through(model, asked, seen, layer, "ln1_post", reads)
    write = W_O(model, layer)
    z, values = seen[Point("z", layer)][at], model.value_biases[layer]
    # As many heads at once as take some memory: what all of them write is n_heads times the stream.
    some = max(1, _MOST_NUMBERS // max(1, len(at) * info.d_model))
    heads = torch.cat(
        [
            _product(torch.einsum("phd,hde->hpe", z[:, h : h + some], write[h : h + some]), read)
            for h in range(0, info.n_heads, some)
        ]
    )
    biases = [] if block.heads_out.bias is None else [model.at_home(block.heads_out.bias)]
    biases += [] if values is None else [torch.einsum("hd,hde->e", values, write)]
    of_attention = _of_biases(biases, read) + constant

    read, constant = _through(model, asked, seen, layer, "ln2_post", reads)
    bias = None if block.down.bias is None else model.at_home(block.down.bias)
    written = seen[Point("mlp_out", layer)][at]
    beside = {role: seen[Point(role, layer)][at] for role in block.beside}
    for other in [*([] if bias is None else [bias]), *beside.values()]:
        written = written - other
    neurons = activations = None
    if asked.told:
        post = seen[Point("post", layer)]
        neurons = torch.stack([_of_neurons(model, layer, post[at], readers) for readers in read], 1)
        activations = post[list(asked.told)].T
    return _OfLayer(
        heads=heads,
        mlp=_product(written, read),
        neurons=neurons,
        activations=activations,
        attention_biases=of_attention,
        mlp_biases=_of_biases([] if bias is None else [bias], read) + constant,
        beside={role: _product(values, read) for role, values in beside.items()},
    )


def _product(written: Tensor, read: Tensor) -> Tensor:
    """What is written [..., p, d_model] times what reads it [n, p, d_model], over positions: [..., n]."""
    return written.flatten(-2) @ read.flatten(1).T


def _of_neurons(model: LookupModel, layer: int, post: Tensor, read: Tensor) -> Tensor:
    """What each neuron contributes to one reader [p, d_model], by activations [p, d_mlp]: [d_mlp]."""
    some = torch.nonzero(read.abs().amax(1)).flatten()  # a reader of one position is 0 at the others
    return torch.einsum("mp,pm->m", model.written_along(layer, read[some].T), post[some])


def _of_biases(biases: Sequence[Tensor], read: Tensor) -> Tensor:
    """What vectors written at every position contribute: [n]."""
    return read.sum(1) @ sum(biases) if biases else read.new_zeros(len(read))


def _through(
    model: LookupModel,
    asked: Readers,
    seen: Mapping[Point, Tensor],
    layer: int,
    writer: NormName,
    reads: Stage,
) -> tuple[Tensor, Tensor]:
    """As `read_after`, for readers of several positions: what meets what is written [n, p, d_model], divided
    by the scales, and what the bias of the norm next to it adds [n]."""
    columns, constants, passed = read_after(model, layer, writer, asked.columns, reads)
    added = _divided(asked, constants.unsqueeze(0), passed[:-1], seen)
    return _divided(asked, columns, passed, seen), added.flatten(1).sum(1)


def _divided(asked: Readers, columns: Tensor, norms: Sequence[Point], seen: Mapping[Point, Tensor]) -> Tensor:
    """What stands in columns [m, n * p] as [n, p, m], divided by the scales of norms at the positions."""
    rows = columns.T.reshape(*asked.vectors.shape[:2], len(columns))
    scales = [seen[norm][list(asked.positions)] for norm in norms]
    return rows / divisor(scales, rows) if scales else rows
