"""The lines a prompt is painted as: one line around its peak, or a heading and the whole text.

Pure functions from a prompt and a `Look` to segments; widths are terminal cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from tui_lookups.tui.paint.shading import level
from tui_lookups.tui.paint.text_layout import fit, quoted, snippet
from tui_lookups.visible import visible, visible_token

if TYPE_CHECKING:
    from tui_lookups.results import Prompt
    from tui_lookups.tui.paint.shading import Palette
    from tui_lookups.tui.paint.text_layout import Line

DIVIDER = "│"
"""Stands after the peak: what fired is left of it, what followed is right of it."""

TEXT = "text"
"""In place of the rank, of a text that is no prompt of the corpus."""

GUTTER = 14
"""Cells before the text: mark, rank and phi."""


class Look(NamedTuple):
    """How prompts are painted: `maximum` is the activation of full colour; `sources`, where given, are
    the figures to shade instead, by position, with `sources_title` saying what they are; `found` are the
    positions of what was searched for."""

    palette: Palette
    maximum: float
    marked: frozenset[object] = frozenset()
    sources: Mapping[int, float] | None = None
    sources_title: str = ""
    found: frozenset[int] = frozenset()


def texts_of(prompt: Prompt) -> tuple[str, ...]:
    """The prompt's tokens as they are painted."""
    return tuple(visible(token.text) or "∅" for token in prompt.tokens)


def token_style(prompt: Prompt, position: int, look: Look) -> Style:
    """Shade by value; dim outside the trimmed context; the peak bold and underlined."""
    palette, sources = look.palette, look.sources
    if sources is not None:
        value = sources.get(position, 0.0)
        shading = level(value, max((abs(v) for v in sources.values()), default=0.0))
    else:
        shading = level(prompt.activations[position], look.maximum)
    inside = prompt.trimmed is None or prompt.trimmed.start <= position <= prompt.peak.position
    style = (palette.plain if inside else palette.dim) + palette.shade(shading)
    if sources is not None and shading:
        style += Style(underline=True)
    if position == prompt.peak.position:
        style += Style(bold=True, underline=True, dim=False)
    if position in look.found:
        style += Style(reverse=True, bold=True)
    return style


def one_line(prompt: Prompt, texts: Sequence[str], width: int, look: Look) -> list[Segment]:
    """Rank, phi and the text around the peak, the peaks of all prompts in one column; copies at the end."""
    line = snippet(texts, prompt.peak.position, max(1, width - GUTTER), DIVIDER)
    segments = [*gutter(prompt, look, open_=False), *paint(prompt, line, look)]
    if not (times := copies_tag(prompt)):
        return segments
    room = max(0, width - cell_len(times) - 1)
    return [*Segment.adjust_line_length(segments, room), Segment(f" {times}", look.palette.strong)]


def copies_tag(prompt: Prompt) -> str:
    """ "x40" for a text that 40 prompts of the corpus have; "" for one that is there once."""
    return f"x{prompt.copies}" if prompt.copies is not None and prompt.copies > 1 else ""


def gutter(prompt: Prompt, look: Look, *, open_: bool) -> list[Segment]:
    """The cells before a prompt's text: mark, rank, phi, and a star where the peak is a special token."""
    palette = look.palette
    mark = "●" if prompt.prompt_id in look.marked else " "
    arrow = "▾" if open_ else " "
    rank = f"{prompt.rank or TEXT:>4}" if prompt.rank < 10_000 else f"{prompt.rank}"
    text = fit(f"{rank} {prompt.peak.activation:6.2f}", GUTTER - 3)
    return [
        Segment(mark + arrow, palette.accent),
        Segment(text, palette.strong if open_ else palette.plain),
        Segment("*" if prompt.peak.special else " ", palette.accent),
    ]


def heading(prompt: Prompt, width: int, look: Look) -> list[Segment]:
    """What is known of an open prompt, above its text.

    Where it is too narrow for all of it, what the text below shows too gives way, not what ends the line.
    """
    palette, room = look.palette, max(0, width - GUTTER)
    ways = ["  ".join(facts) for facts in _facts(prompt, look)]
    text = next((way for way in ways if cell_len(way) <= room), ways[-1])
    return [*gutter(prompt, look, open_=True), Segment(fit(text, room), palette.heading)]


def _facts(prompt: Prompt, look: Look) -> Iterator[list[str]]:
    """What is known of a prompt, in ever fewer words."""
    peak = prompt.peak
    shaded = [look.sources_title] if look.sources is not None else []
    trim = [_trim_fact(prompt)] if prompt.trimmed is not None else []
    where = f"{peak.position} {visible_token(peak.token.text)}{' (special token)' if peak.special else ''}"
    following = "end of window" if peak.next_token is None else visible_token(peak.next_token.text)
    peak_at, after, number = "peak at", f"next {following}", f"#{prompt.prompt_id}"
    if not prompt.rank:
        after = after if peak.next_token is not None else "the last token"
        peak_at, number = "met at", "given by hand"
    copies = [copies_tag(prompt)] if copies_tag(prompt) else []
    in_corpus = [f"{copies[0]} in the corpus"] if copies else []
    yield [
        *shaded,
        f"{peak_at} {where}",
        after,
        *trim,
        f"corpus prompt {prompt.prompt_id}" if prompt.rank else number,
        *in_corpus,
    ]
    yield [*shaded, f"{peak_at} {where}", after, *trim, number, *copies]
    yield [*shaded, f"{peak_at} {where}", *trim, number, *copies]
    yield [*shaded, number, *copies, *trim]


def in_words(prompt: Prompt, marked: frozenset[object], title: str = "") -> str:
    """What is known of a prompt, in the order one would say it."""
    peak = prompt.peak
    following = "the end of the window" if peak.next_token is None else quoted(peak.next_token.text)
    said = f"prompt {prompt.rank}" if prompt.rank else "text given by hand"
    said += f", activation {peak.activation:.2f} at {quoted(peak.token.text)}"
    said += ", a special token" if peak.special else ""
    said += f", position {peak.position}, then {following}"
    if copies_tag(prompt):
        said += f", {prompt.copies} times in the corpus"
    if prompt.prompt_id in marked:
        said += ", marked"
    return f"{said}, {title}" if title else said


def table(prompts: Sequence[Prompt]) -> tuple[tuple[str | int | float | None, ...], ...]:
    """Names of columns, then a row a prompt."""
    names = ("rank", "prompt", "activation", "position", "token", "next_token", "copies", "text")
    rows = (
        (
            p.rank, p.prompt_id, p.peak.activation, p.peak.position, p.peak.token.text,
            None if p.peak.next_token is None else p.peak.next_token.text, p.copies,
            "".join(token.text for token in p.tokens),
        )
        for p in prompts
    )  # fmt: skip
    return (names, *rows)


def _trim_fact(prompt: Prompt) -> str:
    trim = prompt.trimmed
    if trim is None or not trim.trimmed:
        return f"not trimmed: {visible(trim.note)}" if trim is not None and trim.note else "not trimmed"
    kept = trim.activation / prompt.peak.activation if prompt.peak.activation else 0.0
    return f"trim {trim.start}-{prompt.peak.position} keeps {kept:.0%}"


def paint(
    prompt: Prompt, line: Line, look: Look, cursor: int | None = None, cursor_style: Style | None = None
) -> list[Segment]:
    """The segments of one laid-out line; ornaments (token -1) are dim."""
    segments: list[Segment] = []
    for span in line:
        if span.token < 0:
            segments.append(Segment(span.text, look.palette.dim))
            continue
        style = token_style(prompt, span.token, look)
        if span.token == cursor and cursor_style is not None:
            style += cursor_style
        segments.append(Segment(span.text, style))
    return segments
