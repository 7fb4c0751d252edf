"""A fixed trace for the canned explorer: every node has the same shares of parts, down to the embedding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from tui_lookups.ids import HeadId, NeuronId, parse_component
from tui_lookups.results import Conserved, Provenance, Token, Trace, TraceNode, TraceRest, TraceRoot
from tui_lookups.results.trace import ROOT, TraceKind

_SHARES = (0.5, 0.3, -0.2, 0.12, -0.06, 0.05, 0.04, 0.03, 0.02, -0.02, 0.01)
_OTHERS, _ROUNDING = 3_870, 2e-7

Part = tuple[str, TraceKind, str, int, float | None, float | None]
"""The step of a name, kind, component, position, activation and weight."""


def trace(
    root: TraceRoot,
    tokens: Sequence[Token],
    prompt_id: int | None,
    context: Literal["full", "trimmed", "text"],
    node: str,
    depth: int,
    width: int,
    provenance: Provenance,
) -> Trace:
    """The node of this name, and what is below it."""
    position = len(tokens) - 1
    layer = provenance.model.n_layers if root.neuron is None else root.neuron.layer
    at = TraceNode(
        ROOT, None, "root", ROOT, position, root.value, 1.0, root.activation, None, True, False, None, None
    )
    for step in node.split("/")[1:]:
        parts = (part for part in _parts(at, layer, root.value) if part.id == f"{at.id}/{step}")
        at = next(parts, None) or _small(at, step, root.value)
    nodes = tuple(_grown(at, layer, root.value, depth, width))
    leaves = sum(each.contribution for each in nodes if not each.opened)
    rests = sum(each.rest.contribution for each in nodes if each.rest is not None)
    conserved = Conserved(leaves, rests, nodes[0].contribution - leaves - rests)
    return Trace(
        root, tuple(tokens), position, prompt_id, context, depth, width, nodes, conserved, provenance
    )


def _small(above: TraceNode, step: str, whole: float) -> TraceNode:
    """A head or a neuron that is not among the parts of every node."""
    kind: TraceKind = "neuron" if isinstance(parse_component(step), NeuronId) else "head"
    value = 0.004 * above.contribution
    return replace(
        above, id=f"{above.id}/{step}", parent=above.id, kind=kind, component=step, contribution=value,
        share=value / whole, activation=0.1 if kind == "neuron" else None,
    )  # fmt: skip


def _grown(node: TraceNode, layer: int, whole: float, depth: int, width: int) -> Iterator[TraceNode]:
    if not depth or not node.openable:
        yield node
        return
    parts = _parts(node, layer, whole)
    left, told = parts[width:], parts[:width]
    rest = node.contribution - sum(part.contribution for part in told) - _ROUNDING
    yield replace(node, opened=True, rest=TraceRest(rest, len(left) + _OTHERS), remainder=_ROUNDING)
    for part in told:
        yield from _grown(part, layer, whole, depth - 1, width)


def _parts(node: TraceNode, layer: int, whole: float) -> list[TraceNode]:
    """All parts of a node, largest first."""
    found = []
    for share, (step, kind, component, position, activation, weight) in zip(
        _SHARES, _components(node, layer), strict=False
    ):
        value = share * node.contribution
        openable = kind in ("head", "neuron", "source")
        found.append(
            TraceNode(
                f"{node.id}/{step}", node.id, kind, component, position, value, value / whole, activation,
                weight, openable, False, None, None,
            )
        )  # fmt: skip
    return found


def _components(node: TraceNode, layer: int) -> Iterator[Part]:
    if node.kind == "head":
        last = node.position
        yield from (
            (f"@{k}", "source", node.component, k, None, 0.5 / (1 + last - k)) for k in range(last, -1, -1)
        )
        return
    below = layer if node.parent is None else parse_component(node.component).layer
    if below:
        for n in range(4):
            neuron, head = NeuronId(below - 1, 7 + n), HeadId(below - 1, n)
            yield str(neuron), "neuron", str(neuron), node.position, 3.1 - n, None
            yield str(head), "head", str(head), node.position, None, None
    yield "embedding", "embedding", "embedding", node.position, None, None
    yield "mlp_biases", "mlp_biases", "mlp_biases", node.position, None, None
