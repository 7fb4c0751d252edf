"""What reads the residual stream on behalf of something above it (method.md, section 9, "Following on").

1. A `Reading` is a vector that reads the stream at one position, the norm's scale held in it: that of a token
   through the final norm, or of a neuron through the norm before its MLP.
2. Below a reading R, a neuron reads with its own vector, times what is made of its activation: a plain one
   W_out . R times a / pre, a gated one W_out . R times rho / 2 (u r_g + g r_u).
3. A head is carried back through W_V: at position k it reads with pattern[q, k] W_V (W_O R) over the scale of
   the norm before attention.
4. What is written through norms - one after attention or the MLP, in a Post-LN model all between the write
   and the read - is read through them, their scales held (`through`).

Nothing is divided by what can vanish: a / pre at 0 is the slope of the activation function there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from tui_lookups.analysis.attribution import held_ratio, ratio_of
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.components import W_O, Reader, neuron_reader, read_after, token_reader
from tui_lookups.model.held_norms import Stage, divisor
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.model.points import Point
from tui_lookups.model.text_pass import TextPass
from tui_lookups.model.wiring import NormName

Leaf = Literal["embedding", "attention_biases", "mlp_biases", "bias", "rounding", "skip", "error"]
"""A component that has no parts. "bias" is what the reader itself adds; "skip" and "error" are what MLPs
write beside a dictionary's units (method.md, section 14)."""

Component = HeadId | NeuronId | int | Leaf
"""A part of what is read; of a head, a position that it read."""


@dataclass(frozen=True, eq=False)
class Reading:
    """What reads the residual stream at a position.

    Attributes:
        vector: [d_model], in compute_dtype.
        head_layers, mlp_layers: how many layers' heads, and MLPs, write before it reads.
        value: what it reads, which its parts sum to.
        bias: what it reads whatever the stream is.
    """

    vector: Tensor
    position: int
    head_layers: int
    mlp_layers: int
    value: float
    bias: float = 0.0

    @property
    def stage(self) -> Stage:
        """The residual sum that it reads."""
        return Stage(self.head_layers, self.mlp_layers)


@dataclass(frozen=True, eq=False)
class HeadReading:
    """What reads a head's z at a position, carried back to what its attention reads.

    Attributes:
        vector: what reads attention's input at every position, through W_V: [d_model], in compute_dtype.
        along: what reads z itself: [d_head].
        value: what that comes to.
    """

    head: HeadId
    position: int
    vector: Tensor
    along: Tensor
    value: float


@torch.inference_mode()
def token_reading(text: TextPass, token_id: int, foil_id: int | None, position: int) -> Reading:
    """What reads a token's logit at the last position of a text (method.md, section 8)."""
    assert text.uncapped is not None
    wide = text.uncapped.cpu().double()
    origin = wide.mean() if foil_id is None else wide[foil_id]
    return _reading(
        text,
        token_reader(text.model, token_id, foil_id),
        position,
        text.uncapped.new_ones(1),
        float(wide[token_id] - origin),
    )


@torch.inference_mode()
def neuron_reading(text: TextPass, neuron: NeuronId, position: int) -> Reading:
    """What a neuron reads: its pre-activation; of a gated one, its activation (method.md, section 4)."""
    g, u, a = text.neurons(neuron.layer, [position])[0]
    gate, target = g[neuron.index], a[neuron.index]
    if u is None:
        weights, target = torch.ones_like(gate).unsqueeze(0), gate
    else:
        rho = held_ratio(text.model.wiring.blocks[neuron.layer].activation, gate)
        weights = rho / 2 * torch.stack([gate, u[neuron.index]])
    return _reading(text, neuron_reader(text.model, neuron), position, weights, float(target))


def _reading(text: TextPass, reader: Reader, position: int, weights: Tensor, value: float) -> Reading:
    """A reader of the model at a position, its directions taken together with `weights` [n]."""
    scale = text.at(reader.norm, torch.tensor([position]))[0, 0] if reader.norm is not None else 1.0
    return Reading(
        reader.directions @ weights / scale,
        position,
        len(reader.head_layers),
        len(reader.mlp_layers),
        value,
        float(reader.constants @ weights),
    )


@torch.inference_mode()
def below(
    text: TextPass, steps: Sequence[tuple[Reading | HeadReading, Component]]
) -> list[Reading | HeadReading]:
    """What reads the parts of components on behalf of what is above each of them.

    Raises ValueError for a component that has no parts, or is no part of what is above it.
    """
    readings_of: dict[int, Reading | HeadReading] = {}
    heads: dict[int, list[tuple[int, Reading, HeadId]]] = {}
    for number, (above, component) in enumerate(steps):
        if not _is_part(text.model, above, component):
            raise ValueError(f"{component} is no part that has parts")
        if isinstance(above, HeadReading):
            assert isinstance(component, int)
            readings_of[number] = at_source(text, above, component)
        elif isinstance(component, NeuronId):
            readings_of[number] = _of_neuron(text, above, component)
        else:
            assert isinstance(component, HeadId)
            heads.setdefault(component.layer, []).append((number, above, component))
    for layer, of_layer in heads.items():
        readings = _of_heads(text, layer, [(above, head) for _, above, head in of_layer])
        readings_of.update(zip([number for number, _, _ in of_layer], readings, strict=True))
    return [readings_of[number] for number in range(len(steps))]


def _is_part(model: LookupModel, above: Reading | HeadReading, component: Component) -> bool:
    """Whether a component writes what is read above it, and has parts itself."""
    if isinstance(above, HeadReading):
        return isinstance(component, int) and 0 <= component <= above.position
    if isinstance(component, HeadId):
        return component.layer < above.head_layers and component.index < model.info.n_heads
    if isinstance(component, NeuronId):
        return component.layer < above.mlp_layers and component.index < model.info.d_mlp
    return False


def _of_neuron(text: TextPass, above: Reading, neuron: NeuronId) -> Reading:
    model, layer = text.model, neuron.layer
    read, _ = through(text, above.vector.unsqueeze(1), layer, "ln2_post", [above.position], above.stage)
    (written,) = model.at_home(model.wiring.blocks[layer].down.inputs([neuron.index]))
    return for_slope(text, neuron, above.position, written @ read[:, 0])


def for_slope(text: TextPass, neuron: NeuronId, position: int, slope: Tensor) -> Reading:
    """What reads on behalf of who gets `slope` [] of each unit of a neuron's activation."""
    own, fired = neuron_reading(text, neuron, position), text.neurons(neuron.layer, [position])[0]
    value = float(slope * fired.a[neuron.index])
    if fired.u is None:
        block, at = text.model.wiring.blocks[neuron.layer], neuron.index
        slope = slope * ratio_of(block, fired.g[at], fired.a[at])
    return replace(own, vector=own.vector * slope, value=value, bias=own.bias * float(slope))


def _of_heads(text: TextPass, layer: int, steps: list[tuple[Reading, HeadId]]) -> list[HeadReading]:
    heads, at = [head for _, head in steps], [above.position for above, _ in steps]
    read = torch.cat(
        [
            through(text, above.vector.unsqueeze(1), layer, "ln1_post", [above.position], above.stage)[0]
            for above, _ in steps
        ],
        1,
    )
    W = W_O(text.model, layer)[[head.index for head in heads]]
    return carried_back(text, heads, at, torch.einsum("ndm,mn->nd", W, read))


def carried_back(
    text: TextPass, heads: Sequence[HeadId], positions: Sequence[int], along: Tensor
) -> list[HeadReading]:
    """What reads attention's input where z of heads of one layer is read with `along` [n, d_head]."""
    model, layer = text.model, heads[0].layer
    rows, columns = torch.arange(len(heads)), [head.index for head in heads]
    readers = along.new_zeros(len(heads), model.info.n_heads, along.shape[1])
    readers[rows, columns] = along
    vectors = text.attention.read_back(layer, readers)
    z = text.at(Point("z", layer), torch.tensor(positions, device=model.device))[rows, columns]
    readings = zip(heads, positions, vectors, along, (z * along).sum(1).tolist(), strict=True)
    return [HeadReading(*reading) for reading in readings]


def at_source(text: TextPass, above: HeadReading, source: int) -> Reading:
    """What reads the stream at a position that a head read, on behalf of its reader."""
    layer, keys = above.head.layer, slice(source, source + 1)
    weight = text.pattern(layer)[above.head.index, above.position, source]
    value = float(weight * (read_by_attention(text, layer, keys) @ above.vector)[0])
    vector, norm = above.vector, text.model.wiring.blocks[layer].norms.get("ln1")
    if norm is not None:
        vector = norm.fold(vector.unsqueeze(1))[:, 0] / text.at(Point("ln1", layer), keys)[0]
    return Reading(weight * vector, source, layer, layer, value)


def read_by_attention(text: TextPass, layer: int, positions: slice) -> Tensor:
    """What a layer's attention reads, less the bias of the norm before it: [n, d_model]."""
    given = text.at(Point("attn_in", layer), positions)
    norm = text.model.wiring.blocks[layer].norms.get("ln1")
    bias = None if norm is None else norm.bias(given)
    return given if bias is None else given - bias


def through(
    text: TextPass, read: Tensor, layer: int, writer: NormName, positions: Sequence[int], reads: Stage
) -> tuple[Tensor, Tensor]:
    """What meets what attention, or the MLP, of a layer writes where `read` [d_model, n] reads a sum at
    `positions`, the scales of norms in between divided by; and what the bias of the norm next to it adds.

    Returns [d_model, n] and [n].
    """
    vectors, constants, passed = read_after(text.model, layer, writer, read, reads)
    if not passed:
        return vectors, constants
    at = torch.tensor(positions, device=text.model.device)
    scales = [text.at(norm, at)[:, 0] for norm in passed]
    return vectors / divisor(scales, read), constants / divisor(scales[:-1], read)
