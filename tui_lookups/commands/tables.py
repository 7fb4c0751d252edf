"""Tables for people on the command line: one renderer a result type.

1. `render(result)` dispatches on the type of the result; a new one registers its renderer here, or
   in the `tables_` module of its subject.
2. Every piece of foreign text (tokens, prompts, names, paths) goes through `visible` and into a
   `rich.text.Text`, so that neither markup nor an escape sequence in it is ever interpreted.
3. `to_text` lays it out for a stream: as wide as the terminal, or unwrapped and uncoloured for a pipe.

The modules of commands/ import it, and only when a table is printed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import singledispatch
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tui_lookups.results import (
    Activations,
    CacheInfo,
    HeadAttributions,
    HeadOverview,
    NeuronPrompts,
    NeuronsOfTokens,
    NeuronTokens,
    Prompt,
    PromptKind,
    PromptsWithFigures,
    Provenance,
    ScanSummary,
    Sign,
    Summary,
    Token,
    TokenNeurons,
)
from tui_lookups.results.conventions import LEAST_PERCENT, MOST_PERCENT
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
    tokens: Sequence[Token],
    position: int,
    start: int = 0,
    before: int = BEFORE_PEAK,
    after: int = AFTER_PEAK,
    shade: Sequence[str] | None = None,
) -> Text:
    """The text around tokens[position], marked |so|; what lies before `start` or after it is dim.

    `shade`: a style for each token in place of that.
    """
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
            text.append(f"|{shown}|", style="bold" if shade is None else f"bold {shade[index]}")
        elif shade is not None:
            text.append(shown, style=shade[index])
        else:
            text.append(shown, style="" if start <= index < position else "dim")
    return text.append("…" if right < len(tokens) else "")


def table_of(*columns: str, numbers: Iterable[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    right = set(numbers)
    for column in columns:
        table.add_column(Text(column), justify="right" if column in right else "left", overflow="fold")
    return table


def title_of(*parts: str) -> Text:
    return Text(visible("  ".join(part for part in parts if part)), style="bold", overflow="fold")


def source_of(provenance: Provenance) -> str:
    corpus = f", corpus {provenance.corpus.name}" if provenance.corpus else ""
    model = provenance.model
    post_ln = ", Post-LN" if model.post_ln else ""
    return f"({model.label}{post_ln}{corpus}, {provenance.basis} weights)"


def kind_of(provenance: Provenance) -> str:
    """What is listed: "Neurons", or "Units" of a dictionary."""
    return f"{provenance.model.kind.capitalize()}s"


def sign_of(sign: Sign, provenance: Provenance) -> str:
    """By which sign neurons were ranked; "" where it is always "+": a plain MLP's neurons fire positively."""
    return "" if sign == "+" and not provenance.model.gated else f"sign {sign}"


def cells_of(*cells: str) -> list[Text]:
    return [Text(cell) for cell in cells]


@render.register
def _(result: TokenNeurons) -> RenderableType:
    title = title_of(
        f"{kind_of(result.provenance)} that promote {visible_token(result.token.text)} #{result.token.id}",
        sign_of(result.sign, result.provenance),
        source_of(result.provenance),
    )
    table = table_of(
        result.provenance.model.kind, "congruence", "cosine", "rank", "its top token", "top congruence",
        numbers=("congruence", "cosine", "rank", "top congruence"),
    )  # fmt: skip
    for row in result.neurons:
        table.add_row(
            *cells_of(str(row.neuron), f"{row.congruence:.3f}", f"{row.cosine:.3f}", str(row.token_rank)),
            token_text(row.top_token),
            Text(f"{row.top_congruence:.3f}"),
        )
    return Group(title, table if result.neurons else Text(f"No {result.provenance.model.kind} fits."))


@render.register
def _(result: NeuronsOfTokens) -> RenderableType:
    parts = [part for each in result.tokens for part in (render(each), Text(""))]
    return Group(*parts[:-1]) if parts else Text("The file has no token.")


@render.register
def _(result: NeuronTokens) -> RenderableType:
    parts: list[RenderableType] = [title_of(f"Tokens of {result.neuron}", source_of(result.provenance))]
    for what, tokens in (("promotes", result.tokens), ("suppresses", result.suppressed)):
        table = table_of(what, "id", "congruence", numbers=("id", "congruence"))
        for row in tokens:
            table.add_row(
                token_text(Token(row.id, row.text)), *cells_of(str(row.id), f"{row.congruence:.3f}")
            )
        parts += [table, Text("")]
    return Group(*parts[:-1])


@render.register
def _(result: ScanSummary) -> RenderableType:
    earlier = result.extended_from
    corpus = result.provenance.corpus
    special = 0 if corpus is None else corpus.special_tokens or 0
    taken_over = [("taken over", f"{earlier:,} prompts of an earlier corpus")] if earlier else []
    corpus = result.provenance.corpus
    omitted = [("corpus", sentence) for sentence in (corpus.omissions if corpus else ())]
    work = [
        ("seconds", f"{result.seconds:.1f}"),
        ("tokens per second", f"{result.tokens_per_second:,.0f}"),
        ("resumed from", f"{result.resumed_from:,} prompts"),
    ]
    if result.resumed_from == result.prompts and not result.seconds:
        work = [("scanned", "before; there was nothing left to do")]
    return facts(
        [
            ("prompts", f"{result.prompts:,}"),
            ("tokens", f"{result.tokens:,}"),
            *([("special tokens", f"{special:,} spelled out in the texts")] if special else []),
            (kind_of(result.provenance).lower(), f"{result.neurons:,}"),
            *work,
            *taken_over,
            *omitted,
            ("index", result.index_path),
        ]
    )


_SPECIAL = "(special token)"
"""Beside a peak, or a token, that is one."""


def _prompt_row(prompt: Prompt, *, with_copies: bool) -> list[Text]:
    peak = prompt.peak
    following = Text("") if peak.next_token is None else token_text(peak.next_token)
    start = prompt.trimmed.start if prompt.trimmed else 0
    context = around(prompt.tokens, peak.position, start)
    if peak.special:
        context.append(f" {_SPECIAL}", style="dim")
    cells = cells_of(str(prompt.rank), str(prompt.prompt_id), f"{peak.activation:.3f}")
    copies = cells_of(f"x{prompt.copies}" if (prompt.copies or 1) > 1 else "") if with_copies else []
    return [*cells, *copies, following, context]


_LISTS: dict[PromptKind, tuple[str, str]] = {
    "top": ("Prompts that fire", ""),
    "random": ("Random prompts of", ""),
    "deciles": ("One prompt of each decile of", ", lowest first"),
}


@render.register
def _(result: NeuronPrompts) -> RenderableType:
    what, order = _LISTS[result.kind if isinstance(result, PromptsWithFigures) else "top"]
    stats = result.stats
    scanned = f"{result.scanned_prompts:,} of {result.total_prompts:,} prompts scanned"
    statistics = (
        f"mean {stats.mean:.3f}, variance {stats.variance:.3f}, above zero on {stats.fraction_positive:.1%} "
        f"of {stats.tokens:,} tokens, from {stats.minimum:.3f} to {stats.maximum:.3f}"
    )
    title = title_of(
        f"{what} {result.neuron}{order}",
        f"top token {visible_token(result.top_token.text)} {result.top_congruence:.3f}",
        source_of(result.provenance),
    )
    repeated = any((prompt.copies or 1) > 1 for prompt in result.prompts)
    columns = ("rank", "prompt", "peak", *(["copies"] if repeated else []), "next token", "text")
    table = table_of(*columns, numbers=("rank", "prompt", "peak", "copies"))
    for prompt in result.prompts:
        table.add_row(*_prompt_row(prompt, with_copies=repeated))
    body = table if result.prompts else Text(result.note or "No prompt yet.")
    return Group(title, Text(f"{scanned}; {statistics}", overflow="fold"), body)


@render.register
def _(result: Activations) -> RenderableType:
    table = table_of("position", "token", "activation", "", numbers=("position", "activation"))
    largest = max((abs(value) for value in result.activations), default=0.0)
    for position, (token, value) in enumerate(zip(result.tokens, result.activations, strict=True)):
        bar = ("+" if value > 0 else "-") * (round(20 * abs(value) / largest) if largest else 0)
        shown = token_text(token)
        if position in result.special:
            shown.append(f" {_SPECIAL}", style="dim")
        table.add_row(Text(str(position)), shown, *cells_of(f"{value:.3f}", bar))
    return Group(title_of(f"Activations of {result.neuron}", source_of(result.provenance)), table)


def _decomposition(result: HeadAttributions) -> str:
    other, heads = result.other, sum(head.attribution for head in result.heads)
    return (
        f"heads {heads:+.3f}  mlps {other.mlps:+.3f}  embedding {other.embedding:+.3f}  attention biases "
        f"{other.attention_biases:+.3f}  bias {other.bias:+.3f}  =  {result.sum:.3f};  "
        f"{result.target.name.replace('_', '-')} {result.target.value:.3f}, remainder {result.remainder:.1e}"
    )


def more_of(shown: int, total: int, what: str) -> list[RenderableType]:
    return [Text(f"{total - shown} more {what}; --json has them all.", style="dim")] if total > shown else []


@render.register
def _(result: HeadAttributions) -> RenderableType:
    where = "the given text" if result.rank is None else f"prompt {result.rank} ({result.context})"
    title = title_of(f"Heads that fire {result.neuron} on {where}", source_of(result.provenance))
    heads = sorted(result.heads, key=lambda head: -abs(head.attribution))[:HEADS_SHOWN]
    gated = any(head.gate is not None for head in heads)
    columns = ["head", "attribution", *(["gate", "up"] if gated else []), "active"]
    table = table_of(*columns, numbers=("attribution", "gate", "up"))
    for head in heads:
        split = [f"{head.gate or 0.0:+.3f}", f"{head.up or 0.0:+.3f}"] if gated else []
        table.add_row(
            *cells_of(str(head.head), f"{head.attribution:+.3f}", *split, "active" if head.active else "")
        )
    parts: list[RenderableType] = [
        title,
        around(result.tokens, result.position),
        Text(
            f"activation {result.activation:.3f} at position {result.position}"
            f"{f' {_SPECIAL}' if result.special else ''}"
        ),
        Text(_decomposition(result), overflow="fold"),
        table if heads else Text(f"No head reaches this {result.neuron.kind}."),
        *more_of(len(heads), len(result.heads), "heads"),
    ]
    if result.source_head is not None:
        sources = sorted(result.sources, key=lambda source: -abs(source.attribution))[:SOURCES_SHOWN]
        reads = table_of(
            "position", f"{result.source_head} reads", "attribution", "attention",
            numbers=("position", "attribution", "attention"),
        )  # fmt: skip
        for source in sources:
            weight = "" if source.weight is None else f"{source.weight:.4f}"
            reads.add_row(
                Text(str(source.position)), token_text(source.token),
                *cells_of(f"{source.attribution:+.3f}", weight),
            )  # fmt: skip
        parts += [Text(""), reads, *more_of(len(sources), len(result.sources), "positions")]
    return Group(*parts)


@render.register
def _(result: HeadOverview) -> RenderableType:
    title = title_of(
        f"Heads that fire {result.neuron} over {result.prompts} prompts ({result.context})",
        source_of(result.provenance),
    )
    heads = sorted(result.heads, key=lambda head: -abs(head.mean_attribution))[:HEADS_SHOWN]
    table = table_of(
        "head", "mean attribution", "active on", "worth explaining", numbers=("mean attribution", "active on")
    )
    for head in heads:
        worth = "yes" if head.worth_explaining else ""
        table.add_row(
            *cells_of(str(head.head), f"{head.mean_attribution:+.3f}", f"{head.active_fraction:.0%}", worth)
        )
    note = f"Worth explaining: active on {LEAST_PERCENT} to {MOST_PERCENT} % of "
    if result.context == "full":
        note += "these full windows; explanations go by the trimmed prompts (--trimmed)."
    else:
        note += "these trimmed prompts, which explanations go by."
    return Group(
        title,
        table if heads else Text(result.note or f"No head reaches this {result.neuron.kind}."),
        *more_of(len(heads), len(result.heads), "heads"),
        *([Text(note)] if heads else []),
    )


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


def summary_text(summary: Summary) -> str:
    """Mean and standard deviation in words."""
    if summary.mean is None:
        return "none"
    named = " population sd" if summary.deviation_of == "population" else " sd"
    spread = "" if summary.standard_deviation is None else f"{named} {summary.standard_deviation:.3f}"
    return f"mean {summary.mean:.3f}{spread} over {summary.count}"
