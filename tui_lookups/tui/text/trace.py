"""Words for a trace: its title, the sum on screen, and the node under the cursor. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.cells import cell_len

from tui_lookups.tui.paint.head_rows import plain, signed
from tui_lookups.tui.text.attribution import text_of
from tui_lookups.tui.text.why import end_of
from tui_lookups.visible import visible_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tui_lookups.results import Token, TraceNode
    from tui_lookups.tui.state.trace_tree import TraceRow, TraceTree

_ENDS = {
    "embedding": "the token itself",
    "attention_biases": "constants of attention",
    "mlp_biases": "constants of MLPs",
    "bias": "what its reader adds",
    "skip": "what the dictionary's skips write",
    "error": "what the dictionary leaves unexplained",
    "rounding": "what its head's output is off its pattern times its values",
}
"""What a node without parts is."""


def trace_title(tree: TraceTree, width: int) -> str:
    """What the trace is of, and the end of the text that it reads, in `width` cells."""
    trace, root = tree.first, tree.first.root
    if root.neuron is not None:
        where = text_of(trace.context) if trace.prompt_id is None else f"prompt #{trace.prompt_id}"
        words = f"What fires {root.neuron} ({where})"
    else:
        token = "" if root.token is None else visible_token(root.token.text)
        odds = "" if root.probability is None else f" ({root.probability:.2%})"
        foil = "" if root.foil is None else f", not {visible_token(root.foil.text)}"
        words = f"Why {token}{odds}{foil}"
    words += f" at {trace.position}:  "
    return words + end_of(trace.tokens, trace.position, width - cell_len(words) - 2)


def trace_sum(tree: TraceTree) -> tuple[str, ...]:
    """What the root is, and what it is the sum of as far as it is open."""
    root, shown = tree.first.root, tree.shown
    parts = [f"{root.target.replace('_', '-')} {plain(root.value, 3)}"]
    parts += [] if root.activation is None else [f"activation {plain(root.activation)}"]
    parts += [] if root.soft_cap is None else [f"before a soft cap of {root.soft_cap:g}"]
    return (
        *parts,
        f"shown {signed(shown.leaves, 3)}",
        f"not told apart {signed(shown.rests, 3)}",
        f"rounding {shown.remainder:+.1e}",
    )


def row_name(row: TraceRow) -> str:
    """A node in a word or two, or how many parts a rest has."""
    if row.rest is not None:
        return f"{row.rest.parts:,} other{'s' * (row.rest.parts > 1)}"
    if row.node.parent is None:
        return "root"
    return f"{row.node.component} reads" if row.node.kind == "source" else node_name(row.node)


def node_name(node: TraceNode) -> str:
    """A node in a word or two."""
    return node.component.replace("_", " ")


def token_at(tokens: tuple[Token, ...], node: TraceNode) -> str:
    """Where a node writes or is read, and the token there."""
    return f"{node.position} {visible_token(tokens[node.position].text)}"


def places_title(row: TraceRow, values: Mapping[int, float]) -> str:
    """What the text beside the tree is shaded by."""
    if row.rest is not None:
        return "The others are not told apart: they have no places"
    name = "the root" if row.node.parent is None else node_name(row.node)
    whole = "" if row.is_open else ", which is not open"
    return (
        f"What is shown of {name}{whole}, by its place in the text: {signed(math.fsum(values.values()), 3)}"
    )


def row_words(row: TraceRow, tree: TraceTree, opens: str) -> tuple[str, ...]:
    """The row under the cursor in full: what it adds, and what it is the sum of.

    `opens`: the key that opens a node.
    """
    node, tokens = row.node, tree.first.tokens
    if row.rest is not None:
        of = "the root" if row.above is None or row.above.parent is None else node_name(row.above)
        return (f"{row.rest.parts:,} other parts of {of}", f"together {signed(row.rest.contribution, 3)}")
    name = "the root" if node.parent is None else node_name(node)
    said = [f"{name} at {token_at(tokens, node)}" if node.kind != "source" else _source(node, tokens)]
    if node.parent is not None:
        share = "" if node.share is None else f", {node.share:.1%} of the root"
        said.append(f"adds {signed(node.contribution, 3)}{share}")
    if node.activation is not None:
        said.append(f"activation {plain(node.activation)}")
    rest = tree.rest(node)
    if rest is not None and node.remainder is not None:
        parts = tree.parts(node.id)
        told = signed(sum(part.contribution for part in parts), 3)
        others = f", {rest.parts:,} others {signed(rest.contribution, 3)}" if rest.parts else ""
        said.append(f"= {len(parts)} parts {told}{others}, rounding {node.remainder:+.1e}")
    elif node.openable:
        said.append(f"{opens} opens it")
    else:
        said.append(f"{_ENDS.get(node.kind, '')}: it has no parts")
    return tuple(said)


def _source(node: TraceNode, tokens: tuple[Token, ...]) -> str:
    weight = "" if node.weight is None else f" with weight {plain(node.weight)}"
    return f"{node_name(node)} reads {token_at(tokens, node)}{weight}"
