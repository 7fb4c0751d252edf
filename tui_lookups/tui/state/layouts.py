"""Which panes a terminal of a given size shows."""

from __future__ import annotations

from typing import Literal

Layout = Literal["small", "narrow", "columns", "tall", "wide", "vast"]
PaneName = Literal["neurons", "prompts", "heads", "detail", "inputs"]

PANES: tuple[PaneName, ...] = ("neurons", "prompts", "heads", "detail")
"""Those that every terminal shows, if only one at a time."""

MIN_WIDTH, MIN_HEIGHT = 60, 16


def layout_for(width: int, height: int, *, plain: bool = False) -> Layout:
    """The layout of a terminal of `width` x `height` cells.

    `vast`: every pane, the inputs beside the heads. `wide`: all but those. `columns`: neurons beside one
    other page. `tall`: all pages above each other.
    `narrow`: one page at a time, as `plain` text is whatever the size. `small`: a notice only.
    """
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        return "small"
    if plain:
        return "narrow"
    if width >= 220 and height >= 45:
        return "vast"
    if width >= 120:
        return "wide" if height >= 30 else "columns"
    return "tall" if height >= 44 else "narrow"


def panes_of(layout: Layout) -> tuple[PaneName, ...]:
    """The panes that a layout has, at once or one after the other, in the order of their keys."""
    return (*PANES, "inputs") if layout == "vast" else PANES


def lines_of_closed(width: int, height: int, *, plain: bool = False) -> int:
    """Lines of a prompt that is not open: one around its peak, or in a large terminal what is known and text.

    By the terminal's size alone, so that nothing moves when a pane gains or loses a line.
    """
    return 4 if width >= 200 and height >= 70 and not plain else 1


def pages(layout: Layout, focused: PaneName, *, zoomed: bool = False) -> tuple[PaneName, ...]:
    """The panes on screen when `focused` has the focus. Heads and their detail go together.

    `zoomed`: that pane alone, whatever there is room for.
    """
    if zoomed:
        return (focused,)
    if layout in ("vast", "wide", "tall"):
        return panes_of(layout)
    if layout == "columns":
        if focused in ("heads", "detail"):
            return ("neurons", "heads", "detail")
        return ("neurons", "prompts")
    if focused in ("heads", "detail"):
        return ("heads", "detail")
    return (focused,)
