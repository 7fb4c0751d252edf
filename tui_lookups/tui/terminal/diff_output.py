"""Sending a terminal only what it does not show already.

Textual repaints a whole pane, or the screen, where a line in it changed height; on a slow link that is a
second of waiting for nothing new. What was sent is kept here piece by piece (a run of cells on one row):

1. A piece that stands at its place just so is not sent again.
2. A piece that is sent takes the place of every piece it overlaps.
3. After a resize, or when the terminal may show something else, everything is forgotten and sent anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.control import Control

from tui_lookups.tui.terminal.textual_private import CompositorUpdate, LayoutUpdate

if TYPE_CHECKING:
    from rich.console import Console
    from textual.strip import Strip

    from tui_lookups.tui.terminal.textual_private import ChopsUpdate

Piece = tuple[int, int, "Strip"]
"""Column, row and cells."""


class TerminalContents:
    """What the terminal shows, as far as it is known."""

    def __init__(self) -> None:
        self._rows: dict[int, dict[int, tuple[int, str]]] = {}

    def forget(self) -> None:
        """The terminal may show anything."""
        self._rows.clear()

    def take(self, x: int, y: int, width: int, text: str) -> bool:
        """Note a piece; whether it has to be sent."""
        row = self._rows.setdefault(y, {})
        if row.get(x) == (width, text):
            return False
        for start in [s for s, (size, _) in row.items() if s < x + width and s + size > x]:
            del row[start]
        row[x] = (width, text)
        return True


class DiffUpdate(CompositorUpdate):
    """An update without what the terminal shows already."""

    def __init__(self, update: LayoutUpdate | ChopsUpdate, sent: TerminalContents) -> None:
        self._update = update
        self._sent = sent

    def render_segments(self, console: Console) -> str:
        """What has to be written."""
        parts: list[str] = []
        for x, y, strip in pieces(self._update):
            text = strip.simplify().render(console)
            if self._sent.take(x, y, strip.cell_length, text):
                parts.append(Control.move_to(x, y).segment.text + text)
        return "".join(parts)


def pieces(update: LayoutUpdate | ChopsUpdate) -> Iterator[Piece]:
    """The runs of cells an update is made of."""
    if isinstance(update, LayoutUpdate):
        for y, strips in enumerate(update.strips, update.region.y):
            x = update.region.x
            for strip in strips:
                if strip.cell_length:
                    yield x, y, strip
                x += strip.cell_length
        return
    for y, first, last in update.spans:
        for end, (x, chop) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            if chop is None or end <= first or x >= last:
                continue
            piece = chop if end <= last else chop.crop(0, last - x)
            if piece.cell_length:
                yield x, y, piece
