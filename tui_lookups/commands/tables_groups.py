"""Tables of several tokens as one, and of several neurons as one."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from tui_lookups.commands.tables import (
    HEADS_SHOWN,
    around,
    cells_of,
    kind_of,
    more_of,
    render,
    sign_of,
    source_of,
    table_of,
    title_of,
    token_text,
)
from tui_lookups.results import SetNeurons, SharedHeads, SummedHeads
from tui_lookups.results.conventions import LEAST_PERCENT, MOST_PERCENT
from tui_lookups.visible import visible_token


@render.register
def _(result: SetNeurons) -> RenderableType:
    named = ", ".join(visible_token(token.text) for token in result.tokens)
    kind = result.provenance.model.kind
    title = title_of(
        f"{kind_of(result.provenance)} that promote {named} as one ({result.as_one})",
        sign_of(result.sign, result.provenance),
        source_of(result.provenance),
    )
    columns = (
        kind,
        "congruence",
        "cosine",
        "leading",
        "rank",
        "ranks",
        "its top token",
        "top congruence",
    )
    table = table_of(*columns, numbers=("congruence", "cosine", "rank", "top congruence"))
    for row in result.neurons:
        table.add_row(
            *cells_of(str(row.neuron), f"{row.congruence:.3f}", f"{row.cosine:.3f}"),
            token_text(row.leading),
            *cells_of(str(row.token_rank), " ".join(str(member.token_rank) for member in row.members)),
            token_text(row.top_token),
            Text(f"{row.top_congruence:.3f}"),
        )
    note = Text("rank: that of the leading member. ranks: of all, in the order above.", overflow="fold")
    return Group(title, *((table, note) if result.neurons else (Text(f"No {kind} fits."),)))


@render.register
def _(result: SharedHeads) -> RenderableType:
    names = [str(member.neuron) for member in result.neurons]
    title = title_of(
        f"Heads that {_listed(names)} share, each over its prompts ({result.context})",
        source_of(result.provenance),
    )
    shown = ([head for head in result.heads if head.shared] or list(result.heads))[:HEADS_SHOWN]
    counts = ("active for", "serves", "sum", "mean")
    table = table_of("head", *counts, *names, numbers=(*counts, *names))
    for head in shown:
        parts = {str(part.neuron): part for part in head.neurons}
        own = (
            f"{parts[name].mean_attribution:+.3f}{'*' if parts[name].active else ''}" if name in parts else ""
            for name in names
        )
        table.add_row(
            *cells_of(
                str(head.head),
                f"{head.active_for} of {head.reaches}",
                str(head.serves),
                f"{head.attribution:+.3f}",
                f"{head.mean_attribution:+.3f}",
                *own,
            )
        )
    silent = [Text(member.note, overflow="fold") for member in result.neurons if member.note]
    if not result.heads:
        return Group(title, *(silent or [Text("No head reaches these neurons.")]))
    none = "" if any(head.shared for head in result.heads) else "No head is shared; these come nearest. "
    note = (
        f"{none}*: active on {LEAST_PERCENT} % of the neuron's prompts or more. "
        f"serves: worth explaining, active on {LEAST_PERCENT} to {MOST_PERCENT} %."
    )
    count = sum(head.shared for head in result.heads) or len(result.heads)
    return Group(title, table, *more_of(len(shown), count, "heads"), Text(note, overflow="fold"), *silent)


@render.register
def _(result: SummedHeads) -> RenderableType:
    names = [str(member.neuron) for member in result.neurons]
    title = title_of(f"Heads that fire {_listed(names)} on the given text", source_of(result.provenance))
    heads = sorted(result.heads, key=lambda head: -abs(head.attribution))[:HEADS_SHOWN]
    table = table_of("head", "sum", "active", *names, numbers=("sum", *names))
    for head in heads:
        parts = {str(part.neuron): f"{part.attribution:+.3f}" for part in head.neurons}
        own = (parts.get(name, "") for name in names)
        active = "active" if head.active else ""
        table.add_row(*cells_of(str(head.head), f"{head.attribution:+.3f}", active, *own))
    other = result.other
    parts_of_sum = (
        f"{result.target.name.replace('_', '-')}s {result.target.value:+.3f} = heads "
        f"{sum(head.attribution for head in result.heads):+.3f}, earlier MLPs {other.mlps:+.3f}, embedding "
        f"{other.embedding:+.3f}, attention biases {other.attention_biases:+.3f}, biases {other.bias:+.3f}, "
        f"remainder {result.remainder:+.1e}"
    )
    return Group(
        title,
        around(result.tokens, result.position),
        Text(f"at position {result.position}"),
        Text(parts_of_sum, overflow="fold"),
        table if heads else Text("No head reaches these neurons."),
        *more_of(len(heads), len(result.heads), "heads"),
    )


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
