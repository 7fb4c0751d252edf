"""The text of a trace beside its tree: which places what is shown below a node stands at, largest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style

from tui_lookups.tui.paint.head_rows import percent, signed
from tui_lookups.tui.paint.prompt_lines import DIVIDER
from tui_lookups.tui.paint.shading import level
from tui_lookups.tui.paint.text_layout import fit, wrap_tokens
from tui_lookups.visible import visible, visible_token

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tui_lookups.results import Token
    from tui_lookups.tui.paint.shading import Palette

_FIGURES = 22
"""Cells of a place, of what it adds, its share, and the gaps."""
_TOKEN, _MOST_BAR = 18, 40


def text_lines(
    tokens: Sequence[Token], position: int, values: Mapping[int, float], palette: Palette, width: int
) -> list[tuple[Segment, ...]]:
    """The text up to `position`, each token shaded by its value; the token there is underlined."""
    texts = [visible(token.text) or "∅" for token in tokens[: position + 1]]
    top = max(map(abs, values.values()), default=0.0)
    lines = []
    for line in wrap_tokens(texts, width - len(DIVIDER)):
        segments = []
        for span in line:
            style = palette.plain + palette.shade(level(values.get(span.token, 0.0), top))
            if span.token == position:
                style += Style(bold=True, underline=True)
            segments.append(Segment(span.text, style))
        lines.append(segments)
    lines[-1].append(Segment(DIVIDER, palette.dim))
    return [tuple(segments) for segments in lines]


def place_lines(
    tokens: Sequence[Token], values: Mapping[int, float], whole: float, palette: Palette, width: int
) -> list[tuple[Segment, ...]]:
    """A line a place: what stands there adds, its share of the `whole` node, a bar, and the token."""
    top = max(map(abs, values.values()), default=0.0)
    bar = max(0, min(_MOST_BAR, width - _FIGURES - _TOKEN))
    lines: list[tuple[Segment, ...]] = [
        (Segment(fit(f"{'pos.':>6}{'adds':>9} share {'':<{bar}}  token", width), palette.heading),)
    ]
    for position, value in sorted(values.items(), key=lambda place: -abs(place[1])):
        style = palette.plain + palette.shade(level(value, top))
        share = percent(value / whole) if whole else ""
        token = visible_token(tokens[position].text)
        lines.append(
            (
                Segment(f"{position:>6} ", palette.plain),
                Segment(f"{signed(value, 3):>8}", style),
                Segment(f"{share:>6} ", palette.plain),
                Segment(palette.bar_text(abs(value), top, bar), palette.bar),
                Segment(fit(f"  {token}", max(0, width - _FIGURES - bar)), palette.plain),
            )
        )
    return lines
