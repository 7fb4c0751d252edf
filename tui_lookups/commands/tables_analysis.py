"""Tables of the wider analysis: atlas, nearest neurons, ablation, figures at the peak, published figures.

Importing this module adds its renderers to `tables.render`; see tables.py for the rules they keep.
"""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from tui_lookups.commands.tables import (
    cells_of,
    kind_of,
    render,
    sign_of,
    source_of,
    table_of,
    title_of,
    token_text,
)
from tui_lookups.results import (
    AblationMean,
    Atlas,
    HeadAblation,
    KolmogorovSmirnov,
    NearestNeurons,
    NeuronPrompts,
    PromptsWithFigures,
    Reproduction,
)
from tui_lookups.visible import visible


@render.register
def _(result: PromptsWithFigures) -> RenderableType:
    plain = render.dispatch(NeuronPrompts)(result)
    if not result.figures:
        note = [Text(f"No figures at the peaks: {result.figures_note}")] if result.figures_note else []
        return Group(plain, *note)
    table = table_of(
        "rank", "activation", "token", "congruence", "logit", "p(token)", "next token", "p(next)",
        numbers=("rank", "activation", "congruence", "logit", "p(token)", "p(next)"),
    )  # fmt: skip
    for row in result.figures:
        after = Text("") if row.next_token is None else token_text(row.next_token)
        probability = "" if row.next_probability is None else f"{row.next_probability:.4f}"
        table.add_row(
            *cells_of(str(row.rank), f"{row.activation:.3f}"),
            token_text(row.token),
            *cells_of(f"{row.congruence:.3f}", f"{row.logit_contribution:+.3f}", f"{row.probability:.4f}"),
            after,
            Text(probability),
        )
    return Group(plain, Text(""), title_of("At the peaks: direct logit contribution to its token"), table)


@render.register
def _(result: NearestNeurons) -> RenderableType:
    figure = "correlation" if result.by == "activations" else "cosine"
    table = table_of(result.provenance.model.kind, figure, "top token", numbers=(figure,))
    for row in result.neurons:
        table.add_row(Text(str(row.neuron)), *cells_of(f"{row.cosine:.3f}"), token_text(row.top_token))
    what = {"writes": "write", "reads": "read", "activations": "fire"}[result.by]
    where = "other layers" if result.against is None else result.against.name
    title = f"{kind_of(result.provenance)} of {where} that {what} most like {result.neuron}"
    return Group(title_of(title, source_of(result.provenance)), table)


@render.register
def _(result: Atlas) -> RenderableType:
    rejected = f"{len(result.rejected)} rejected by hand" if result.rejected else ""
    title = title_of(
        f"Next-token {kind_of(result.provenance).lower()} by layer",
        sign_of(result.sign, result.provenance),
        rejected,
        source_of(result.provenance),
    )
    table = table_of(
        "layer",
        result.provenance.model.kind,
        "its top token",
        "top congruence",
        numbers=("layer", "top congruence"),
    )
    for layer in result.layers:
        for row in layer.neurons:
            table.add_row(
                *cells_of(str(layer.layer), str(row.neuron)),
                token_text(row.top_token),
                Text(f"{row.top_congruence:.3f}"),
            )
    homes = table_of(
        "layer", f"tokens whose best {result.provenance.model.kind} is there", "", numbers=("layer",)
    )
    most = max((layer.best_of_tokens for layer in result.layers), default=0)
    for layer in result.layers:
        bar = "#" * (round(40 * layer.best_of_tokens / most) if most else 0)
        homes.add_row(*cells_of(str(layer.layer), f"{layer.best_of_tokens:,}", bar))
    return Group(
        title,
        table,
        Text(""),
        title_of(f"Best {kind_of(result.provenance).lower()} of {result.tokens:,} tokens"),
        homes,
    )


def _change(mean: AblationMean) -> list[str]:
    if mean.mean_activation_change is None or mean.mean_probability_drop is None:
        return [str(mean.prompts), "", ""]
    return [str(mean.prompts), f"{mean.mean_activation_change:+.3f}", f"{mean.mean_probability_drop:+.5f}"]


def _distance(name: str, found: KolmogorovSmirnov | None) -> str:
    if found is None:
        return f"{name}: no distance, one group is empty"
    return f"{name}: Kolmogorov-Smirnov distance {found.statistic:.3f} (p {found.p_value:.2g})"


@render.register
def _(result: HeadAblation) -> RenderableType:
    sampled = f"mean over {result.sample} prompts, " if result.method == "mean" else ""
    seed = f", {sampled}seed {result.seed}" if result.method != "zero" else ""
    title = title_of(
        f"{result.neuron} without {result.head} ({result.method} at {result.positions}, "
        f"{result.context} prompts{seed})",
        source_of(result.provenance),
    )
    table = table_of(
        "rank", "head", "attribution", "activation", "without", "token", "p(token)", "without ",
        numbers=("rank", "attribution", "activation", "without", "p(token)", "without "),
    )  # fmt: skip
    for row in result.prompts:
        table.add_row(
            *cells_of(
                "text" if row.rank is None else str(row.rank),
                "active" if row.active else "",
                f"{row.attribution:+.3f}",
            ),
            *cells_of(f"{row.activation_before:.3f}", f"{row.activation_after:.3f}"),
            token_text(row.token),
            *cells_of(f"{row.probability_before:.5f}", f"{row.probability_after:.5f}"),
        )
    summary = result.summary
    means = table_of(
        "prompts where the head is", "how many", "activation change", "probability drop",
        numbers=("how many", "activation change", "probability drop"),
    )  # fmt: skip
    for name, mean in (("active", summary.active), ("inactive", summary.inactive), ("either", summary.every)):
        means.add_row(*cells_of(name, *_change(mean)))
    return Group(
        title,
        table if result.prompts else Text("No prompt."),
        Text(""),
        means,
        Text(_distance("activation change", summary.activation_distance)),
        Text(_distance("probability drop", summary.probability_distance)),
    )


@render.register
def _(result: Reproduction) -> RenderableType:
    if result.skipped or result.provenance is None:
        told = [] if not result.means else [_means(result)]
        return Group(
            title_of(f"Published figures of {result.model}"), Text(f"Skipped: {result.skipped}"), *told
        )
    title = title_of(f"Published figures of {result.model} beside ours", source_of(result.provenance))
    table = table_of(
        "neuron", "token", "published", "ours", "neuron's rank", "token's rank", "",
        numbers=("published", "ours", "neuron's rank", "token's rank"),
    )  # fmt: skip
    for row in result.figures:
        published = "" if row.published is None else f"{row.published:.3f}"
        table.add_row(
            Text(str(row.neuron)),
            token_text(row.token),
            *cells_of(published, f"{row.ours:.3f}", str(row.neuron_rank), str(row.token_rank)),
            Text("agrees" if row.agrees else "differs"),
        )
    sources = [
        Text(visible(f"Source: {source}"), overflow="fold")
        for source in sorted({f.source for f in result.figures} | {m.source for m in result.means})
    ]
    tables = [part for part, rows in ((table, result.figures), (_means(result), result.means)) if rows]
    return Group(title, *tables, *sources)


def _means(result: Reproduction) -> RenderableType:
    """Means over many pairs; why there is none of ours stands in its place."""
    table = table_of("over pairs", "published", "ours", "", numbers=("published", "ours"))
    for row in result.means:
        published = _mean(row.published, row.published_deviation, row.published_pairs)
        ours = _mean(row.ours, row.ours_deviation, row.ours_pairs)
        why = "" if row.why == result.skipped else row.why
        table.add_row(*cells_of(row.what, published, ours, why))
    return table


def _mean(value: float | None, deviation: float | None, pairs: int | None) -> str:
    if value is None:
        return ""
    spread = "" if deviation is None else f" sd {deviation:.3f}"
    return f"{value:.3f}{spread}" + ("" if pairs is None else f" ({pairs} pairs)")
