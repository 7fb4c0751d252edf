"""A trace's graph in the format that circuit-tracer's and Neuronpedia's front ends read, and back.

1. The keys are those of their attribution graphs: `metadata`, `qParams`, `nodes`, `links`. A head or neuron
   is a node of the one type that they draw as a component, named by `clerp`; an embedding is one of theirs,
   the root a logit.
2. A node's name is LAYER_INDEX_POSITION, as they take it apart. Heads count on from the layer's last neuron.
3. `influence` is the share of all relevance that a node and the more relevant ones have: what their slider
   prunes by. A link's `weight` is an edge's contribution.
4. What they have no key for stands in `metadata.lookups_tui`, the whole graph as `--json` would print it, and
   is what we read back.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate
from pathlib import Path
from typing import Any

from tui_lookups.errors import ExportError
from tui_lookups.exports.reading import read_json
from tui_lookups.exports.writing import write_bytes
from tui_lookups.ids import parse_component
from tui_lookups.results import GraphNode, ModelInfo, TraceGraph
from tui_lookups.results.trace import ROOT
from tui_lookups.storage import codec

_THEIR_SCHEMA = 1
"""The version that circuit-tracer gives its graphs."""

REQUIRED = {
    "metadata": ("slug", "scan", "prompt_tokens", "prompt", "transcoder_list"),
    "qParams": ("pinnedIds", "supernodes", "linkType", "clickedId", "sg_pos"),
    "nodes": ("node_id", "feature", "layer", "ctx_idx", "feature_type", "jsNodeId", "clerp"),
    "links": ("source", "target", "weight"),
}
"""What the published schemas ask for."""

_COMPONENT = "cross layer transcoder"
"""The type of node that front ends draw as a component."""


def write_graph(graph: TraceGraph, path: Path, overwrite: bool = False) -> Path:
    """Write the graph file, all of it or nothing; returns the path written. Raises ExportError."""
    data = json.dumps(as_graph_file(graph), allow_nan=False, ensure_ascii=True, indent=1)
    return write_bytes(path, data.encode("ascii") + b"\n", overwrite)


def read_graph(path: Path) -> TraceGraph:
    """The graph of a file that `write_graph` wrote. Raises ExportError for any other file."""
    plain, _ = read_json(path)
    problem = _problem(plain)
    try:
        if problem is None:
            held = plain["metadata"]["lookups_tui"]
            return codec.from_json_bytes(TraceGraph, json.dumps(held).encode("ascii"))
    except (KeyError, codec.DecodeError) as error:
        problem = "it was written by another program" if isinstance(error, KeyError) else str(error)
    raise ExportError(f"{path} is no graph of a trace: {problem}.", "Name a file that --graph wrote.")


def told_of(graph: TraceGraph) -> str:
    """How many components a pruned graph has, and what the pruning lost."""
    share = "" if graph.lost_share is None else f", {graph.lost_share:.1%} of it"
    return f"{len(graph.nodes) - 1} components; {graph.lost:+.4f} of {graph.root.value:.4f} lost{share}"


def _problem(plain: Any) -> str | None:
    """What is missing of what the front ends ask for; None where nothing is."""
    if not isinstance(plain, dict):
        return "it is no JSON object"
    for part, keys in REQUIRED.items():
        found = plain.get(part)
        for part_found in found if isinstance(found, list) else [found]:
            missing = [key for key in keys if not isinstance(part_found, dict) or key not in part_found]
            if missing:
                return f"{part} has no {missing[0]}"
    return None


def as_graph_file(graph: TraceGraph) -> dict[str, Any]:
    """The graph as the front ends read it, as plain JSON."""
    model, generator = graph.provenance.model, codec.generator()
    shares = _influences(graph)
    names = {node.id: _node_id(node, graph) for node in graph.nodes}
    what = graph.nodes[0].component
    lost = "" if graph.lost_share is None else f", {graph.lost_share:.1%} of it"
    units = "Neurons" if model.units is None else f"Units of {model.units.name}"
    error = "" if graph.beside is None else f"The dictionary's errors and skips bring {graph.beside:.6g}. "
    return {
        "metadata": {
            "slug": _slug(f"{model.name}-{what}-at-{graph.position}"),
            "scan": model.name,
            "schema_version": _THEIR_SCHEMA,
            "transcoder_list": [],
            "prompt_tokens": [token.text for token in graph.tokens],
            "prompt": "".join(token.text for token in graph.tokens),
            "info": {
                "description": f"What {what} is the sum of, over all paths. {units} and heads of the model "
                f"itself, everything between them held. {error}Pruning lost {graph.lost:.6g} of "
                f"{graph.root.value:.6g}{lost}.",
                "generator": {"name": generator.split()[0], "version": generator.split()[1]},
            },
            "lookups_tui": codec.to_plain(graph),
        },
        "qParams": {
            "pinnedIds": [],
            "supernodes": [],
            "linkType": "both",
            "clickedId": names[ROOT],
            "sg_pos": "",
        },
        "nodes": [
            {**_node(node, graph, names[node.id]), "influence": share}
            for node, share in zip(graph.nodes, shares, strict=True)
        ],
        "links": [
            {"source": names[edge.source], "target": names[edge.target], "weight": edge.contribution}
            for edge in graph.edges
        ],
    }


def _influences(graph: TraceGraph) -> list[float | None]:
    """Of each node but the root, how much of all relevance it and those before it have."""
    sizes = [abs(node.relevance) for node in graph.nodes[1:]]
    whole = sum(sizes) or 1.0
    return [None, *(sofar / whole for sofar in accumulate(sizes))]


def _node(node: GraphNode, graph: TraceGraph, name: str) -> dict[str, Any]:
    root = graph.root
    layer, index = _place(node, graph)
    is_root = node.kind == "root"
    last = f"{index}-{node.position}"
    probability = root.probability if is_root else None
    return {
        "node_id": name,
        "feature": _pair(int(layer), index) if layer.isdigit() and not is_root else index,
        "layer": layer,
        "ctx_idx": node.position,
        "feature_type": "logit" if is_root else "embedding" if node.kind == "embedding" else _COMPONENT,
        "token_prob": probability or 0.0,
        "is_target_logit": is_root,
        "run_idx": 0,
        "reverse_ctx_idx": 0,
        "jsNodeId": f"L_{last}" if is_root else f"E_{last}" if layer == "E" else f"{layer}_{last}",
        "clerp": _told(node, graph),
        "activation": node.activation,
        "relevance": node.relevance,
    }


def _told(node: GraphNode, graph: TraceGraph) -> str:
    if node.kind == "embedding":
        return f"embedding of {graph.tokens[node.position].text!r}"
    if node.kind != "root":
        return node.component
    root = graph.root
    name = node.component if root.token is None else root.token.text
    foil = "" if root.foil is None else f' less "{root.foil.text}"'
    probability = "" if root.probability is None else f"{root.probability:.3f}"
    return f'Output "{name}"{foil} (p={probability})'  # they take it apart at the quotes and at "(p="


def _node_id(node: GraphNode, graph: TraceGraph) -> str:
    layer, index = _place(node, graph)
    return f"{layer}_{index}_{node.position}"


def _place(node: GraphNode, graph: TraceGraph) -> tuple[str, int]:
    """The layer, and the index in it, that a node's name has in the format (step 2)."""
    model: ModelInfo = graph.provenance.model
    if node.kind == "embedding":
        return "E", graph.tokens[node.position].id
    if node.kind == "root":
        token, neuron = graph.root.token, graph.root.neuron
        above = str(model.n_layers + 1)
        if token is not None:
            return above, token.id
        assert neuron is not None
        return above, neuron.index
    component = parse_component(node.component)
    beyond = model.d_mlp if node.kind == "head" else 0
    return str(component.layer), component.index + beyond


def _pair(layer: int, index: int) -> int:
    """One number for the two, as circuit-tracer counts features (Cantor's)."""
    return (layer + index) * (layer + index + 1) // 2 + index


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:80] or "trace"
