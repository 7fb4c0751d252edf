"""The pruned graph of a root: its most relevant components, and what they bring each other directly.

See method.md, section 9.

1. A backward pass gives every component's relevance over all paths (relevance.py); the largest are kept.
2. A kept component's relevance is the sum of what everything below it brings to it directly: it reads with
   what reads it on behalf of the root, over all paths. Of these parts, those of kept components are edges.
3. A second backward pass, through kept components alone, says what of the root they explain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from tui_lookups.analysis.readings import Reading, at_source, carried_back, for_slope
from tui_lookups.analysis.relevance import Place, Relevance, relevance
from tui_lookups.errors import Poll
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.components import W_O
from tui_lookups.model.held_norms import Stage, carried_up, divisor, norms_above_embedding, norms_between
from tui_lookups.model.points import Point
from tui_lookups.model.text_pass import TextPass


@dataclass(frozen=True, slots=True)
class Kept:
    """A component that is kept, at a position; None is the embedding. `slope` is a neuron's."""

    component: HeadId | NeuronId | None
    position: int
    relevance: float
    activation: float | None = None
    slope: float | None = None


@dataclass(frozen=True, slots=True)
class Graph:
    """Kept components, most relevant first, and edges between them by their places in that list.

    Attributes:
        edges: (source, target, contribution); target -1 is the root.
        explained: what of the root reaches it from kept embeddings and biases through kept components.
        biases: those of it.
        beside: what MLPs write beside a dictionary's units, and reaches the root through kept components.
    """

    nodes: tuple[Kept, ...]
    edges: tuple[tuple[int, int, float], ...]
    explained: float
    biases: float
    beside: float


@torch.inference_mode()
def prune(text: TextPass, root: Reading, nodes: int, poll: Poll) -> Graph:
    """The graph of the `nodes` most relevant components.

    Raises UnsupportedModelError where the leaves of the whole do not sum to the root.
    """
    relevant = relevance(text, root, most=nodes, poll=poll)
    relevant.require_sum(text, root)
    kept = _largest(relevant, nodes)
    places: set[Place] = {(node.component, node.position) for node in kept if node.component is not None}
    through_kept = relevance(text, root, most=1, poll=poll, only=places)
    embeddings = [node.position for node in kept if node.component is None]
    biases = through_kept.biases + through_kept.rounding
    explained = float(through_kept.embedding[embeddings].sum()) + biases
    return Graph(
        kept, tuple(_edges(text, root, kept, relevant, poll)), explained, biases, through_kept.beside
    )


def _largest(found: Relevance, nodes: int) -> tuple[Kept, ...]:
    """The most relevant components, those of no relevance left out."""
    every = [Kept(n.neuron, n.position, n.relevance, n.activation, n.slope) for n in found.neurons]
    every += [Kept(None, position, value) for position, value in enumerate(found.embedding.tolist())]
    for layer, values in found.heads.items():
        for position, of_heads in enumerate(values.cpu().double().tolist()):
            every += [
                Kept(HeadId(layer, head), position, value) for head, value in enumerate(of_heads) if value
            ]
    every.sort(key=lambda each: -abs(each.relevance))
    return tuple(node for node in every[:nodes] if node.relevance)


def _edges(
    text: TextPass, root: Reading, kept: tuple[Kept, ...], found: Relevance, poll: Poll
) -> list[tuple[int, int, float]]:
    """What kept components bring each other, and the root (step 2)."""
    at: dict[int, list[int]] = {}
    for number, node in enumerate(kept):
        at.setdefault(node.position, []).append(number)
    written: dict[tuple[int, Stage | None], Tensor] = {}
    edges = []
    for target, readings in _readings(text, root, kept, found, tuple(at)):
        poll()
        for reading in readings:
            sources = at.get(reading.position, [])
            key = reading.position, reading.stage if text.model.wiring.post_ln else None
            if sources and key not in written:
                written[key] = torch.stack([_written(text, kept[n], reading.stage) for n in sources])
            values = (written[key] @ reading.vector).cpu().double().tolist() if sources else []
            edges += [
                (source, target, value)
                for source, value in zip(sources, values, strict=True)
                if value and _reaches(kept[source], reading)
            ]
    return edges


def _readings(
    text: TextPass, root: Reading, kept: tuple[Kept, ...], found: Relevance, at: tuple[int, ...]
) -> Iterator[tuple[int, list[Reading]]]:
    """What reads on behalf of each target, at the positions where something is kept."""
    yield -1, [root]
    heads: dict[int, list[tuple[int, HeadId, int]]] = {}
    for target, node in enumerate(kept):
        if isinstance(node.component, HeadId):
            heads.setdefault(node.component.layer, []).append((target, node.component, node.position))
        elif node.component is not None:
            slope = root.vector.new_tensor(node.slope)
            yield target, [for_slope(text, node.component, node.position, slope)]
    for layer, of_layer in heads.items():
        targets, names, positions = (list(column) for column in zip(*of_layer, strict=True))
        along = found.readers[layer][positions, [name.index for name in names]]
        for target, head in zip(targets, carried_back(text, names, positions, along), strict=True):
            yield target, [at_source(text, head, position) for position in at if position <= head.position]


def _reaches(source: Kept, reading: Reading) -> bool:
    """Whether a component writes before a reading reads."""
    if source.component is None:
        return True
    layers = reading.head_layers if isinstance(source.component, HeadId) else reading.mlp_layers
    return source.component.layer < layers


def _written(text: TextPass, node: Kept, reads: Stage) -> Tensor:
    """What of a residual sum is a component's, [d_model], norms in between held."""
    model, row = text.model, slice(node.position, node.position + 1)
    wiring = model.wiring
    if node.component is None:
        written, passed = text.at(Point("resid_pre"), row)[0], norms_above_embedding(wiring, reads)
    else:
        layer, index = node.component.layer, node.component.index
        if isinstance(node.component, HeadId):
            written = text.at(Point("z", layer), row)[0, index] @ W_O(model, layer)[index]
            passed = norms_between(wiring, layer, "ln1_post", reads)
        else:
            fired = text.neurons(layer, [node.position])[0].a[index]
            written = fired * model.at_home(wiring.blocks[layer].down.inputs([index]))[0]
            passed = norms_between(wiring, layer, "ln2_post", reads)
        written = written * wiring.residual_multiplier
    scales = [text.at(norm, row)[0] for norm in passed]
    return carried_up(wiring, passed, written) / divisor(scales, written)
