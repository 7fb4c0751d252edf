"""Tables for people on the command line: one renderer a result type.

1. `render(result)` dispatches on the type of the result; a new subcommand registers its renderer here.
2. Every piece of foreign text (tokens, prompts, names, paths) goes through `visible` and into a
   `rich.text.Text`, so that neither markup nor an escape sequence in it is ever interpreted.
3. `to_text` lays it out for a stream: as wide as the terminal, or unwrapped and uncoloured for a pipe.

Only `tui_lookups.cli` imports this module, and only when a table is printed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import singledispatch
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tui_lookups.results import (
    AblationMean,
    Activations,
    Atlas,
    CacheInfo,
    HeadAblation,
    HeadAttributions,
    HeadOverview,
    KolmogorovSmirnov,
    NeuronPrompts,
    NeuronTokens,
    Prompt,
    PromptsWithFigures,
    Provenance,
    Reproduction,
    ScanSummary,
    Token,
    TokenNeurons,
)
from tui_lookups.visible import visible, visible_token

PIPE_WIDTH = 4096
"""Columns where there is no terminal: wide enough that nothing wraps and `grep` finds whole rows."""

HEADS_SHOWN = 20
SOURCES_SHOWN = 15
BEFORE_PEAK, AFTER_PEAK = 60, 20
"""Characters of a prompt shown on each side of its peak."""


@singledispatch
def render(result: object) -> RenderableType:
    """The table of a result. Raises TypeError for a type that has none."""
    raise TypeError(f"no table for {type(result).__name__}")


def to_text(renderable: RenderableType, stream: TextIO) -> str:
    """What to write to `stream`: coloured and as wide as a terminal, plain and unwrapped for a pipe.

    Box drawing falls back to ASCII where the encoding of `stream` must.
    """
    console = Console(file=stream, markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console = Console(file=stream, markup=False, highlight=False, emoji=False, width=PIPE_WIDTH)
    with console.capture() as capture:
        console.print(renderable)
    if console.is_terminal:
        return capture.get()
    return "".join(line.rstrip() + "\n" for line in capture.get().splitlines())  # rich pads the last column


def facts(rows: Iterable[tuple[str, ...]]) -> RenderableType:
    """Rows without a header, the first column being what the others tell about."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for row in rows:
        table.add_row(
            Text(visible(row[0]), style="bold"), *(Text(visible(cell), overflow="fold") for cell in row[1:])
        )
    return table


def size_text(size: int) -> str:
    """Bytes for people: "512 B", "1.5 GB" (powers of ten)."""
    value, unit = float(size), "B"
    for bigger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, bigger
    return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"


def token_text(token: Token) -> Text:
    """A token alone in a cell: spaces and control characters visible."""
    return Text(visible_token(token.text), overflow="fold")


def around(
    tokens: Sequence[Token], position: int, start: int = 0, before: int = BEFORE_PEAK, after: int = AFTER_PEAK
) -> Text:
    """The text around tokens[position], marked |so|; what lies before `start` or after it is dim."""
    left, room = position, before
    while left > 0 and room > 0:
        left -= 1
        room -= len(tokens[left].text)
    right, room = position + 1, after
    while right < len(tokens) and room > 0:
        room -= len(tokens[right].text)
        right += 1
    text = Text("…" if left else "", overflow="fold")
    for index in range(left, right):
        shown = visible(tokens[index].text)
        if index == position:
            text.append(f"|{shown}|", style="bold")
        else:
            text.append(shown, style="" if start <= index < position else "dim")
    return text.append("…" if right < len(tokens) else "")


def _table(*columns: str, numbers: Iterable[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    right = set(numbers)
    for column in columns:
        table.add_column(Text(column), justify="right" if column in right else "left", overflow="fold")
    return table


def _title(*parts: str) -> Text:
    return Text(visible("  ".join(part for part in parts if part)), style="bold", overflow="fold")


def _source(provenance: Provenance) -> str:
    corpus = f", corpus {provenance.corpus.name}" if provenance.corpus else ""
    return f"({provenance.model.name}{corpus}, {provenance.basis} weights)"


def _cells(*cells: str) -> list[Text]:
    return [Text(cell) for cell in cells]


@render.register
def _(result: TokenNeurons) -> RenderableType:
    title = _title(
        f"Neurons that promote {visible_token(result.token.text)} #{result.token.id}",
        f"sign {result.sign}",
        _source(result.provenance),
    )
    table = _table(
        "neuron", "congruence", "cosine", "rank", "its top token", "top congruence",
        numbers=("congruence", "cosine", "rank", "top congruence"),
    )  # fmt: skip
    for row in result.neurons:
        table.add_row(
            *_cells(str(row.neuron), f"{row.congruence:.3f}", f"{row.cosine:.3f}", str(row.token_rank)),
            token_text(row.top_token),
            Text(f"{row.top_congruence:.3f}"),
        )
    return Group(title, table if result.neurons else Text("No neuron fits."))


@render.register
def _(result: NeuronTokens) -> RenderableType:
    parts: list[RenderableType] = [_title(f"Tokens of {result.neuron}", _source(result.provenance))]
    for what, tokens in (("promotes", result.tokens), ("suppresses", result.suppressed)):
        table = _table(what, "id", "congruence", numbers=("id", "congruence"))
        for row in tokens:
            table.add_row(token_text(Token(row.id, row.text)), *_cells(str(row.id), f"{row.congruence:.3f}"))
        parts += [table, Text("")]
    return Group(*parts[:-1])


@render.register
def _(result: ScanSummary) -> RenderableType:
    return facts(
        [
            ("prompts", f"{result.prompts:,}"),
            ("tokens", f"{result.tokens:,}"),
            ("neurons", f"{result.neurons:,}"),
            ("seconds", f"{result.seconds:.1f}"),
            ("tokens per second", f"{result.tokens_per_second:,.0f}"),
            ("resumed from", f"{result.resumed_from:,} prompts"),
            ("index", result.index_path),
        ]
    )


def _prompt_row(prompt: Prompt) -> list[Text]:
    peak = prompt.peak
    following = Text("") if peak.next_token is None else token_text(peak.next_token)
    start = prompt.trimmed.start if prompt.trimmed else 0
    context = around(prompt.tokens, peak.position, start)
    cells = _cells(str(prompt.rank), str(prompt.prompt_id), f"{peak.activation:.3f}")
    return [*cells, following, context]


@render.register
def _(result: NeuronPrompts) -> RenderableType:
    stats = result.stats
    scanned = f"{result.scanned_prompts:,} of {result.total_prompts:,} prompts scanned"
    statistics = (
        f"mean {stats.mean:.3f}, variance {stats.variance:.3f}, above zero on {stats.fraction_positive:.1%} "
        f"of {stats.tokens:,} tokens, from {stats.minimum:.3f} to {stats.maximum:.3f}"
    )
    title = _title(
        f"Prompts that fire {result.neuron}",
        f"top token {visible_token(result.top_token.text)} {result.top_congruence:.3f}",
        _source(result.provenance),
    )
    table = _table("rank", "prompt", "peak", "next token", "text", numbers=("rank", "prompt", "peak"))
    for prompt in result.prompts:
        table.add_row(*_prompt_row(prompt))
    body = table if result.prompts else Text("No prompt yet.")
    return Group(title, Text(f"{scanned}; {statistics}", overflow="fold"), body)


@render.register
def _(result: PromptsWithFigures) -> RenderableType:
    lists = {
        "top": "by activation",
        "random": "a random sample",
        "deciles": "one of each decile, lowest first",
    }
    plain = render.dispatch(NeuronPrompts)(result)
    title = _title(f"Prompts: {lists[result.kind]}")
    if not result.figures:
        note = [Text(f"No figures at the peaks: {result.figures_note}")] if result.figures_note else []
        return Group(title, plain, *note)
    table = _table(
        "rank", "activation", "token", "congruence", "logit", "p(token)", "next token", "p(next)",
        numbers=("rank", "activation", "congruence", "logit", "p(token)", "p(next)"),
    )  # fmt: skip
    for row in result.figures:
        after = Text("") if row.next_token is None else token_text(row.next_token)
        probability = "" if row.next_probability is None else f"{row.next_probability:.4f}"
        table.add_row(
            *_cells(str(row.rank), f"{row.activation:.3f}"),
            token_text(row.token),
            *_cells(f"{row.congruence:.3f}", f"{row.logit_contribution:+.3f}", f"{row.probability:.4f}"),
            after,
            Text(probability),
        )
    return Group(
        title, plain, Text(""), _title("At the peaks: direct logit contribution to its token"), table
    )


@render.register
def _(result: Activations) -> RenderableType:
    table = _table("position", "token", "activation", "", numbers=("position", "activation"))
    largest = max((abs(value) for value in result.activations), default=0.0)
    for position, (token, value) in enumerate(zip(result.tokens, result.activations, strict=True)):
        bar = ("+" if value > 0 else "-") * (round(20 * abs(value) / largest) if largest else 0)
        table.add_row(Text(str(position)), token_text(token), *_cells(f"{value:.3f}", bar))
    return Group(_title(f"Activations of {result.neuron}", _source(result.provenance)), table)


def _decomposition(result: HeadAttributions) -> str:
    other, heads = result.other, sum(head.attribution for head in result.heads)
    return (
        f"heads {heads:+.3f}  mlps {other.mlps:+.3f}  embedding {other.embedding:+.3f}  attention biases "
        f"{other.attention_biases:+.3f}  bias {other.bias:+.3f}  =  {result.sum:.3f};  "
        f"{result.target.name.replace('_', '-')} {result.target.value:.3f}, remainder {result.remainder:.1e}"
    )


def _left_out(shown: int, total: int, what: str) -> list[RenderableType]:
    return [Text(f"{total - shown} more {what}; --json has them all.", style="dim")] if total > shown else []


@render.register
def _(result: HeadAttributions) -> RenderableType:
    where = "the given text" if result.rank is None else f"prompt {result.rank} ({result.context})"
    title = _title(f"Heads that fire {result.neuron} on {where}", _source(result.provenance))
    heads = sorted(result.heads, key=lambda head: -abs(head.attribution))[:HEADS_SHOWN]
    gated = any(head.gate is not None for head in heads)
    columns = ["head", "attribution", *(["gate", "up"] if gated else []), "active"]
    table = _table(*columns, numbers=("attribution", "gate", "up"))
    for head in heads:
        split = [f"{head.gate or 0.0:+.3f}", f"{head.up or 0.0:+.3f}"] if gated else []
        table.add_row(
            *_cells(str(head.head), f"{head.attribution:+.3f}", *split, "active" if head.active else "")
        )
    parts: list[RenderableType] = [
        title,
        around(result.tokens, result.position),
        Text(f"activation {result.activation:.3f} at position {result.position}"),
        Text(_decomposition(result), overflow="fold"),
        table if heads else Text("No head reaches this neuron."),
        *_left_out(len(heads), len(result.heads), "heads"),
    ]
    if result.source_head is not None:
        sources = sorted(result.sources, key=lambda source: -abs(source.attribution))[:SOURCES_SHOWN]
        reads = _table(
            "position", f"{result.source_head} reads", "attribution", numbers=("position", "attribution")
        )
        for source in sources:
            reads.add_row(
                Text(str(source.position)), token_text(source.token), Text(f"{source.attribution:+.3f}")
            )
        parts += [Text(""), reads, *_left_out(len(sources), len(result.sources), "positions")]
    return Group(*parts)


@render.register
def _(result: HeadOverview) -> RenderableType:
    title = _title(
        f"Heads that fire {result.neuron} over {result.prompts} prompts ({result.context})",
        _source(result.provenance),
    )
    heads = sorted(result.heads, key=lambda head: -abs(head.mean_attribution))[:HEADS_SHOWN]
    table = _table(
        "head", "mean attribution", "active on", "worth explaining", numbers=("mean attribution", "active on")
    )
    for head in heads:
        worth = "yes" if head.worth_explaining else ""
        table.add_row(
            *_cells(str(head.head), f"{head.mean_attribution:+.3f}", f"{head.active_fraction:.0%}", worth)
        )
    return Group(
        title,
        table if heads else Text("No head reaches this neuron."),
        *_left_out(len(heads), len(result.heads), "heads"),
    )


@render.register
def _(result: Atlas) -> RenderableType:
    rejected = f"{len(result.rejected)} rejected by hand" if result.rejected else ""
    title = _title("Next-token neurons by layer", f"sign {result.sign}", rejected, _source(result.provenance))
    table = _table("layer", "neuron", "its top token", "top congruence", numbers=("layer", "top congruence"))
    for layer in result.layers:
        for row in layer.neurons:
            table.add_row(
                *_cells(str(layer.layer), str(row.neuron)),
                token_text(row.top_token),
                Text(f"{row.top_congruence:.3f}"),
            )
    homes = _table("layer", "tokens whose best neuron is there", "", numbers=("layer",))
    most = max((layer.best_of_tokens for layer in result.layers), default=0)
    for layer in result.layers:
        bar = "#" * (round(40 * layer.best_of_tokens / most) if most else 0)
        homes.add_row(*_cells(str(layer.layer), f"{layer.best_of_tokens:,}", bar))
    return Group(title, table, Text(""), _title(f"Best neurons of {result.tokens:,} tokens"), homes)


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
    title = _title(
        f"{result.neuron} without {result.head} ({result.method} at {result.positions}, "
        f"{result.context} prompts{seed})",
        _source(result.provenance),
    )
    table = _table(
        "rank", "head", "attribution", "activation", "without", "token", "p(token)", "without ",
        numbers=("rank", "attribution", "activation", "without", "p(token)", "without "),
    )  # fmt: skip
    for row in result.prompts:
        table.add_row(
            *_cells(str(row.rank), "active" if row.active else "", f"{row.attribution:+.3f}"),
            *_cells(f"{row.activation_before:.3f}", f"{row.activation_after:.3f}"),
            token_text(row.token),
            *_cells(f"{row.probability_before:.5f}", f"{row.probability_after:.5f}"),
        )
    summary = result.summary
    means = _table(
        "prompts where the head is", "how many", "activation change", "probability drop",
        numbers=("how many", "activation change", "probability drop"),
    )  # fmt: skip
    for name, mean in (("active", summary.active), ("inactive", summary.inactive), ("either", summary.every)):
        means.add_row(*_cells(name, *_change(mean)))
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
        return Group(_title(f"Published figures of {result.model}"), Text(f"Skipped: {result.skipped}"))
    title = _title(f"Published figures of {result.model} beside ours", _source(result.provenance))
    table = _table(
        "neuron", "token", "published", "ours", "neuron's rank", "token's rank", "",
        numbers=("published", "ours", "neuron's rank", "token's rank"),
    )  # fmt: skip
    for row in result.figures:
        published = "" if row.published is None else f"{row.published:.3f}"
        table.add_row(
            Text(str(row.neuron)),
            token_text(row.token),
            *_cells(published, f"{row.ours:.3f}", str(row.neuron_rank), str(row.token_rank)),
            Text("agrees" if row.agrees else "differs"),
        )
    sources = [
        Text(visible(f"Source: {source}"), overflow="fold")
        for source in sorted({f.source for f in result.figures})
    ]
    return Group(title, table, *sources)


@render.register
def _(result: CacheInfo) -> RenderableType:
    rows = [
        ("cache", result.path),
        ("entries", f"{result.entries:,}"),
        ("indexes", f"{result.indexes:,}"),
        ("size", size_text(result.bytes)),
        *((f"  {kind}", size_text(size)) for kind, size in result.sizes.items()),
        *(("problem", problem) for problem in result.problems),
    ]
    return facts(rows)
