"""Opening components: the parts of what was contributed (method.md, section 9, "Following on").

1. What a vector reads of the residual stream (readings.py) is the sum of what heads, neurons, biases and the
   embedding wrote there before it. Of the neurons, which may be a million, only the largest become parts.
2. What a head brings is the sum over the positions that it read. What its z is off pattern times values - the
   pattern is had from another implementation, whose softmax rounds otherwise - is a part, "rounding".
3. Every opening is held to the bound of its precision: its parts sum to what is opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tui_lookups.analysis.attribution import BOUNDS
from tui_lookups.analysis.readings import (
    Component,
    HeadReading,
    Leaf,
    Reading,
    read_by_attention,
)
from tui_lookups.analysis.stream_reads import StreamReads
from tui_lookups.errors import Poll, UnsupportedModelError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.attention import SAME_Z
from tui_lookups.model.components import W_O, of_attention_biases
from tui_lookups.model.lookup_model import require_finite
from tui_lookups.model.points import Point
from tui_lookups.model.text_pass import TextPass
from tui_lookups.model.wiring import Beside
from tui_lookups.progress import counting


@dataclass(frozen=True, slots=True)
class Part:
    """One component of what is opened; `activation` is a neuron's, `weight` the pattern's at a source."""

    component: Component
    position: int
    contribution: float
    activation: float | None = None
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class Opening:
    """The largest parts, largest first, and the sum of the `others` that are left; `size` sums all sizes."""

    parts: tuple[Part, ...]
    rest: float
    others: int
    size: float

    @property
    def sum(self) -> float:
        return sum(part.contribution for part in self.parts) + self.rest


@torch.inference_mode()
def open_head(text: TextPass, reading: HeadReading, width: int | None) -> Opening:
    """A head's parts: the positions that it read, and its rounding (step 2)."""
    model, layer = text.model, reading.head.layer
    keys = slice(0, reading.position + 1)
    weights = text.pattern(layer)[reading.head.index, reading.position, keys]
    carried = weights * (read_by_attention(text, layer, keys) @ reading.vector)
    both = torch.stack([carried, weights], 1).cpu().double().tolist()
    parts = [Part(k, k, value, weight=weight) for k, (value, weight) in enumerate(both)]
    rounding = reading.value - sum(part.contribution for part in parts)
    z = text.at(Point("z", layer), slice(reading.position, reading.position + 1))[0, reading.head.index]
    size = max(sum(abs(part.contribution) for part in parts), float(z.norm() * reading.along.norm()))
    if not abs(rounding) <= SAME_Z[model.dtype] * size:
        raise UnsupportedModelError(
            f"The pattern of {reading.head} of {model.info.name} times its values is not what it gathers.",
            "Its source tokens would be wrong, so they are refused; please report the model's name.",
        )
    return largest([*parts, Part("rounding", reading.position, rounding)], width)


def largest(parts: Sequence[Part], width: int | None) -> Opening:
    """An opening of which the `width` largest parts are told apart."""
    ordered = sorted(parts, key=lambda part: -abs(part.contribution))
    left = [part.contribution for part in ordered[width:]] if width is not None else []
    size = sum(abs(part.contribution) for part in ordered)
    return Opening(tuple(ordered[:width]), sum(left), len(left), size)


@torch.inference_mode()
def open_readings(
    text: TextPass, readings: Sequence[Reading], width: int | None, poll: Poll
) -> list[Opening]:
    """The parts of what several vectors read, each at a position of its own (step 1)."""
    if not readings:
        return []
    model, n = text.model, len(readings)
    reads, at = StreamReads(text, readings), [reading.position for reading in readings]
    stream = text.at(Point("resid_pre"), torch.tensor(at, device=model.device))
    embedding = (stream.T * reads.of_embedding).sum(0)
    attention, mlp = embedding.new_zeros(n), embedding.new_zeros(n)
    beside: dict[Leaf, Tensor] = {"skip": embedding.new_zeros(n), "error": embedding.new_zeros(n)}
    rows = [_Row() for _ in readings]
    layers = range(max(max(r.head_layers, r.mlp_layers) for r in readings))
    poll = counting(poll, "opening", len(layers), "layers")
    for layer in layers:
        poll()
        columns = [i for i, r in enumerate(readings) if layer < r.head_layers]
        if columns:
            attention[columns] += _heads(text, layer, reads, [at[i] for i in columns], columns, rows)
        columns = [i for i, r in enumerate(readings) if layer < r.mlp_layers]
        if columns:
            mlp[columns] += _neurons(text, layer, reads, [at[i] for i in columns], columns, rows, width)
            for role, values in _beside(text, layer, reads, [at[i] for i in columns], columns).items():
                beside[role][columns] += values
    leaves = torch.stack([embedding, attention, mlp, *beside.values()]).cpu().double().T.tolist()
    names: tuple[Leaf, ...] = ("embedding", "attention_biases", "mlp_biases", *beside, "bias")
    opened = []
    for reading, row, of_leaves in zip(readings, rows, leaves, strict=True):
        for name, value in zip(names, (*of_leaves, reading.bias), strict=True):
            if value != 0 or name == "embedding":
                row.parts.append((value, name, 0, None))
        opened.append(row.opening(reading.position, width, model.info.neuron_id))
    return opened


_Figure = tuple[float, int | Leaf, int, float | None]
"""A contribution, the layer it is from or the kind of leaf, the index there, a neuron's activation."""


@dataclass
class _Row:
    """What is found of one reading, layer by layer: figures that may be among its largest, and of all others
    the sum, how many, and the sum of sizes. Components get their names at the end: few are kept."""

    parts: list[_Figure] = field(default_factory=list)
    rest: float = 0.0
    others: int = 0
    size: float = 0.0

    def opening(self, position: int, width: int | None, neuron_id: type[NeuronId]) -> Opening:
        ordered = sorted(self.parts, key=lambda figure: -abs(figure[0]))
        kept, left = ordered[:width], ordered[len(ordered[:width]) :]
        return Opening(
            tuple(Part(_component(figure, neuron_id), position, figure[0], figure[3]) for figure in kept),
            self.rest + sum(figure[0] for figure in left),
            self.others + len(left),
            self.size + sum(abs(figure[0]) for figure in ordered),
        )


def _component(figure: _Figure, neuron_id: type[NeuronId]) -> Component:
    _, layer, index, activation = figure
    if not isinstance(layer, int):
        return layer
    return HeadId(layer, index) if activation is None else neuron_id(layer, index)


def _heads(
    text: TextPass, layer: int, reads: StreamReads, at: list[int], columns: list[int], rows: list[_Row]
) -> Tensor:
    """Add a layer's heads to `rows`; what its biases write, value biases among them: [n]."""
    model = text.model
    read, written = reads.of(layer, "ln1_post", columns)
    projected = W_O(model, layer) @ read  # [n_heads, d_head, n]
    z = text.at(Point("z", layer), torch.tensor(at, device=model.device))
    values = torch.einsum("nhd,hdn->nh", z, projected)
    require_finite(values, layer)
    for column, of_heads in zip(columns, values.cpu().double().tolist(), strict=True):
        rows[column].parts += [(value, layer, head, None) for head, value in enumerate(of_heads)]
    return written + of_attention_biases(model, layer, read, projected)


def _neurons(
    text: TextPass,
    layer: int,
    reads: StreamReads,
    at: list[int],
    columns: list[int],
    rows: list[_Row],
    width: int | None,
) -> Tensor:
    """Add a layer's neurons to `rows`; what the bias of its MLP writes: [n]."""
    model, bias = text.model, text.model.wiring.blocks[layer].down.bias
    read, written = reads.of(layer, "ln2_post", columns)
    a = torch.stack([writes.a for writes in text.neurons(layer, at)], 1)  # [d_mlp, n]
    writes = a * model.written_along(layer, read)
    require_finite(writes, layer)
    if bias is not None:
        written = written + model.at_home(bias) @ read
    kept = writes.abs().topk(len(writes) if width is None else min(width, len(writes)), dim=0).indices
    values = writes.gather(0, kept)
    left = writes.scatter(0, kept, 0.0)
    sums = torch.stack([left.sum(0), left.abs().sum(0)]).cpu().double().T.tolist()
    each = torch.stack([values, a.gather(0, kept)]).cpu().double().transpose(1, 2).tolist()
    for number, (column, indices) in enumerate(zip(columns, kept.T.tolist(), strict=True)):
        row, (rest, size) = rows[column], sums[number]
        row.parts += [
            (value, layer, index, fired)
            for index, value, fired in zip(indices, each[0][number], each[1][number], strict=True)
        ]
        row.rest, row.size = row.rest + rest, row.size + size
        row.others += len(writes) - len(indices)
    return written


def _beside(
    text: TextPass, layer: int, reads: StreamReads, at: list[int], columns: list[int]
) -> dict[Beside, Tensor]:
    """What a layer's MLP writes beside a dictionary's units and biases, read by each: [n]."""
    read, _ = reads.of(layer, "ln2_post", columns)
    places = torch.tensor(at, device=text.model.device)
    roles = text.model.wiring.blocks[layer].beside
    return {role: (text.at(Point(role, layer), places).T * read).sum(0) for role in roles}


def require_sum(text: TextPass, value: float, opening: Opening, what: str) -> None:
    """Raise UnsupportedModelError where the parts do not sum to what was opened (step 3)."""
    model, off = text.model, abs(value - opening.sum)
    if not off <= BOUNDS[model.dtype] * max(opening.size, 1e-30):
        raise UnsupportedModelError(
            f"The parts of {what} of {model.info.name} ({model.architecture.label}) do not sum to it: they "
            f"are off by {off:.1e}.",
            "Its figures would be wrong, so they are refused; please report the model's name."
            if model.dtype == model.compute_dtype
            else "Half precision is too coarse for it: try --dtype float32.",
        )
