"""The app's own dark and light theme, and the palette that goes with whatever theme is on."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from textual.color import Color
from textual.theme import Theme

from tui_lookups.tui.paint.shading import (
    ansi_palette,
    full_palette,
    low_palette,
    plain_palette,
    seen_on,
    words_palette,
)

if TYPE_CHECKING:
    from tui_lookups.tui.paint.shading import Palette

DARK = Theme(
    name="lookups-dark",
    primary="#56b4e9",
    secondary="#8ab8d6",
    accent="#e69f00",
    foreground="#d8dde3",
    background="#12161b",
    surface="#12161b",
    panel="#1d242c",
    warning="#e69f00",
    error="#ff7a5c",
    success="#35b98f",
    dark=True,
)
LIGHT = Theme(
    name="lookups-light",
    primary="#005f99",
    secondary="#3d6b87",
    accent="#a85400",
    foreground="#20262c",
    background="#fbfaf6",
    surface="#fbfaf6",
    panel="#e9e6dd",
    warning="#a85400",
    error="#b3261e",
    success="#00704f",
    dark=False,
)
TERMINAL = "ansi-dark"
"""Textual's theme of the terminal's own colours on its own background."""

CYCLE = (DARK.name, LIGHT.name, TERMINAL)
"""The themes the key of action app.theme goes through."""


def palette_for(
    theme: Theme, *, ansi: bool, no_color: bool, low: bool = False, words: bool = False
) -> Palette:
    """The palette of `theme`: attributes only without colour, 16 colours for an ANSI theme; few shades
    where every byte counts (`low`), none for a screen reader (`words`)."""
    if words:
        return words_palette()
    if low:
        return low_palette()
    if no_color:
        return plain_palette()
    if ansi or theme.ansi:
        return ansi_palette()
    colors = colors_of(theme)
    return full_palette(
        foreground=_hex(colors["foreground"], "#d8dde3" if theme.dark else "#20262c"),
        background=_hex(colors["background"], "#12161b" if theme.dark else "#fbfaf6"),
        warm="#e69f00" if theme.dark else "#e08a1e",
        cold="#3d9be0" if theme.dark else "#4a90c8",
        accent=_hex(colors["primary"], "#56b4e9" if theme.dark else "#005f99"),
        error=_hex(colors["error"], "#ff7a5c" if theme.dark else "#b3261e"),
    )


def css_variables(theme: Theme) -> dict[str, str]:
    """Those of the theme, and the colour of frames."""
    return colors_of(theme) | theme.variables | {"frame": frame_color(theme)}


def colors_of(theme: Theme) -> dict[str, str]:
    """All colours that Textual makes of those of a theme; worked out once, for it takes milliseconds."""
    kept = _COLORS.get(theme.name)
    if kept is None or kept[0] is not theme:
        kept = _COLORS[theme.name] = (theme, theme.to_color_system().generate())
    return kept[1]


_COLORS: dict[str, tuple[Theme, dict[str, str]]] = {}


def frame_color(theme: Theme) -> str:
    """The colour of frames, dividers and scrollbars: it stands back, and is seen."""
    if theme.ansi:
        return "ansi_bright_black"
    colors = colors_of(theme)
    paper = _hex(colors["background"], "#12161b" if theme.dark else "#fbfaf6")
    ink = _hex(colors["foreground"], "#d8dde3" if theme.dark else "#20262c")
    return _between(paper, ink)


@cache
def _between(paper: str, ink: str) -> str:
    return seen_on(Color.parse(paper), Color.parse(ink), 0.3).hex


def _hex(color: str, otherwise: str) -> str:
    return color if color.startswith("#") else otherwise
