"""Tables of two models compared; see tables.py for the rules they keep."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from tui_lookups.commands.tables import around, cells_of, render, table_of, title_of, token_text
from tui_lookups.exports.shades import LEVELS, level
from tui_lookups.results import (
    ActivationDiff,
    HeadsDiff,
    HeadShift,
    MovedTensor,
    MovedVector,
    NeuronDiff,
    NeuronMatches,
    OtherShift,
    PairedPrompt,
    WeightDiff,
)
from tui_lookups.results.base import Basis
from tui_lookups.results.diff import PairedKind
from tui_lookups.visible import visible


def between(before: str, after: str, basis: Basis) -> str:
    """Which two models are compared."""
    return f"({before} -> {after}, {basis} weights)"


@render.register
def _(result: WeightDiff) -> RenderableType:
    models = between(result.provenance.model.name, result.against.name, result.basis)
    parts: list[RenderableType] = [title_of("What moved in the weights", models), Text("")]
    counts = f"{result.neurons_moved:,} of {result.neurons_compared:,} neurons moved"
    parts += [Text(counts, style="bold"), *([_neurons(result)] if result.neurons else []), Text("")]
    counts = f"{result.heads_moved:,} of {result.heads_compared:,} heads moved"
    parts += [Text(counts, style="bold"), *([_heads(result)] if result.heads else []), Text("")]
    counts = f"{result.tensors_moved:,} of {result.tensors_compared:,} tensors changed"
    parts.append(Text(counts, style="bold"))
    if result.matrices:
        parts += [_tensors("matrix", result.matrices), Text("")]
    if result.vectors:
        parts += [_tensors("vector", result.vectors), Text("")]
    if result.tensors_apart:
        names = ", ".join(map(visible, result.tensors_apart))
        parts.append(Text(f"Not in both, or of two shapes: {names}", overflow="fold"))
    return Group(*parts)


def _neurons(result: WeightDiff) -> RenderableType:
    gated = any(row.gate is not None for row in result.neurons)
    kinds = ["write", "read", *(["gate"] if gated else [])]
    numbers = ["moved", *(f"{kind} {what}" for kind in kinds for what in ("cos", "norm"))]
    table = table_of("neuron", *numbers, "top token", "after", numbers=numbers)
    for row in result.neurons:
        vectors = (row.write, row.read, *([row.gate] if row.gate is not None else []))
        cells = [cell for vector in vectors for cell in _moved(vector)]
        table.add_row(
            *cells_of(str(row.neuron), f"{row.moved:.4f}", *cells),
            token_text(row.top_token_before),
            token_text(row.top_token_after),
        )
    return table


def _moved(vector: MovedVector) -> tuple[str, str]:
    """The cosine of before and after, and by what the length was multiplied."""
    cosine = "" if vector.cosine is None else f"{vector.cosine:.4f}"
    ratio = f"x{vector.norm_after / vector.norm_before:.3f}" if vector.norm_before else ""
    return cosine, ratio


def _heads(result: WeightDiff) -> RenderableType:
    numbers = ("moved", "W_Q", "W_K", "W_V", "W_O")
    table = table_of("head", *numbers, numbers=numbers)
    for row in result.heads:
        changes = (row.moved, row.W_Q, row.W_K, row.W_V, row.W_O)
        cells = ("" if change is None else f"{change:.4f}" for change in changes)
        table.add_row(*cells_of(str(row.head), *cells))
    return table


def _tensors(kind: str, rows: Sequence[MovedTensor]) -> RenderableType:
    numbers = ("change", *(("spectral", "rank one") if kind == "matrix" else ()))
    table = table_of(kind, *numbers, numbers=numbers)
    for row in rows:
        cells = [f"{row.change:.5f}"]
        if row.spectral_change is not None and row.rank_one_share is not None:
            cells += [f"{row.spectral_change:.5f}", f"{row.rank_one_share:.1%}"]
        table.add_row(Text(visible(row.tensor), overflow="fold"), *cells_of(*cells))
    return table


@render.register
def _(result: ActivationDiff) -> RenderableType:
    title = title_of(
        "Whose activations changed",
        between(result.provenance.model.name, result.against.name, result.basis),
        f"{result.positions:,} positions",
    )
    numbers = ("change", "correlation", "peak", "peak after")
    table = table_of("neuron", *numbers, "top token", "after", numbers=numbers)
    for row in result.neurons:
        figures = (
            f"{row.change:.4f}",
            _correlation(row.correlation),
            f"{row.peak_before:.3f}",
            f"{row.peak_after:.3f}",
        )
        tokens = token_text(row.top_token_before), token_text(row.top_token_after)
        table.add_row(*cells_of(str(row.neuron), *figures), *tokens)
    columns = ("layer", "median correlation", "median change")
    layers = table_of(*columns, numbers=columns)
    for of_layer in result.layers:
        layers.add_row(
            *cells_of(str(of_layer.layer), _correlation(of_layer.correlation), f"{of_layer.change:.4f}")
        )
    return Group(title, table, Text(""), layers)


@render.register
def _(result: NeuronMatches) -> RenderableType:
    models = result.provenance.model.name, result.against.name
    title = title_of(f"Which neuron of {models[1]} is which of {models[0]}, by correlation")
    table = table_of(
        "neuron", "match", "correlation", "mutual", "token", "of the match", numbers=("correlation",)
    )
    for row in result.neurons:
        cells = cells_of(
            str(row.neuron), str(row.match), f"{row.correlation:+.4f}", "yes" if row.mutual else ""
        )
        table.add_row(*cells, token_text(row.top_token), token_text(row.match_top_token))
    columns = ("layer", "mutual", "share", "median correlation")
    layers = table_of(*columns, numbers=columns)
    for each in result.layers:
        share, median = f"{each.mutual / each.neurons:.1%}", f"{each.correlation:.4f}"
        layers.add_row(*cells_of(str(each.layer), f"{each.mutual:,}", share, median))
    return Group(title, table, Text(""), layers)


_KINDS: dict[PairedKind, str] = {
    "rose": "Prompts on which it rose most",
    "fell": "Prompts on which it fell most",
    "peak before": "Prompts that fired it most before",
    "peak after": "Prompts that fire it most after",
}


@render.register
def _(result: NeuronDiff) -> RenderableType:
    models = result.provenance.model.name, result.against.name
    title = title_of(f"{result.neuron} in both", between(*models, result.basis))
    figures = f"correlation {_correlation(result.correlation) or 'undefined'}, change {result.change:.4f}"
    parts: list[RenderableType] = [title, Text(figures)]
    largest = max((abs(value) for row in result.prompts for value in (*row.before, *row.after)), default=0.0)
    for kind, what in _KINDS.items():
        rows = [row for row in result.prompts if row.kind == kind]
        if rows:
            parts += [Text(""), Text(what, style="bold"), _pairs(rows, models, largest)]
    return Group(*parts)


def _pairs(rows: Sequence[PairedPrompt], models: tuple[str, str], largest: float) -> RenderableType:
    """Each prompt twice, as either model sees it."""
    numbers = ("rank", "prompt", "activation")
    table = table_of("rank", "prompt", "model", "activation", "text", numbers=numbers)
    for row in rows:
        names = [(str(row.rank), str(row.prompt_id)), ("", "")]
        for named, model, values in zip(names, models, (row.before, row.after), strict=True):
            cells = cells_of(*named, visible(model), f"{values[row.position]:.3f}")
            table.add_row(*cells, _shaded(row, values, largest))
    return table


@render.register
def _(result: HeadsDiff) -> RenderableType:
    models = result.provenance.model.name, result.against.name
    what = f"Heads behind {result.neuron} in both"
    title = title_of(what, between(*models, "folded"), f"mean over {result.prompts} prompts")
    numbers = ("before", "after", "change", "by what is written", "by what reads it")
    table = table_of("", *numbers, numbers=numbers)
    rows: list[tuple[str, HeadShift | OtherShift]] = [(str(head.head), head) for head in result.heads]
    for name, row in (*rows, *((other.name.replace("_", " "), other) for other in result.others)):
        figures = (row.before, row.after, row.after - row.before, row.by_writing, row.by_reading)
        table.add_row(*cells_of(name, *(f"{figure:+.4f}" for figure in figures)))
    change = result.target_after - result.target_before
    sums = f"{result.target_before:+.4f}", f"{result.target_after:+.4f}", f"{change:+.4f}"
    table.add_row(*cells_of(result.target.replace("_", "-"), *sums))
    return Group(title, table)


def _correlation(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _shaded(row: PairedPrompt, values: Sequence[float], largest: float) -> Text:
    """The text around the position, marked there, each token shaded by its activation."""
    return around(row.tokens, row.position, shade=[_background(value, largest) for value in values])


def _background(value: float, largest: float) -> str:
    """Orange above zero, blue below, the stronger the larger; none where it is next to nothing."""
    step = level(value, largest)
    if not step:
        return ""
    full = (230, 159, 0) if step > 0 else (86, 180, 233)
    red, green, blue = (round(255 - (255 - part) * abs(step) / LEVELS) for part in full)
    return f"black on rgb({red},{green},{blue})"
