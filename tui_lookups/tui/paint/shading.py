"""From a value to a style: quantised levels, and what they look like at each colour depth.

1. A value becomes a signed level from -8 to 8 relative to the largest magnitude shown (8 steps keep
   neighbouring cells alike, which saves bytes on a slow line).
2. A palette gives each level a style: orange for positive, blue for negative (safe for the common
   colour blindnesses), by blending over the background; with 16 colours in few steps of the
   terminal's own; without colour by underline and bold.
3. Glyphs (`+++`, `--`, `.`) carry sign and size wherever a figure is a cell, so that colour is never
   the only carrier.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from rich.style import Style
from textual.color import Color

from tui_lookups.exports.shades import LEVELS as LEVELS
from tui_lookups.exports.shades import level as level

Depth = Literal["full", "ansi", "none", "words"]

_BLOCKS = " ▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉"


def glyphs(value: float, maximum: float) -> str:
    """Sign and size in at most three characters: `+++`, `++`, `+`, `.`, `-`, `--`, `---`."""
    size = abs(level(value, maximum))
    if size == 0:
        return "."
    return ("+" if value > 0 else "-") * (1 if size <= 3 else 2 if size <= 6 else 3)


def bar(value: float, maximum: float, width: int) -> str:
    """A horizontal bar of `width` cells, padded with spaces, in eighths of a cell."""
    if not maximum > 0 or not value > 0:
        return " " * width
    eighths = max(1, round(min(1.0, value / maximum) * width * 8)) if width else 0
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def sparkline(counts: tuple[int, ...], width: int) -> str:
    """Counts as blocks, one cell each; neighbours are added where there are more than `width`.

    A count above zero never looks empty: rare large values are the point of the picture.
    """
    if not counts or width < 1:
        return ""
    group = -(-len(counts) // width)
    sums = [sum(counts[start : start + group]) for start in range(0, len(counts), group)]
    top = max(sums)
    if top == 0:
        return " " * len(sums)
    return "".join(_BLOCKS[0 if n == 0 else max(1, round(n / top * 8))] for n in sums)


@dataclass(frozen=True, slots=True)
class Palette:
    """Every style the widgets paint with. `scale[level + 8]` shades a value."""

    depth: Depth
    plain: Style
    dim: Style
    strong: Style
    accent: Style
    heading: Style
    cursor: Style
    cursor_idle: Style
    bar: Style
    error: Style
    scale: tuple[Style, ...]

    few_bytes: bool = False

    def shade(self, signed_level: int) -> Style:
        """The style of a level from -8 to 8."""
        return self.scale[signed_level + LEVELS]

    def bar_text(self, value: float, maximum: float, width: int) -> str:
        """A bar of `width` cells; blank where every byte counts."""
        return " " * width if self.few_bytes else bar(value, maximum, width)


def full_palette(foreground: str, background: str, warm: str, cold: str, accent: str, error: str) -> Palette:
    """A palette for 256 colours and more, blended between theme colours given as "#rrggbb"."""
    ink, paper = Color.parse(foreground), Color.parse(background)

    def style(front: Color, back: Color | None = None, *, bold: bool = False) -> Style:
        return Style(
            color=front.rich_color, bgcolor=None if back is None else back.rich_color, bold=bold or None
        )

    def shade(signed_level: int) -> Style:
        if signed_level == 0:
            return Style()
        hue = Color.parse(warm if signed_level > 0 else cold)
        back = paper.blend(hue, 0.10 + 0.90 * abs(signed_level) / LEVELS)
        front = max(
            (ink, paper, Color(0, 0, 0), Color(255, 255, 255)), key=lambda color: _contrast(color, back)
        )
        return style(front, back)

    highlight = Color.parse(accent)
    return Palette(
        depth="full",
        plain=style(ink),
        dim=style(ink.blend(paper, 0.35)),
        strong=style(ink, bold=True),
        accent=style(highlight, bold=True),
        heading=style(ink.blend(paper, 0.35)),
        cursor=style(max((ink, paper), key=lambda c: _contrast(c, highlight)), highlight, bold=True),
        cursor_idle=style(ink, paper.blend(ink, 0.18)),
        bar=style(seen_on(paper, highlight, 0.55)),
        error=style(Color.parse(error), bold=True),
        scale=tuple(shade(n) for n in range(-LEVELS, LEVELS + 1)),
    )


SEEN = 3.0
"""Contrast that a line or a bar has to what is behind it (WCAG 2.2, 1.4.11)."""


def seen_on(paper: Color, ink: Color, share: float) -> Color:
    """`ink` mixed into `paper` so that it is seen on it: `share` of ink, or as much more as that takes.

    An ink that is not seen on that paper by itself is made darker, or brighter.
    """
    extreme = max((Color(0, 0, 0), Color(255, 255, 255)), key=lambda color: _contrast(color, paper))
    shares = [share + (1 - share) * step / 16 for step in range(17)]
    colors = (*(paper.blend(ink, part) for part in shares), *(ink.blend(extreme, part) for part in shares))
    return next(color for color in colors if _contrast(color, paper) >= SEEN)


def _contrast(one: Color, other: Color) -> float:
    """The WCAG contrast ratio of two colours."""
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(color: Color) -> float:
    def linear(part: int) -> float:
        share = part / 255
        return share / 12.92 if share <= 0.03928 else float(((share + 0.055) / 1.055) ** 2.4)

    return 0.2126 * linear(color.r) + 0.7152 * linear(color.g) + 0.0722 * linear(color.b)


def ansi_palette() -> Palette:
    """The terminal's own 16 colours on its own background, light or dark."""

    def shade(signed_level: int) -> Style:
        size, hue = abs(signed_level), "yellow" if signed_level > 0 else "blue"
        if size <= 1:
            return Style()
        if size <= 3:
            return Style(underline=True)
        if size <= 5:
            return Style(color="black" if signed_level > 0 else "white", bgcolor=hue)
        front = "black" if signed_level > 0 else "bright_white"
        return Style(color=front, bgcolor=f"bright_{hue}" if signed_level > 0 else hue, bold=True)

    scale = tuple(shade(n) for n in range(-LEVELS, LEVELS + 1))
    return replace(plain_palette(), depth="ansi", error=Style(color="red", bold=True), scale=scale)


def plain_palette() -> Palette:
    """No colour at all (NO_COLOR): attributes only."""

    def shade(signed_level: int) -> Style:
        size = abs(signed_level)
        if size <= 2:
            return Style()
        return Style(underline=True, bold=size >= 6 or None, italic=signed_level < 0 or None)

    return Palette(
        depth="none",
        plain=Style(),
        dim=Style(dim=True),
        strong=Style(bold=True),
        accent=Style(bold=True, underline=True),
        heading=Style(dim=True),
        cursor=Style(reverse=True, bold=True),
        cursor_idle=Style(reverse=True, dim=True),
        bar=Style(),
        error=Style(bold=True),
        scale=tuple(shade(n) for n in range(-LEVELS, LEVELS + 1)),
    )


def low_palette() -> Palette:
    """As few bytes as a shaded text takes: attributes, in two steps a side, and no bars."""

    def shade(signed_level: int) -> Style:
        size = abs(signed_level)
        if size <= 2:
            return Style()
        return Style(underline=True, bold=size >= 6 or None)

    scale = tuple(shade(n) for n in range(-LEVELS, LEVELS + 1))
    return replace(plain_palette(), dim=Style(), heading=Style(), scale=scale, few_bytes=True)


def words_palette() -> Palette:
    """Nothing but text: what a style would say is said in words."""
    bare = Style()
    return Palette(
        "words",
        bare,
        bare,
        bare,
        bare,
        bare,
        bare,
        bare,
        bare,
        bare,
        (bare,) * (2 * LEVELS + 1),
        few_bytes=True,
    )
