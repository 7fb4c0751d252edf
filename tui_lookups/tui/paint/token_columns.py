"""Tokens with figures below them, several texts above each other, in lines of the width. Pure.

1. A token is a column: a cell a row, each a text and its style. It is as wide as the widest of them.
2. Columns fill lines of the width; each such line is as high as a column, and has the rows' names in front.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from tui_lookups.tui.paint.text_layout import fit

Column = Sequence[tuple[str, Style]]
_LEAST = 6
"""Cells of a column: those of a figure."""


class Place(NamedTuple):
    """Where the first row of a column is painted."""

    line: int
    x: int
    width: int


class Block(NamedTuple):
    """Lines, and the place of every column in them."""

    lines: list[list[Segment]]
    places: list[Place]


def lay_out(columns: Sequence[Column], names: Sequence[str], width: int, name_style: Style) -> Block:
    """Columns in lines of at most `width` cells, behind the names of their rows, all of them one width."""
    indent = max(map(cell_len, names), default=0)
    room = max(_LEAST, width - indent)
    lines: list[list[Segment]] = []
    cells: list[Place] = []
    used = room
    for column in columns:
        size = min(max(_LEAST, *(cell_len(text) for text, _ in column)), room)
        if used + size > room:
            lines += [[Segment(fit(name, indent), name_style)] for name in names]
            used = 0
        first = len(lines) - len(names)
        cells.append(Place(first, indent + used, size))
        gap = " " * (used + size < room)
        for row, (text, style) in zip(lines[first:], column, strict=True):
            row += [Segment(fit(text, size), style), Segment(gap)]
        used += size + len(gap)
    return Block(lines, cells)
