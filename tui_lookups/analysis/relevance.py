"""Relevance: what every component of a text contributes to a root over all paths (method.md, section 9).

1. One backward pass, layer by layer and by hand: patterns, the scales of norms and what activations are made
   of (a / pre; rho, half to either factor) are held, so it is the algebra of readings.py over all positions.
   In a Post-LN model what reads the stream goes through its norms as well, one by one.
2. What reads the stream at each position on behalf of the root, times what a component writes there, is the
   component's relevance. Those of embeddings and biases sum to the root (`Relevance.require_sum`).
3. With some components only (`only`), what passes through any other is left out: so much does a pruned graph
   explain.

A layer's neurons are worked out, used and let go: nothing of [pos, d_mlp] is kept for more than one layer.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tui_lookups.analysis.attribution import BOUNDS, held_ratio, ratio_of
from tui_lookups.analysis.readings import Reading, read_by_attention, through
from tui_lookups.errors import Poll, UnsupportedModelError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.components import W_O, of_attention_biases
from tui_lookups.model.held_norms import Stage
from tui_lookups.model.lookup_model import require_finite
from tui_lookups.model.points import Point
from tui_lookups.model.text_pass import TextPass
from tui_lookups.model.wiring import NormName

Place = tuple[HeadId | NeuronId, int]
"""A component at a position."""


@dataclass(frozen=True, slots=True)
class NeuronRelevance:
    """A neuron at a position; `slope` is what the root gets of each unit of its activation."""

    neuron: NeuronId
    position: int
    relevance: float
    activation: float
    slope: float


@dataclass(eq=False)
class Relevance:
    """What a backward pass gives.

    Attributes:
        heads: by layer: [pos, n_heads]; readers: what reads their z: [pos, n_heads, d_head].
        neurons: the largest of every layer.
        embedding: [pos].
        biases: of attention, MLPs and neurons, at all positions; rounding: of heads (see openings.py).
        beside: what MLPs write beside a dictionary's units (method.md, section 14), at all positions.
        size: the sum of the sizes of all relevances.
    """

    heads: dict[int, Tensor] = field(default_factory=dict)
    readers: dict[int, Tensor] = field(default_factory=dict)
    neurons: list[NeuronRelevance] = field(default_factory=list)
    embedding: Tensor = field(default_factory=lambda: torch.zeros(0))
    biases: float = 0.0
    rounding: float = 0.0
    beside: float = 0.0
    size: float = 0.0

    @property
    def sum(self) -> float:
        """What reaches the root from its leaves."""
        return float(self.embedding.sum()) + self.biases + self.rounding + self.beside

    def require_sum(self, text: TextPass, root: Reading) -> None:
        """Raise UnsupportedModelError where the leaves do not sum to the root."""
        model, off = text.model, abs(self.sum - root.value)
        if not off <= BOUNDS[model.dtype] * max(self.size, 1e-30):
            raise UnsupportedModelError(
                f"What reaches the root of a trace of {model.info.name} does not sum to it: it is off by "
                f"{off:.1e}.",
                "Its figures would be wrong, so they are refused; please report the model's name.",
            )


@torch.inference_mode()
def relevance(
    text: TextPass, root: Reading, *, most: int, poll: Poll, only: Set[Place] | None = None
) -> Relevance:
    """The relevance of every head, neuron and embedding to a root.

    Args:
        most: neurons of a layer that are told apart.
        only: the components that paths may pass through; all where it is None.
    """
    back, sequential = _Backward(text, root, most, only), text.model.info.own_layer
    top = max(root.head_layers, root.mlp_layers)
    if root.mlp_layers == top:
        back.read_by_root()
    for layer in reversed(range(top)):
        poll()
        by_mlp: Tensor | None = None
        if layer < root.mlp_layers:
            by_mlp = back.mlp(layer)
            back.through_norm_of_sum("ln2", layer)
        if sequential and by_mlp is not None:
            back.reading += by_mlp
        if root.mlp_layers == layer < root.head_layers:  # a neuron of this block, which its heads reach
            back.read_by_root()
        by_heads = back.attention(layer)
        back.through_norm_of_sum("ln1", layer)
        back.reading += by_heads
        if not sequential and by_mlp is not None:
            back.reading += by_mlp
    return back.ended()


class _Backward:
    """The state of a backward pass: `reading` is what reads the stream at each position, [pos, d_model]."""

    def __init__(self, text: TextPass, root: Reading, most: int, only: Set[Place] | None) -> None:
        self._text = text
        self._root = root
        self._most = most
        self._only = only
        self.reading = torch.zeros_like(text.at(Point("resid_pre")))
        self._found = Relevance(biases=root.bias)

    def read_by_root(self) -> None:
        self.reading[self._root.position] += self._root.vector

    def ended(self) -> Relevance:
        written = _met(self._text.at(Point("resid_pre")), self.reading)
        self._found.embedding = written.cpu().double()
        self._found.size += float(self._found.embedding.abs().sum()) + abs(self._found.biases)
        return self._found

    def through_norm_of_sum(self, name: NormName, layer: int) -> None:
        """Have `reading` read what a Post-LN model's norm takes instead of what it gives."""
        wiring = self._text.model.wiring
        norm = wiring.blocks[layer].norms.get(name)
        if wiring.post_ln and norm is not None:
            self._found.biases += float(norm.constant(self.reading.T).sum())
            self.reading = norm.fold(self.reading.T).T / self._text.at(Point(name, layer))

    def _read(self) -> tuple[Tensor, Tensor]:
        """Positions at which anything is read for the root, [n], and what reads there, [d_model, n]."""
        at = self.reading.abs().sum(1).nonzero()[:, 0]
        return at, self.reading[at].T

    def _through_branch(
        self, read: Tensor, layer: int, writer: NormName, at: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As `through`: what reads a sum meets what is written into it directly, but for a norm after it."""
        return through(self._text, read, layer, writer, at.tolist(), _into(layer, writer))

    def mlp(self, layer: int) -> Tensor:
        """A layer's neurons; what reads the stream on their behalf, [pos, d_model]."""
        text, model, block = self._text, self._text.model, self._text.model.wiring.blocks[layer]
        at, read = self._read()
        read, constant = self._through_branch(read, layer, "ln2_post", at)
        slopes = model.written_along(layer, read).T  # [n, d_mlp]
        g, u, a = text.run_mlp(layer, at)
        relevances = a * slopes
        require_finite(relevances, layer)
        self._found.biases += float(constant.sum())
        if block.down.bias is not None:
            self._found.biases += float((model.at_home(block.down.bias) @ read).sum())
        for role in block.beside:
            written = (text.at(Point(role, layer), at) * read.T).sum(1)
            self._found.beside += float(written.sum())
            self._found.size += float(written.abs().sum())
        self._keep_largest(layer, at, relevances, a, slopes)
        if self._only is not None:
            slopes = slopes * self._mask(NeuronId, layer, at, slopes)
        ratio = ratio_of(block, g, a) if u is None else held_ratio(block.activation, g)
        ways = [(block.up, slopes * ratio)]
        if block.gate is not None and u is not None:
            ways = [(block.up, slopes * ratio / 2 * g), (block.gate, slopes * ratio / 2 * u)]
        norm, back = block.norms.get("ln2"), torch.zeros_like(self.reading[at])
        for part, along in ways:
            back += along @ model.at_home(part.matrix).T
            if part.bias is not None:
                self._found.biases += float((along @ model.at_home(part.bias)).sum())
        if norm is not None:
            self._found.biases += float(norm.constant(back.T).sum())
            back = norm.fold(back.T).T / text.at(Point("ln2", layer), at)
        return torch.zeros_like(self.reading).index_add(0, at, back)

    def attention(self, layer: int) -> Tensor:
        """A layer's heads; what reads the stream on their behalf, [pos, d_model]."""
        text, model, block = self._text, self._text.model, self._text.model.wiring.blocks[layer]
        at, read = self._read()
        read, constant = self._through_branch(read, layer, "ln1_post", at)
        projected = W_O(model, layer) @ read
        readers = projected.permute(2, 0, 1)  # [n, n_heads, d_head]
        z = text.at(Point("z", layer), at)
        found = _met(z, readers)
        require_finite(found, layer)
        self._found.biases += float((constant + of_attention_biases(model, layer, read, projected)).sum())
        self._found.heads[layer] = torch.zeros(len(self.reading), model.info.n_heads).to(found)
        self._found.heads[layer][at] = found
        self._found.readers[layer] = torch.zeros(len(self.reading), *readers.shape[1:]).to(readers)
        self._found.readers[layer][at] = readers
        self._found.size += float(found.abs().sum())
        if self._only is not None:
            mask = self._mask(HeadId, layer, at, found)
            readers, found = readers * mask.unsqueeze(2), found * mask
        at_keys = torch.einsum("hqk,qhd->khd", text.pattern(layer)[:, at], readers)
        back = text.attention.read_back(layer, at_keys)
        carried = _met(read_by_attention(text, layer, slice(None)), back)
        self._found.rounding += float(found.sum() - carried.sum())
        norm = block.norms.get("ln1")
        return back if norm is None else norm.fold(back.T).T / text.at(Point("ln1", layer))

    def _keep_largest(self, layer: int, at: Tensor, found: Tensor, a: Tensor, slopes: Tensor) -> None:
        self._found.size += float(found.abs().sum())
        kept = found.abs().flatten().topk(min(self._most, found.numel())).indices
        figures = (
            torch.stack([values.flatten()[kept] for values in (found, a, slopes)]).cpu().double().tolist()
        )
        places, width, name = at.tolist(), found.shape[1], self._text.model.info.neuron_id
        for flat, value, fired, slope in zip(kept.tolist(), *figures, strict=True):
            neuron, position = name(layer, flat % width), places[flat // width]
            self._found.neurons.append(NeuronRelevance(neuron, position, value, fired, slope))

    def _mask(self, kind: type[HeadId | NeuronId], layer: int, at: Tensor, like: Tensor) -> Tensor:
        """1 where paths may pass through a component of a layer, 0 elsewhere."""
        mask, rows = torch.zeros_like(like), {position: row for row, position in enumerate(at.tolist())}
        for component, position in self._only or ():
            if isinstance(component, kind) and component.layer == layer and position in rows:
                mask[rows[position], component.index] = 1
        return mask


def _into(layer: int, writer: NormName) -> Stage:
    """The residual sum that attention, or the MLP, of a layer writes into."""
    return Stage(layer + 1, layer if writer == "ln1_post" else layer + 1)


def _met(written: Tensor, reading: Tensor) -> Tensor:
    """What is written times what reads it, along the last axis."""
    return (written * reading).sum(-1)
