"""Opening components: what contributed to a contribution (method.md, section 9, "Following on").

1. A `Reading` is a vector that reads the residual stream at one position, the norm's scale held in it. What
   it reads is the sum of what heads, neurons, biases and the embedding wrote there before (`open_readings`).
2. A neuron is opened by reading with its own read vector, times what is made of its activation: for a plain
   one W_out . R times a / pre, for a gated one W_out . R times rho / 2 (u r_g + g r_u).
3. A head is opened into the positions it read (`open_head`), each with a reading there: its pattern times
   W_V W_O R, the scale of the norm before attention held. What its z is off pattern times values, by the
   softmax in another precision, is a part of its own, "rounding".
4. Every opening is held to the bound of its precision: its parts must sum to what is opened.

Nothing is divided by what can vanish: a / pre at 0 is the slope of the activation function there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tui_lookups.analysis.attribution import BOUNDS
from tui_lookups.errors import Poll, UnsupportedModelError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.components import Reader, neuron_reader
from tui_lookups.model.lookup_model import LookupModel, require_finite
from tui_lookups.model.points import Point
from tui_lookups.model.text_pass import TextPass
from tui_lookups.model.wiring import NormName

Leaf = Literal["embedding", "attention_biases", "mlp_biases", "bias", "rounding"]
"""A component that has no parts. "bias" is what the reader itself adds."""

Component = HeadId | NeuronId | int | Leaf
"""A part of what is read; of a head, a position that it read."""

_SAME_Z = {torch.float64: 1e-4, torch.float32: 1e-3, torch.float16: 3e-2, torch.bfloat16: 1e-1}
"""Largest rounding of a head, in units of the sum of its parts' sizes."""

_SLOPE = 1e-4
"""Half the width of the interval that a slope at 0 is taken over."""


@dataclass(frozen=True, eq=False)
class Reading:
    """What reads the residual stream at a position.

    Attributes:
        vector: [d_model], in compute_dtype.
        head_layers, mlp_layers: how many layers' heads, and MLPs, write before it reads.
        bias: what it reads whatever the stream is.
    """

    vector: Tensor
    position: int
    head_layers: int
    mlp_layers: int
    bias: float = 0.0


@dataclass(frozen=True, eq=False)
class HeadReading:
    """What reads a head's z at a position, carried back to what its attention reads.

    Attributes:
        vector: what reads attention's input at every position, through W_V: [d_model], in compute_dtype.
        along: what reads z itself: [d_head].
    """

    head: HeadId
    position: int
    vector: Tensor
    along: Tensor


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
    """The largest parts, largest first, and the sum of the `others` that are left."""

    parts: tuple[Part, ...]
    rest: float
    others: int
    size: float

    @property
    def sum(self) -> float:
        return sum(part.contribution for part in self.parts) + self.rest


def reading_of(text: TextPass, reader: Reader, position: int, weights: Tensor) -> Reading:
    """A reader of the model at a position, its directions taken together with `weights` [n]."""
    scale = text.at(reader.norm, torch.tensor([position]))[0, 0] if reader.norm is not None else 1.0
    return Reading(
        reader.directions @ weights / scale,
        position,
        len(reader.head_layers),
        len(reader.mlp_layers),
        float(reader.constants @ weights),
    )


@torch.inference_mode()
def own_reading(text: TextPass, neuron: NeuronId, position: int) -> tuple[Reading, float]:
    """What a neuron itself reads, and what that comes to: its pre-activation; of a gated one, its activation
    (method.md, section 4)."""
    g, u, a = text.neurons(neuron.layer, [position])[0]
    gate, activation = g[neuron.index], a[neuron.index]
    if u is None:
        weights, target = torch.ones_like(gate).unsqueeze(0), gate
    else:
        rho = held_ratio(text.model.wiring.blocks[neuron.layer].activation, gate, None)
        weights, target = rho / 2 * torch.stack([gate, u[neuron.index]]), activation
    return reading_of(text, neuron_reader(text.model, neuron), position, weights), float(target)


def held_ratio(act: Callable[[Tensor], Tensor], pre: Tensor, activation: Tensor | None) -> Tensor:
    """act(pre) / pre; at 0 its limit, the slope of `act` there. `activation` is act(pre) where it is known."""
    safe = torch.where(pre == 0, torch.ones_like(pre), pre)
    width = torch.full_like(pre, _SLOPE)
    slope = (act(width) - act(-width)) / (2 * _SLOPE)
    return torch.where(pre == 0, slope, (act(safe) if activation is None else activation) / safe)


@torch.inference_mode()
def below(text: TextPass, above: Reading | HeadReading, component: Component) -> Reading | HeadReading:
    """What reads a component's parts on behalf of what is above it. Raises ValueError for one without any."""
    if isinstance(above, HeadReading):
        if isinstance(component, int):
            return _at_source(text, above, component)
    elif isinstance(component, NeuronId):
        read, _ = through(text, above.vector.unsqueeze(1), component.layer, "ln2_post", [above.position])
        written = text.model.at_home(text.model.wiring.blocks[component.layer].down.matrix[component.index])
        own, _ = own_reading(text, component, above.position)
        factor = written @ read[:, 0]
        if not text.model.architecture.gated:
            g, _, a = (v[component.index] for v in text.neurons(component.layer, [above.position])[0])
            factor = factor * held_ratio(text.model.wiring.blocks[component.layer].activation, g, a)
        return Reading(
            own.vector * factor, own.position, own.head_layers, own.mlp_layers, own.bias * float(factor)
        )
    elif isinstance(component, HeadId):
        read, _ = through(text, above.vector.unsqueeze(1), component.layer, "ln1_post", [above.position])
        along = W_O(text.model, component.layer)[component.index] @ read[:, 0]
        readers = along.new_zeros(1, text.model.info.n_heads, len(along))
        readers[0, component.index] = along
        vector = text.attention.read_back(component.layer, readers)[0]
        return HeadReading(component, above.position, vector, along)
    raise ValueError(f"{component} has no parts below it")


def _at_source(text: TextPass, above: HeadReading, source: int) -> Reading:
    layer = above.head.layer
    weight = text.pattern(layer)[above.head.index, above.position, source]
    norm = text.model.wiring.blocks[layer].norms.get("ln1")
    vector = above.vector
    if norm is not None:
        vector = norm.fold(vector.unsqueeze(1))[:, 0] / text.at(Point("ln1", layer), torch.tensor([source]))[0]
    return Reading(weight * vector, source, layer, layer)


def through(
    text: TextPass, read: Tensor, layer: int, norm: NormName, positions: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """What meets what attention, or the MLP, of a layer writes where `read` [d_model, n] reads the stream at
    `positions`; and what the bias of the norm in between adds, [n]."""
    model = text.model
    read = read * model.wiring.residual_multiplier
    post = model.wiring.blocks[layer].norms.get(norm)
    if post is None:
        return read, read.new_zeros(read.shape[1])
    scale = text.at(Point(norm, layer), torch.tensor(positions, device=model.device))
    return post.fold(read) / scale.T, post.constant(read)


def W_O(model: LookupModel, layer: int) -> Tensor:
    """[n_heads, d_head, d_model], in compute_dtype."""
    matrix = model.at_home(model.wiring.blocks[layer].heads_out.matrix)
    return matrix.reshape(model.info.n_heads, model.info.d_head, -1)


@torch.inference_mode()
def open_head(text: TextPass, reading: HeadReading, width: int | None) -> Opening:
    """A head's parts: the positions that it read, and its rounding (step 3)."""
    model, layer = text.model, reading.head.layer
    keys = slice(0, reading.position + 1)
    given = text.at(Point("attn_in", layer), keys)
    norm = model.wiring.blocks[layer].norms.get("ln1")
    bias = None if norm is None else norm.bias(given)
    carried = (given if bias is None else given - bias) @ reading.vector
    weights = text.pattern(layer)[reading.head.index, reading.position, keys]
    z = text.at(Point("z", layer), slice(reading.position, reading.position + 1))[0, reading.head.index]
    both = torch.stack([weights * carried, weights]).cpu().double().tolist()
    rounding = float(z @ reading.along) - sum(both[0])
    parts = [
        Part(k, k, value, weight=weight) for k, (value, weight) in enumerate(zip(*both, strict=True))
    ]
    size = sum(abs(part.contribution) for part in parts)
    if not abs(rounding) <= _SAME_Z[model.dtype] * max(size, float(z.norm() * reading.along.norm())):
        raise UnsupportedModelError(
            f"The pattern of {reading.head} of {model.info.name} times its values is not what the head gathers.",
            "Its source tokens would be wrong, so they are refused; please report the model's name.",
        )
    return largest([*parts, Part("rounding", reading.position, rounding)], width)


def largest(
    parts: Sequence[Part], width: int | None, *, rest: float = 0.0, others: int = 0, size: float = 0.0
) -> Opening:
    """An opening of which the `width` largest parts are told apart; `rest`, `others` and `size` are of those
    that are not among `parts`."""
    ordered = sorted(parts, key=lambda part: -abs(part.contribution))
    kept, left = ordered[:width], ordered[len(ordered[:width]) :]
    return Opening(
        tuple(kept),
        rest + sum(part.contribution for part in left),
        others + len(left),
        size + sum(abs(part.contribution) for part in ordered),
    )


@torch.inference_mode()
def open_readings(
    text: TextPass, readings: Sequence[Reading], width: int | None, poll: Poll
) -> list[Opening]:
    """The parts of what several vectors read, each at a position of its own (step 1)."""
    if not readings:
        return []
    model, n = text.model, len(readings)
    read = torch.stack([reading.vector for reading in readings], 1)
    at = [reading.position for reading in readings]
    stream = text.at(Point("resid_pre"), torch.tensor(at, device=model.device))
    embedding = (stream.T * read).sum(0)
    attention, mlp = read.new_zeros(n), read.new_zeros(n)
    rows: list[_Row] = [_Row([], 0.0, 0, 0.0) for _ in readings]
    for layer in range(max(max(r.head_layers, r.mlp_layers) for r in readings)):
        poll()
        columns = [i for i, r in enumerate(readings) if layer < r.head_layers]
        if columns:
            attention[columns] += _heads(text, layer, read[:, columns], [at[i] for i in columns], columns, rows)
        columns = [i for i, r in enumerate(readings) if layer < r.mlp_layers]
        if columns:
            mlp[columns] += _neurons(
                text, layer, read[:, columns], [at[i] for i in columns], columns, rows, width
            )
    leaves = torch.stack([embedding, attention, mlp]).cpu().double().T.tolist()
    found = []
    for reading, row, (embedded, of_attention, of_mlps) in zip(readings, rows, leaves, strict=True):
        q = reading.position
        parts = [
            Part("embedding", q, embedded),
            Part("attention_biases", q, of_attention),
            Part("mlp_biases", q, of_mlps),
            Part("bias", q, reading.bias),
        ]
        parts = [part for part in parts if part.component == "embedding" or part.contribution != 0]
        found.append(largest([*row.parts, *parts], width, rest=row.rest, others=row.others, size=row.size))
    return found


@dataclass
class _Row:
    """What is found of one reading, layer by layer: its largest parts, and the sum of those let go."""

    parts: list[Part]
    rest: float
    others: int
    size: float


def _heads(
    text: TextPass, layer: int, read: Tensor, at: list[int], columns: list[int], rows: list[_Row]
) -> Tensor:
    """Add a layer's heads to `rows`; what its biases write, value biases among them: [n]."""
    model, block = text.model, text.model.wiring.blocks[layer]
    read, written = through(text, read, layer, "ln1_post", at)
    projected = W_O(model, layer) @ read  # [n_heads, d_head, n]
    z = text.at(Point("z", layer), torch.tensor(at, device=model.device))
    found = torch.einsum("nhd,hdn->nh", z, projected)
    require_finite(found, layer)
    if block.heads_out.bias is not None:
        written = written + model.at_home(block.heads_out.bias) @ read
    values = model.value_biases[layer]
    if values is not None:
        written = written + torch.einsum("hd,hdn->n", values, projected)
    for column, position, of_heads in zip(columns, at, found.cpu().double().tolist(), strict=True):
        rows[column].parts += [Part(HeadId(layer, head), position, v) for head, v in enumerate(of_heads)]
    return written


def _neurons(
    text: TextPass,
    layer: int,
    read: Tensor,
    at: list[int],
    columns: list[int],
    rows: list[_Row],
    width: int | None,
) -> Tensor:
    """Add a layer's neurons to `rows`; what the bias of its MLP writes: [n]."""
    model, block = text.model, text.model.wiring.blocks[layer]
    read, written = through(text, read, layer, "ln2_post", at)
    a = torch.stack([found.a for found in text.neurons(layer, at)], 1)  # [d_mlp, n]
    found = a * (model.at_home(block.down.matrix) @ read)
    require_finite(found, layer)
    if block.down.bias is not None:
        written = written + model.at_home(block.down.bias) @ read
    sizes = found.abs()
    kept = sizes.topk(len(found) if width is None else min(width, len(found)), dim=0).indices
    sums = torch.stack([found.sum(0), sizes.sum(0)]).cpu().double()
    indices, values, activations = kept.T.tolist(), found.gather(0, kept).cpu().double().T, a.gather(0, kept)
    fired = activations.cpu().double().T.tolist()
    for row, (column, position) in enumerate(zip(columns, at, strict=True)):
        of_row = rows[column]
        of_row.parts += [
            Part(NeuronId(layer, index), position, value, activation)
            for index, value, activation in zip(indices[row], values[row].tolist(), fired[row], strict=True)
        ]
        of_row.rest += float(sums[0, row] - values[row].sum())
        of_row.others += len(found) - len(indices[row])
        of_row.size += float(sums[1, row] - values[row].abs().sum())
    return written


def require_sum(text: TextPass, contribution: float, opening: Opening, what: str) -> None:
    """Raise UnsupportedModelError where the parts do not sum to what was opened (step 4)."""
    model = text.model
    if not abs(contribution - opening.sum) <= BOUNDS[model.dtype] * max(opening.size, 1e-30):
        raise UnsupportedModelError(
            f"The parts of {what} of {model.info.name} ({model.architecture.label}) do not sum to it: they are "
            f"off by {abs(contribution - opening.sum):.1e}.",
            "Its figures would be wrong, so they are refused; please report the model's name."
            if model.dtype == model.compute_dtype
            else "Half precision is too coarse for it: try --dtype float32.",
        )
