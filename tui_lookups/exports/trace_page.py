"""A trace as one HTML page that needs nothing else: no script, no style sheet, no font, no network.

1. The tree is nested `details`; a page's own policy lets nothing be loaded or run.
2. Every text of the model or the corpus is made visible and escaped.
3. Figures are rounded for reading; each has all its digits as its title, as the JSON has them, and the JSON
   document itself is in the page.
"""

from __future__ import annotations

import json
from collections import defaultdict
from html import escape
from pathlib import Path

from tui_lookups.exports.writing import write_bytes
from tui_lookups.results import Trace, TraceNode
from tui_lookups.storage.codec import document
from tui_lookups.visible import visible, visible_token

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
.text { font-family: ui-monospace, monospace; white-space: pre-wrap; }
.text b { outline: 1px solid; }
details, .leaf { margin-left: 1.25rem; border-left: 1px solid #8886; padding-left: .5rem; }
summary { cursor: pointer; }
.leaf { padding-left: 1.5rem; }
data, .share { font-variant-numeric: tabular-nums; display: inline-block; text-align: right; }
data { min-width: 5.5rem; }
.share { min-width: 4rem; }
.up { color: light-dark(#0a5ca8, #7cc0ff); }
.down { color: light-dark(#a8480a, #ffb27c); }
.rest, .note { opacity: .75; }
"""

_TOP = '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
_POLICY = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
)
_VIEWPORT = '<meta name="viewport" content="width=device-width, initial-scale=1">'

OPEN_LEVELS = 2
"""How many levels are open at first."""


def write_page(trace: Trace, path: Path, overwrite: bool = False) -> Path:
    """Write the page, all of it or nothing; returns the path written. Raises ExportError."""
    return write_bytes(path, page(trace).encode("utf-8", "backslashreplace"), overwrite)


def page(trace: Trace) -> str:
    """The page of a trace."""
    title = escape(_title(trace))
    data = json.dumps(document(trace), allow_nan=False, ensure_ascii=True).replace("<", "\\u003c")
    parts: dict[str | None, list[TraceNode]] = defaultdict(list)
    for node in trace.nodes[1:]:
        parts[node.parent].append(node)
    for of_parent in parts.values():
        of_parent.sort(key=lambda node: -abs(node.contribution))
    source = trace.provenance
    return "\n".join(
        [
            f"{_TOP}{_POLICY}\n{_VIEWPORT}\n<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
            f"<h1>{title}</h1>",
            f'<p class="text">{_text(trace)}</p>',
            f'<p class="note">{escape(_facts(trace))}</p>',
            *_tree(trace, trace.nodes[0], parts, 0),
            f'<p class="note">Leaves {_figure(trace.conserved.leaves)}, rests '
            f"{_figure(trace.conserved.rests)}, remainder {_figure(trace.conserved.remainder)}.</p>",
            '<p class="note">A contribution is direct, with attention patterns, the scales of norms and what'
            " activations are made of held. What happens without a component is another question.</p>",
            f'<p class="note">{escape(visible(source.model.label))}, {source.basis} weights, {source.dtype}, '
            f"{source.device}; model {source.model.fingerprint[:16]}</p>",
            f'<script type="application/json" id="trace">{data}</script>',
            "</body>\n</html>\n",
        ]
    )


def _title(trace: Trace) -> str:
    root = trace.root
    if root.neuron is not None:
        return f"What {root.neuron} reads at position {trace.position}"
    token = "" if root.token is None else visible_token(root.token.text)
    against = "" if root.foil is None else f" against {visible_token(root.foil.text)}"
    return f"Why {token}{against} after position {trace.position}"


def _facts(trace: Trace) -> str:
    root = trace.root
    told = [f"{root.target.replace('_', '-')} {root.value:.4f}"]
    told += [] if root.probability is None else [f"probability {root.probability:.4f}"]
    told += [] if root.activation is None else [f"activation {root.activation:.4f}"]
    told += [] if root.soft_cap is None else [f"before the soft cap of {root.soft_cap:g}"]
    return "; ".join([*told, f"depth {trace.depth}, the {trace.width} largest parts of each node"])


def _text(trace: Trace) -> str:
    shown = [escape(visible(token.text)) for token in trace.tokens]
    return "".join([*shown[:-1], f"<b>{shown[-1]}</b>"] if shown else shown)


def _tree(trace: Trace, node: TraceNode, parts: dict[str | None, list[TraceNode]], level: int) -> list[str]:
    """A node and what is below it."""
    line = _line(trace, node)
    if not node.opened:
        return [f'<div class="leaf" id="{escape(node.id)}">{line}</div>']
    lines = [
        f'<details id="{escape(node.id)}"{" open" if level < OPEN_LEVELS else ""}><summary>{line}</summary>'
    ]
    for part in parts[node.id]:
        lines += _tree(trace, part, parts, level + 1)
    if node.rest is not None and node.rest.parts:
        lines.append(
            f'<div class="leaf rest">{_figure(node.rest.contribution)} {node.rest.parts:,} other parts</div>'
        )
    return [*lines, "</details>"]


def _line(trace: Trace, node: TraceNode) -> str:
    share = "" if node.share is None else f"{node.share:+.1%}"
    token = escape(visible_token(trace.tokens[node.position].text))
    at = f"at {token} ({node.position})"
    name = escape(node.component.replace("_", " "))
    if node.kind == "source":
        told = f"{name} reads {token} ({node.position}), weight {_figure(node.weight or 0.0)}"
    elif node.activation is not None:
        told = f"<strong>{name}</strong> {at}, activation {_figure(node.activation)}"
    elif node.kind == "head":
        told = f"<strong>{name}</strong> {at}"
    else:
        told = f"{name} {at}"
    return f'{_figure(node.contribution)} <span class="share">{share}</span> {told}'


def _figure(value: float) -> str:
    """A number as people read it, with all its digits beside."""
    sign = "up" if value >= 0 else "down"
    return f'<data class="{sign}" value="{value!r}" title="{value!r}">{value:+.4f}</data>'
