"""Tables of what a head reads: what it carries from a token, and why it attends to one.

Importing this module adds its renderers to `tables.render`; see tables.py for the rules they keep.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tui_lookups.commands.tables import around, cells_of, render, source_of, table_of, title_of, token_text
from tui_lookups.results import Attends, Carried, Contributions, Token
from tui_lookups.visible import visible_token

_SHOWN = 20
_KEYS_SHOWN = 8


@dataclass(frozen=True, slots=True)
class SideOf:
    """What of an answer is shown."""

    found: Attends
    side: Literal["key", "query", "pairs"]


@render.register
def _(result: Carried) -> RenderableType:
    reader = f"the logit of {_named(result.token)}" if result.token is not None else str(result.neuron)
    source = _at(result.tokens, result.source)
    return Group(
        title_of(f"What {result.head} carries from {source} to {reader}", source_of(result.provenance)),
        around(result.tokens, result.source),
        Text(f"read at {_at(result.tokens, result.position)}, weight {result.weight:.4f}"),
        *_sum_of(result.contributions),
    )


@render.register
def _(result: SideOf) -> RenderableType:
    found = result.found
    title = title_of(
        f"Why {found.head} attends from {_at(found.tokens, found.query)} to {_at(found.tokens, found.key)}",
        source_of(found.provenance),
    )
    cap = "" if found.soft_cap is None else f"; a soft cap of {found.soft_cap:g} comes after"
    facts = f"weight {found.weight:.4f}  score {found.score:.4f}  advantage {found.advantage:+.4f}{cap}"
    parts: list[RenderableType] = [title, around(found.tokens, found.key), Text(facts), _keys(found)]
    if result.side == "pairs":
        return Group(*parts, Text(""), Text("What is at the query, with what is at the key"), _pairs(found))
    of_key = result.side == "key"
    heading = "At the key, against the other positions" if of_key else "At the query"
    return Group(*parts, Text(""), Text(heading), *_sum_of(found.key_side if of_key else found.query_side))


def _sum_of(found: Contributions) -> list[RenderableType]:
    rest = found.remaining
    line = (
        f"heads {sum(row.contribution for row in found.heads):+.4f}  neurons "
        f"{sum(found.neurons_by_layer):+.4f}  embedding {rest.embedding:+.4f}  attention biases "
        f"{rest.attention_biases:+.4f}  MLP biases {rest.mlp_biases:+.4f}  bias {rest.bias:+.4f}  =  "
        f"{found.sum:.4f};  target {found.target:.4f}, remainder {found.remainder:.1e}"
    )
    rows = [(str(row.head), row.contribution, "") for row in found.heads]
    rows += [(str(row.neuron), row.contribution, f"{row.activation:.3f}") for row in found.neurons]
    table = table_of("component", "contribution", "activation", numbers=("contribution", "activation"))
    for name, contribution, activation in sorted(rows, key=lambda row: -abs(row[1]))[:_SHOWN]:
        table.add_row(*cells_of(name, f"{contribution:+.4f}", activation))
    return [Text(line, overflow="fold"), table]


def _keys(found: Attends) -> Table:
    table = table_of("position", "key", "weight", "score", numbers=("position", "weight", "score"))
    for key in sorted(found.keys, key=lambda key: -key.weight)[:_KEYS_SHOWN]:
        table.add_row(
            Text(str(key.position)), token_text(key.token), *cells_of(f"{key.weight:.4f}", f"{key.score:.4f}")
        )
    return table


def _pairs(found: Attends) -> Table:
    table = table_of("query", "key", "contribution", numbers=("contribution",))
    for pair in sorted(found.pairs, key=lambda pair: -abs(pair.contribution))[:_SHOWN]:
        table.add_row(*cells_of(pair.query, pair.key, f"{pair.contribution:+.4f}"))
    return table


def _at(tokens: tuple[Token, ...], position: int) -> str:
    return f"{_named(tokens[position])} at {position}"


def _named(token: Token) -> str:
    return f'"{visible_token(token.text)}"'
