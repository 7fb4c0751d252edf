"""Sending a terminal only what it does not show already.

Textual repaints a whole pane, or the screen, where a line in it changed height, and gives every word its
colours and a reset; on a slow link that is a second of waiting for nothing new. What the terminal shows is
kept here, a cell at a time:

1. Of a piece (a run of cells on one row) the cells that are shown so already are stepped over; a few between
   two that are not are sent once more, where moving costs as much.
2. A piece with text that is wider or narrower than its letters goes as a whole: terminals differ in how wide
   they make it, and everything behind it on its row would be shifted.
3. From word to word only what differs of their styles is sent (pens.py).
4. After a resize, or when the terminal may show something else, everything is forgotten and sent anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import COLOR_SYSTEMS

from tui_lookups.tui.terminal.pens import NEW, Pen, change, pen_of
from tui_lookups.tui.terminal.textual_private import CompositorUpdate, LayoutUpdate

if TYPE_CHECKING:
    from rich.console import Console
    from textual.strip import Strip

    from tui_lookups.tui.terminal.textual_private import ChopsUpdate

Piece = tuple[int, int, "Strip"]
"""Column, row and cells."""
Cell = tuple[str, Pen]
"""What stands in a cell. Text of another width than its letters is in its first cell, "" in the others."""

_GAP = 4
"""Cells between two changes that are sent rather than stepped over: a move takes as many bytes."""


class TerminalContents:
    """What the terminal shows, as far as it is known."""

    def __init__(self) -> None:
        self._rows: dict[int, list[Cell | None]] = {}

    def forget(self) -> None:
        """The terminal may show anything."""
        self._rows.clear()

    def take(self, x: int, y: int, cells: Sequence[Cell]) -> Iterator[tuple[int, Sequence[Cell]]]:
        """Note a piece; the runs of it that have to be sent, each with its column."""
        row, end = self._rows.setdefault(y, []), x + len(cells)
        row.extend([None] * (end - len(row)))
        shown = row[x:end]
        if shown == list(cells):
            return
        self._break(row, x, end)
        row[x:end] = cells
        if any(cell is not None and not cell[0] for cell in (*shown, *cells)):
            yield x, cells
            return
        for first, last in _differences(shown, cells):
            yield x + first, cells[first:last]

    @staticmethod
    def _break(row: list[Cell | None], x: int, end: int) -> None:
        """A wide text that reaches across an end of the piece is not whole any more."""
        while x > 0 and _is_rest(row[x]):
            x -= 1
            row[x] = None
        while end < len(row) and _is_rest(row[end]):
            row[end] = None
            end += 1


def _is_rest(cell: Cell | None) -> bool:
    return cell is not None and not cell[0]


def _differences(shown: Sequence[Cell | None], cells: Sequence[Cell]) -> Iterator[tuple[int, int]]:
    """Where the two differ: first cell, and the one after the last."""
    first = last = -1
    for place, (was, cell) in enumerate(zip(shown, cells, strict=True)):
        if was == cell:
            continue
        if first < 0:
            first = place
        elif place - last > _GAP:
            yield first, last
            first = place
        last = place + 1
    if first >= 0:
        yield first, last


class DiffUpdate(CompositorUpdate):
    """An update without what the terminal shows already."""

    def __init__(self, update: LayoutUpdate | ChopsUpdate, sent: TerminalContents) -> None:
        self._update = update
        self._sent = sent

    def render_segments(self, console: Console) -> str:
        """What has to be written; it begins and ends with the terminal's own pen."""
        system = COLOR_SYSTEMS.get(console.color_system or "", ColorSystem.TRUECOLOR)
        parts: list[str] = []
        pen, at = NEW, (-1, -1)
        for x, y, strip in pieces(self._update):
            for start, cells in self._sent.take(x, y, cells_of(strip, system)):
                if at != (start, y):
                    parts.append(_move(at, start, y))
                for text, wanted in cells:
                    if wanted is not pen:
                        codes, pen = change(pen, wanted)
                        parts.append(codes)
                    parts.append(text)
                at = start + len(cells), y
        if pen != NEW:
            parts.append("\x1b[0m")
        return "".join(parts)


def _move(at: tuple[int, int], x: int, y: int) -> str:
    """To a cell: along its row where the cursor is on it, which the end of the row is not."""
    if at[1] == y and 0 <= at[0] < x:
        return f"\x1b[{x - at[0]}C"
    return f"\x1b[{y + 1};{x + 1}H" if x else f"\x1b[{y + 1}H"


def cells_of(strip: Strip, system: ColorSystem) -> list[Cell]:
    """A strip, a cell at a time."""
    cells: list[Cell] = []
    for text, style, control in strip:
        if control or not text:
            continue
        pen = pen_of(style, system)
        if _is_simple(text):
            blank = pen.on_blanks()
            cells += [(letter, blank if letter == " " else pen) for letter in text]
        elif size := cell_len(text):
            cells += [(text, pen), *[("", pen)] * (size - 1)]
        elif cells:  # a mark on the cell before
            cells[-1] = (cells[-1][0] + text, cells[-1][1])
    return cells


@lru_cache(maxsize=4096)
def _is_simple(text: str) -> bool:
    """Whether every letter takes a cell."""
    return text.isascii() or (cell_len(text) == len(text) and all(cell_len(letter) == 1 for letter in text))


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
