"""Traces as results, put together on the model thread (method.md, section 9).

Pure functions of what they are given, as answers.py; what a pass over a text keeps is the service's to hold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from tui_lookups.analysis.graph import Kept, prune
from tui_lookups.analysis.openings import Part
from tui_lookups.analysis.readings import Component, Leaf, Reading, neuron_reading, token_reading
from tui_lookups.analysis.trace import Node, Path, grow, has_parts
from tui_lookups.analysis.why import most_probable
from tui_lookups.errors import BadIdError, LookupsError, NumericalError, Poll
from tui_lookups.ids import HeadId, NeuronId, parse_component
from tui_lookups.model.text_pass import TextPass
from tui_lookups.results import (
    Conserved,
    GraphEdge,
    GraphNode,
    Provenance,
    Token,
    Trace,
    TraceGraph,
    TraceNode,
    TraceRest,
    TraceRoot,
)
from tui_lookups.results.trace import ROOT


@dataclass(frozen=True, slots=True)
class Asked:
    """What a trace begins from: a neuron; or a token, the most probable one where it is None, and a foil."""

    neuron: NeuronId | None
    token: Token | None
    foil: Token | None


@dataclass(frozen=True, slots=True)
class At:
    """Where: a text up to the position that is read; and what it is."""

    ids: tuple[int, ...]
    prompt_id: int | None
    context: Literal["full", "trimmed", "text"]

    @property
    def position(self) -> int:
        return len(self.ids) - 1


def trace(
    text: TextPass,
    asked: Asked,
    at: At,
    *,
    node: str,
    depth: int,
    width: int,
    provenance: Provenance,
    poll: Poll,
) -> Trace:
    """The node that is named, and what is below it. Raises LookupsError where there is no such node."""
    root, reading = _root(text, asked, at.position)
    path = parse_node(node)
    try:
        grown = grow(text, reading, path, depth=depth, width=width, poll=poll)
    except ValueError as error:
        raise no_such_node(node) from error
    nodes = tuple(_node(node, root.value, asked, at.position) for node in grown)
    leaves = math.fsum(node.contribution for node in nodes if not node.opened)
    rests = math.fsum(node.rest.contribution for node in nodes if node.rest is not None)
    return Trace(
        root=root,
        tokens=text.model.vocabulary.tokens(list(at.ids)),
        position=at.position,
        prompt_id=at.prompt_id,
        context=at.context,
        depth=depth,
        width=width,
        nodes=nodes,
        conserved=Conserved(leaves, rests, nodes[0].contribution - leaves - rests),
        provenance=provenance,
    )


def graph(
    text: TextPass, asked: Asked, at: At, *, nodes: int, provenance: Provenance, poll: Poll
) -> TraceGraph:
    """The pruned graph of so many components."""
    root, reading = _root(text, asked, at.position)
    pruned = prune(text, reading, nodes, poll)
    names = [_name_in_graph(node) for node in pruned.nodes]
    into = [[value for _, target, value in pruned.edges if target == number] for number in range(len(names))]
    kept = [
        GraphNode(
            id=f"{name}@{node.position}",
            kind=_kind(node.component or "embedding"),  # type: ignore[arg-type]
            component=name,
            position=node.position,
            relevance=node.relevance,
            share=_share(node.relevance, root.value),
            activation=node.activation,
            # An embedding has no parts, and so no rest.
            rest=0.0 if node.component is None else node.relevance - math.fsum(parts),
        )
        for name, node, parts in zip(names, pruned.nodes, into, strict=True)
    ]
    ids = [*(node.id for node in kept), ROOT]  # the target -1 is the root
    at_root = math.fsum(value for _, target, value in pruned.edges if target == -1)
    top = GraphNode(
        ROOT, "root", name_of_root(root), at.position, root.value, _share(root.value, root.value),
        root.activation, root.value - at_root,
    )  # fmt: skip
    lost = root.value - pruned.explained - pruned.beside
    return TraceGraph(
        root=root,
        tokens=text.model.vocabulary.tokens(list(at.ids)),
        position=at.position,
        prompt_id=at.prompt_id,
        context=at.context,
        nodes=(top, *kept),
        edges=tuple(GraphEdge(ids[source], ids[target], value) for source, target, value in pruned.edges),
        explained=pruned.explained,
        biases=pruned.biases,
        beside=None if text.model.info.units is None else pruned.beside,
        lost=lost,
        lost_share=_share(lost, root.value),
        provenance=provenance,
    )


def name_of_root(root: TraceRoot) -> str:
    """What a trace begins from, in a word."""
    if root.neuron is not None:
        return str(root.neuron)
    assert root.token is not None
    return f"logit of {root.token.text!r}" + ("" if root.foil is None else f" less {root.foil.text!r}")


def parse_node(node: str) -> Path:
    """The path that a node's name spells. Raises BadIdError for anything else."""
    first, *steps = node.split("/")
    if first != ROOT:
        raise no_such_node(node)
    return tuple(_parse_step(step, node) for step in steps)


def _parse_step(step: str, node: str) -> Component:
    if step.startswith("@"):
        if not step[1:].isascii() or not step[1:].isdigit():
            raise no_such_node(node)
        return int(step[1:])
    return parse_component(step)


def no_such_node(node: str) -> LookupsError:
    """What is said of the name of a node that this trace has not."""
    return BadIdError(
        f"There is no node {node!r} that could be opened.",
        'Nodes are named as the trace names them, such as "root/L19.N61/L19.H6/@31".',
    )


def _root(text: TextPass, asked: Asked, position: int) -> tuple[TraceRoot, Reading]:
    """What a trace begins from, and what reads its parts."""
    model = text.model
    if asked.neuron is not None:
        reading = neuron_reading(text, asked.neuron, position)
        fired = float(text.neurons(asked.neuron.layer, [position])[0].a[asked.neuron.index])
        target: Literal["activation", "pre_activation"] = (
            "activation" if model.info.gated else "pre_activation"
        )
        return TraceRoot(None, None, asked.neuron, target, reading.value, None, fired, None), reading
    assert text.logits is not None
    if not bool(torch.isfinite(text.logits).all()):
        raise NumericalError(
            "The model's next-token probabilities are not finite.", "Load it with --dtype float32."
        )
    logs = text.logits.log_softmax(-1)
    token = most_probable(model, logs, 1)[0].token if asked.token is None else asked.token
    if token == asked.foil:
        raise LookupsError("A token is no foil of itself.", "Name another foil, or none.")
    reading = token_reading(text, token.id, None if asked.foil is None else asked.foil.id, position)
    probability, cap = float(logs[token.id].exp()), model.wiring.logit_cap
    return TraceRoot(token, asked.foil, None, "logit", reading.value, probability, None, cap), reading


def _node(node: Node, whole: float, asked: Asked, position: int) -> TraceNode:
    part = node.part or Part("bias", position, whole)
    component = None if node.part is None else part.component
    opening = node.opening
    return TraceNode(
        id=_id(node.path),
        parent=None if not node.path else _id(node.path[:-1]),
        kind="root" if component is None else _kind(component),
        component=ROOT if component is None else _name(component, node.path),
        position=part.position,
        contribution=part.contribution,
        share=_share(part.contribution, whole),
        activation=part.activation,
        weight=part.weight,
        openable=component is None or has_parts(component),
        opened=opening is not None,
        rest=None if opening is None else TraceRest(opening.rest, opening.others),
        remainder=None if opening is None else part.contribution - opening.sum,
    )


def _id(path: Sequence[Component]) -> str:
    return "/".join([ROOT, *(f"@{step}" if isinstance(step, int) else str(step) for step in path)])


def _name(component: Component, path: Path) -> str:
    """A component's own name; of a source its head's."""
    return str(path[-2]) if isinstance(component, int) else str(component)


def _kind(
    component: Component,
) -> Literal["head", "source", "neuron"] | Leaf:
    if isinstance(component, HeadId):
        return "head"
    if isinstance(component, NeuronId):
        return "neuron"
    return "source" if isinstance(component, int) else component


def _name_in_graph(each: Kept) -> str:
    return "embedding" if each.component is None else str(each.component)


def _share(value: float, whole: float) -> float | None:
    return value / whole if whole else None
