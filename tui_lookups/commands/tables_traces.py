"""The table of a trace: its tree, indented.

Importing this module adds its renderer to `tables.render`; see tables.py for the rules it keeps.
"""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tui_lookups.commands.tables import around, cells_of, render, source_of, table_of, title_of
from tui_lookups.results import Trace, TraceNode
from tui_lookups.visible import visible_token


@render.register
def _(result: Trace) -> RenderableType:
    root = result.root
    if root.neuron is not None:
        asked = f"What {root.neuron} reads at position {result.position}"
    else:
        token = "" if root.token is None else visible_token(root.token.text)
        against = "" if root.foil is None else f" against {visible_token(root.foil.text)}"
        asked = f"Why {token}{against} after position {result.position}"
    told = [f"{root.target.replace('_', '-')} {root.value:.3f}"]
    told += [] if root.probability is None else [f"probability {root.probability:.4f}"]
    told += [] if root.activation is None else [f"activation {root.activation:.3f}"]
    told += [] if root.soft_cap is None else [f"before the soft cap of {root.soft_cap:g}"]
    table = table_of(
        "part", "at", "contribution", "share", "activation", numbers=("contribution", "share", "activation")
    )
    _add(table, result, result.nodes[0], 0)
    conserved = result.conserved
    end = (
        f"leaves {conserved.leaves:+.3f}, rests {conserved.rests:+.3f}, remainder {conserved.remainder:+.1e}"
    )
    return Group(
        title_of(asked, source_of(result.provenance)),
        around(result.tokens, result.position),
        Text("; ".join(told), overflow="fold"),
        table,
        Text(end),
    )


def _add(table: Table, trace: Trace, node: TraceNode, level: int) -> None:
    """A row for a node, and one for each that is below it."""
    token = f"{node.position} {visible_token(trace.tokens[node.position].text)}"
    name = f"{node.component} reads" if node.kind == "source" else node.component.replace("_", " ")
    table.add_row(
        Text("  " * level + name),
        Text(token, overflow="fold"),
        *cells_of(
            f"{node.contribution:+.3f}",
            "" if node.share is None else f"{node.share:+.1%}",
            "" if node.activation is None else f"{node.activation:.3f}",
        ),
    )
    for child in trace.children(node.id):
        _add(table, trace, child, level + 1)
    if node.rest is not None and node.rest.parts:
        indent = "  " * (level + 1)
        table.add_row(
            Text(f"{indent}{node.rest.parts:,} other{'s' * (node.rest.parts > 1)}"),
            *cells_of("", f"{node.rest.contribution:+.3f}", "", ""),
        )
