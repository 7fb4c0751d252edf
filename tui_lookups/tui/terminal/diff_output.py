"""Sending a terminal only what it does not show already.

Textual repaints a whole pane, or the screen, where a line in it changed height, and gives every run of cells
its style from nothing; on a slow link that is a second of waiting for nothing new. What was sent is kept here
cell by cell:

1. Of a piece (a run of cells on one row) only the cells are sent that the terminal does not show just so, and
   those between them where going past takes more bytes than they do.
2. A style is sent as what is other than in the style before. Of a blank only the ground is seen.
3. A piece with a character that some terminals draw in another width than ours is sent whole or not at all,
   and forgotten whole where a part of it is written over.
4. After a resize, or when the terminal may show something else, everything is forgotten and sent anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from rich.color import ColorSystem
from rich.console import COLOR_SYSTEMS
from rich.control import Control
from rich.style import Style

from tui_lookups.tui.terminal.textual_private import CompositorUpdate, LayoutUpdate

if TYPE_CHECKING:
    from rich.console import Console
    from textual.strip import Strip

    from tui_lookups.tui.terminal.textual_private import ChopsUpdate

Piece = tuple[int, int, "Strip"]
"""Column, row and cells."""

_WORDS = re.compile("[^ ]+| +")
_GAP = 8
"""Cells that are as well sent again as gone past."""

ONE_CELL = re.compile(
    "[ -~\u00a1-\u00ac\u00ae-\u024f\u2010-\u2027\u2190-\u21ff\u237d\u23ce\u2400-\u2426\u2500-\u25fc]*"
)
"""Text that every terminal draws in as many cells as it has characters."""


class Look(NamedTuple):
    """How a cell is drawn, as codes of SGR: attributes, colour and ground; of a blank the ground alone."""

    attributes: str
    front: str
    back: str


_BARE = Look("", "39", "49")
_DRAWN_ON_BLANKS = frozenset(("4", "7", "9", "21", "51", "52", "53"))
"""Attributes that a blank shows, too: underlined, reversed, struck out, framed."""


Run: TypeAlias = tuple[str, Look]
"""Text in one look; of a single character, a cell."""


class Part(NamedTuple):
    """A cell of a piece that is sent whole (step 3): all of the piece, the place in it, its width."""

    piece: tuple[Run, ...]
    place: int
    width: int


Cell: TypeAlias = Run | Part


class TerminalContents:
    """What the terminal shows, as far as it is known."""

    def __init__(self) -> None:
        self._rows: dict[int, list[Cell | None]] = {}

    def forget(self) -> None:
        """The terminal may show anything."""
        self._rows.clear()

    def take(self, x: int, y: int, cells: Sequence[Cell]) -> list[range]:
        """Note the cells of a piece; which of them have to be sent (step 1)."""
        row, end = self._rows.setdefault(y, []), x + len(cells)
        row += [None] * (end - len(row))
        if row[x:end] == cells:
            return []
        changed = [column for column, cell in enumerate(cells) if row[x + column] != cell]
        self._forget_parts(row, [x + column for column in changed])
        row[x:end] = cells
        runs = [range(changed[0], changed[0] + 1)]
        for column in changed[1:]:
            near = column - runs[-1].stop <= _GAP
            start = runs.pop().start if near else column
            runs.append(range(start, column + 1))
        return runs

    def _forget_parts(self, row: list[Cell | None], columns: Sequence[int]) -> None:
        """Forget the pieces sent whole that these columns show a part of (step 3)."""
        for column in columns:
            part = row[column]
            if isinstance(part, Part):
                first = column - part.place
                for other in range(first, min(len(row), first + part.width)):
                    cell = row[other]
                    if isinstance(cell, Part) and cell.piece == part.piece:
                        row[other] = None


class Pen:
    """Writes cells one after another, each in its look (step 2)."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self._look = _BARE

    def move_to(self, x: int, y: int) -> None:
        self.written.append(Control.move_to(x, y).segment.text)

    def write(self, runs: Iterable[Run]) -> None:
        for look, group in groupby(runs, itemgetter(1)):
            self._take_up(look)
            self.written += [text for text, _ in group]

    def lay_down(self) -> None:
        """What is written next by others has no look."""
        if self._look != _BARE:
            self.written.append("\x1b[0m")
            self._look = _BARE

    def _take_up(self, wanted: Look) -> None:
        have = self._look
        if not wanted.front:  # a blank: the rest may stay as it is, unless that would be seen
            stays = not _DRAWN_ON_BLANKS & set(have.attributes.split(";"))
            wanted = have._replace(back=wanted.back) if stays else Look("", have.front, wanted.back)
        if wanted == have:
            return
        codes = []
        if wanted.attributes != have.attributes:
            if have.attributes:
                codes.append("0")
                have = _BARE
            codes.append(wanted.attributes)
        codes += [wanted.front] if wanted.front != have.front else []
        codes += [wanted.back] if wanted.back != have.back else []
        self.written.append(f"\x1b[{';'.join(filter(None, codes))}m")
        self._look = wanted


class DiffUpdate(CompositorUpdate):
    """An update without what the terminal shows already."""

    def __init__(self, update: LayoutUpdate | ChopsUpdate, sent: TerminalContents) -> None:
        self._update = update
        self._sent = sent

    def render_segments(self, console: Console) -> str:
        """What has to be written."""
        system = COLOR_SYSTEMS[console.color_system or "truecolor"]
        pen = Pen()
        for x, y, strip in pieces(self._update):
            runs = runs_of(strip, system)
            if all(ONE_CELL.fullmatch(text) for text, _ in runs):
                cells = [(character, look) for text, look in runs for character in text]
                for changed in self._sent.take(x, y, cells):
                    pen.move_to(x + changed.start, y)
                    pen.write(cells[changed.start : changed.stop])
                continue
            width = strip.cell_length
            if self._sent.take(x, y, [Part(runs, column, width) for column in range(width)]):
                pen.move_to(x, y)
                pen.write(runs)
        pen.lay_down()
        return "".join(pen.written)


def runs_of(strip: Strip, system: ColorSystem) -> tuple[Run, ...]:
    """The text of a piece, blanks in the look of blanks."""
    runs: list[Run] = []
    for text, style, _ in strip:
        look, blank = _looks(style or Style.null(), system)
        if look is blank:
            runs.append((text, look))
        else:
            runs += [(part, blank if part[0] == " " else look) for part in _WORDS.findall(text)]
    return tuple(runs)


@lru_cache(maxsize=1024)
def _looks(style: Style, system: ColorSystem) -> tuple[Look, Look]:
    """How a style looks, and how a blank in it does."""
    attributes = _codes(style.without_color, system)
    front, back = _codes(Style(color=style.color), system), _codes(Style(bgcolor=style.bgcolor), system)
    look = Look(attributes, front or _BARE.front, back or _BARE.back)
    drawn = _DRAWN_ON_BLANKS & set(attributes.split(";"))
    return look, look if drawn else Look("", "", look.back)


def _codes(style: Style, system: ColorSystem) -> str:
    """A style's codes, as Rich has them."""
    before, codes, _ = style.render("x", color_system=system).partition("mx")
    return before.removeprefix("\x1b[") if codes else ""


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
