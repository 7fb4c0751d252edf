"""Tables of exact sums: why a token, what fires a neuron, what a head carries, why it attends, one edge cut.

Importing this module adds its renderers to `tables.render`; see tables.py for the rules they keep.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tui_lookups.commands.tables import around, cells_of, render, source_of, table_of, title_of, token_text
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import (
    Attends,
    Carried,
    Contributions,
    EdgeCut,
    InputsOverview,
    NeuronInputs,
    Removed,
    Target,
    Token,
    Why,
    WhyByLayer,
)
from tui_lookups.visible import visible_token

ROWS_SHOWN = 30
"""Components of a list; JSON has every head and every neuron that is named."""

_KEYS_SHOWN = 8


@dataclass(frozen=True, slots=True)
class SideOf:
    """What of an answer is shown."""

    found: Attends
    side: Literal["key", "query", "pairs"]


@render.register
def _(result: Why) -> RenderableType:
    named, own = _components(result.contributions), set(result.next_token_neurons)
    table = table_of(
        "component", "contribution", "share", "activation", "congruence", "",
        numbers=("contribution", "share", "activation", "congruence"),
    )  # fmt: skip
    for component, contribution, activation, congruence in named[:ROWS_SHOWN]:
        table.add_row(
            *cells_of(
                str(component), f"{contribution:+.3f}", _share(contribution, result.contributions.target)
            ),
            *cells_of(
                "" if activation is None else f"{activation:.3f}",
                "" if congruence is None else f"{congruence:.3f}",
                "its own top token" if component in own else "",
            ),
        )
    return Group(*_head_of(result), table, *_hidden(len(named)))


@render.register
def _(result: WhyByLayer) -> RenderableType:
    units = result.provenance.model.units is not None
    beside = ("skip, error",) if units else ()
    columns = ("heads", "units" if units else "neurons", "biases", *beside, "logit lens")
    table = table_of("behind", *columns, "most probable there", numbers=columns)
    empty = [""] * (len(columns) - 1)
    table.add_row(*cells_of("embedding", *empty, f"{result.lens_embedding:+.3f}", ""))
    for row in result.layers:
        added = (row.heads, row.neurons, row.biases, *([row.beside or 0.0] if units else []), row.lens_logit)
        table.add_row(
            *cells_of(f"layer {row.layer}", *(f"{value:+.3f}" for value in added)),
            token_text(row.lens_token),
        )
    return Group(*_head_of(result), table)


def _head_of(result: Why) -> list[RenderableType]:
    """What was asked, on which text, and the sum."""
    against = f" against {_named(result.foil)}" if result.foil else ""
    title = title_of(
        f"Why {_named(result.token)}{against} after position {result.position}", source_of(result.provenance)
    )
    probable = "next: " + ", ".join(
        f"{visible_token(prediction.token.text)} {prediction.probability:.3f}"
        for prediction in result.predictions[:5]
    )
    what = "logit less the foil's" if result.foil else "logit less the mean over the vocabulary"
    capped = f", before the soft cap of {result.soft_cap:g}" if result.soft_cap else ""
    probability = f"probability {result.probability:.4f}"
    if result.foil_probability is not None:
        probability += f", the foil's {result.foil_probability:.4f}"
    return [
        title,
        around(result.tokens, result.position),
        Text(f"{probability}; {probable}", overflow="fold"),
        Text(_sum(result.contributions, f"{what}{capped}"), overflow="fold"),
    ]


@render.register
def _(result: Removed) -> RenderableType:
    sampled = result.provenance.parameters.get("sample")
    of = f" over {sampled} prompts" if result.method == "mean" else ""
    table = table_of(
        "removed", "put in its place", "direct contribution", "probability", "without",
        numbers=("direct contribution", "probability", "without"),
    )  # fmt: skip
    table.add_row(
        *cells_of(str(result.component), f"{result.method}{of}", f"{result.direct:+.3f}"),
        *cells_of(f"{result.probability:.5f}", f"{result.probability_without:.5f}"),
    )
    note = "The direct contribution is to the logit, everything else held; without it all above responds."
    token = f"#{result.provenance.parameters['token']}"
    title = title_of(f"Probability of token {token} without {result.component}", source_of(result.provenance))
    return Group(title, table, Text(note))


@render.register
def _(result: NeuronInputs) -> RenderableType:
    where = "the given text" if result.prompt_id is None else f"prompt #{result.prompt_id} ({result.context})"
    title = title_of(f"What fires {result.neuron} on {where}", source_of(result.provenance))
    named = _components(result.contributions)
    table = table_of(
        "component", "contribution", "share", "activation", numbers=("contribution", "share", "activation")
    )
    for component, contribution, activation, _ in named[:ROWS_SHOWN]:
        table.add_row(
            *cells_of(str(component), f"{contribution:+.3f}", _share(contribution, result.target.value)),
            Text("" if activation is None else f"{activation:.3f}"),
        )
    return Group(
        title,
        around(result.tokens, result.position),
        Text(f"activation {result.activation:.3f} at position {result.position}"),
        Text(_sum(result.contributions, _target_name(result.target)), overflow="fold"),
        table,
        *_hidden(len(named)),
        *_layers(result.contributions.neurons_by_layer),
    )


@render.register
def _(result: InputsOverview) -> RenderableType:
    kind, over = result.neuron.kind, f"over {result.prompts} prompts ({result.context})"
    title = title_of(f"Earlier {kind}s that fire {result.neuron} {over}", source_of(result.provenance))
    table = table_of(kind, "mean contribution", "active on", numbers=("mean contribution", "active on"))
    for row in result.neurons[:ROWS_SHOWN]:
        table.add_row(
            *cells_of(str(row.neuron), f"{row.mean_contribution:+.3f}", f"{row.active_fraction:.0%}")
        )
    return Group(
        title,
        table if result.neurons else Text(result.note or f"No earlier {kind} reaches this one."),
        *_hidden(len(result.neurons)),
        *(_layers(result.by_layer) if result.neurons else ()),
    )


@render.register
def _(result: EdgeCut) -> RenderableType:
    title = title_of(
        f"{result.neuron} with {result.component} cut off from it alone", source_of(result.provenance)
    )
    what = _target_name(result.target)
    columns = ["", what] + ([] if what == "activation" else ["activation"])
    table = table_of(*columns, numbers=columns[1:])
    for name, target, activation in (
        ("as it is", result.target.value, result.activation),
        ("cut, scale held", result.held, result.activation_held),
        ("cut, scale free", result.free, result.activation_free),
    ):
        table.add_row(*cells_of(name, f"{target:.4f}", f"{activation:.4f}")[: len(columns)])
    said = [Text(f"{result.component} contributes {result.contribution:+.4f}.")]
    if what == "activation":
        said.append(
            Text(
                f"Worked out anew from g and u: {result.activation_held:.4f} held, "
                f"{result.activation_free:.4f} free."
            )
        )
    return Group(title, around(result.tokens, result.position), table, *said)


@render.register
def _(result: Carried) -> RenderableType:
    reader = str(result.neuron) if result.token is None else f"the logit of {_named(result.token)}"
    title = title_of(
        f"What {result.head} carries from position {result.source} to {reader} at {result.position}",
        source_of(result.provenance),
    )
    return Group(
        title, around(result.tokens, result.source), Text(f"weight {result.weight:.4f}"),
        *_parts(result.contributions, "attribution of this token"),
    )  # fmt: skip


@render.register
def _(result: SideOf) -> RenderableType:
    found = result.found
    title = title_of(
        f"Why {found.head} attends from position {found.query} to {found.key}", source_of(found.provenance)
    )
    cap = "" if found.soft_cap is None else f"; a soft cap of {found.soft_cap:g} comes after"
    facts = f"weight {found.weight:.4f}  score {found.score:.4f}  advantage {found.advantage:+.4f}{cap}"
    keys = table_of("position", "key", "weight", "score", numbers=("position", "weight", "score"))
    for key in sorted(found.keys, key=lambda key: -key.weight)[:_KEYS_SHOWN]:
        keys.add_row(
            Text(str(key.position)), token_text(key.token), *cells_of(f"{key.weight:.4f}", f"{key.score:.4f}")
        )
    above: list[RenderableType] = [title, around(found.tokens, found.key), Text(facts), keys, Text("")]
    if result.side == "pairs":
        pairs = table_of("query", "key", "contribution", numbers=("contribution",))
        for pair in found.pairs[:ROWS_SHOWN]:
            pairs.add_row(*cells_of(pair.query, pair.key, f"{pair.contribution:+.4f}"))
        rest = sum(pair.contribution for pair in found.pairs[ROWS_SHOWN:]) + found.pairs_rest
        if (others := len(found.groups) ** 2 - ROWS_SHOWN) > 0:
            pairs.add_row(*cells_of(f"{others:,} others", "", f"{rest:+.4f}"))
        return Group(*above, Text("What is at the query, with what is at the key"), pairs)
    if result.side == "query":
        return Group(*above, Text("At the query"), *_parts(found.query_side, "advantage"))
    heading = Text("At the key, against the other positions")
    return Group(*above, heading, *_parts(found.key_side, "advantage"))


def _parts(found: Contributions, target: str) -> list[RenderableType]:
    """The sum, and its largest parts."""
    named = _components(found)
    table = table_of("component", "contribution", "activation", numbers=("contribution", "activation"))
    for component, contribution, activation, _ in named[:ROWS_SHOWN]:
        fired = "" if activation is None else f"{activation:.3f}"
        table.add_row(*cells_of(str(component), f"{contribution:+.4f}", fired))
    return [Text(_sum(found, target), overflow="fold"), table, *_hidden(len(named))]


def _components(found: Contributions) -> list[tuple[HeadId | NeuronId, float, float | None, float | None]]:
    """Heads, and the neurons that are named, largest first; activation and congruence are neurons'."""
    heads = [(row.head, row.contribution, None, None) for row in found.heads]
    neurons = [(row.neuron, row.contribution, row.activation, row.congruence) for row in found.neurons]
    return sorted([*heads, *neurons], key=lambda row: -abs(row[1]))


def _sum(found: Contributions, target: str) -> str:
    rest, heads = found.other, sum(row.contribution for row in found.heads)
    beside = "".join(f"{name} {value:+.3f}  " for name, value in rest.beside)
    return (
        f"heads {heads:+.3f}  {found.kind} {sum(found.neurons_by_layer):+.3f}  "
        f"embedding {rest.embedding:+.3f}  attention biases {rest.attention_biases:+.3f}  "
        f"MLP biases {rest.mlp_biases:+.3f}  {beside}"
        f"bias {rest.bias:+.3f}  =  {found.sum:.3f};  {target}: {found.target:.3f}, "
        f"remainder {found.remainder:.1e}"
    )


def _layers(by_layer: tuple[float, ...]) -> list[RenderableType]:
    """All neurons of each layer that reaches, together."""
    if not by_layer:
        return []
    table: Table = table_of("layer", "all its neurons", numbers=("layer", "all its neurons"))
    for layer, value in enumerate(by_layer):
        table.add_row(*cells_of(str(layer), f"{value:+.3f}"))
    return [Text(""), table]


def _hidden(total: int) -> list[RenderableType]:
    if total <= ROWS_SHOWN:
        return []
    return [Text(f"{total - ROWS_SHOWN} more; --json has all that are named.", style="dim")]


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else ""


def _named(token: Token | None) -> str:
    return "" if token is None else f"{visible_token(token.text)} #{token.id}"


def _target_name(target: Target) -> str:
    return target.name.replace("_", "-")
