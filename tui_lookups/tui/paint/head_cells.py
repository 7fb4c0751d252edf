"""The grid of heads: how wide its cells are, which layers share a row, and rows as they are painted. Pure.

1. A cell is as wide as lets all heads stand side by side: sign, size and figure; the figure; sign and size.
2. Neighbouring layers in which no head is large enough for a shade stand in one row, with what they come to.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style

from tui_lookups.ids import HeadId
from tui_lookups.tui.paint.head_rows import signed
from tui_lookups.tui.paint.shading import glyphs, level
from tui_lookups.tui.paint.text_layout import fit

if TYPE_CHECKING:
    from tui_lookups.tui.paint.head_rows import Cell
    from tui_lookups.tui.paint.shading import Palette

LABEL = 5
CELL, FIGURE_CELL, WIDE_CELL = 6, 8, 12


def cell_width(room: int, n_heads: int) -> int:
    """Cells a head takes where `n_heads` of them have `room`."""
    return next((size for size in (WIDE_CELL, FIGURE_CELL) if size * n_heads <= room), CELL)


def rows_of(cells: Mapping[HeadId, Cell], maximum: float, opened: Collection[int]) -> tuple[range, ...]:
    """The layers of each row, up to the last that reaches the neuron; `opened` ones stand alone."""
    loud = {head.layer for head, cell in cells.items() if level(cell.value, maximum)}
    rows: list[range] = []
    for layer in range(max((head.layer for head in cells), default=-1) + 1):
        quiet = layer not in loud and layer not in opened
        if rows and quiet and rows[-1].start not in loud and rows[-1].start not in opened:
            rows[-1] = range(rows[-1].start, layer + 1)
        else:
            rows.append(range(layer, layer + 1))
    return tuple(rows)


def labels(n_heads: int, here: int, width: int, palette: Palette) -> list[Segment]:
    """The numbers of heads above the grid, that of the cursor strong."""
    return [
        Segment(f"H{n}".center(width), palette.strong if n == here else palette.heading)
        for n in range(n_heads)
    ]


def folded_row(layers: range, cells: Mapping[HeadId, Cell], width: int, palette: Palette) -> list[Segment]:
    """Layers without a head of any size: their names and what all of them come to."""
    total = sum(cell.value for head, cell in cells.items() if head.layer in layers)
    return [Segment(fit(f"L{layers[0]}-L{layers[-1]}: {signed(total)}", width), palette.dim)]


def layer_row(
    layer: int,
    n_heads: int,
    cells: Mapping[HeadId, Cell],
    maximum: float,
    width: int,
    palette: Palette,
    marked: Collection[object],
    cursor: HeadId,
    cursor_style: Style,
) -> list[Segment]:
    """One layer's heads; those that do not reach the neuron stay blank."""
    segments: list[Segment] = []
    for n in range(n_heads):
        head = HeadId(layer, n)
        cell = cells.get(head)
        is_marked, at_cursor = head in marked, head == cursor
        left, right, style, frame = "●" if is_marked else " ", " ", Style(), palette.strong
        text = " " * (width - 2)
        if cell is not None:
            text = cell_text(cell, maximum, width, marked=is_marked and at_cursor)
            style = palette.plain + palette.shade(level(cell.value, maximum))
        if at_cursor:
            # Round the cell, not over it: what the cursor stands on must not lose its colour, or take
            # on that of the other sign.
            frame = cursor_style
            style += Style(bold=True)
            left, right = "[", "]"
        segments += [Segment(left, frame), Segment(text, style), Segment(right, frame)]
    return segments


def cell_text(cell: Cell, maximum: float, width: int, *, marked: bool = False) -> str:
    """Sign and size, the figure, or both, and the star.

    `marked`: the mark stands inside, before the figure; where there is no room there, in the star's place.
    """
    if cell.figures:
        room = width - 2
        return next((text for text in cell.figures if len(text) <= room), cell.figures[-1]).center(room)
    star = "*" if cell.starred else " "
    if width == CELL:
        return f"{glyphs(cell.value, maximum):^3}{'●' if marked else star}"
    if width == FIGURE_CELL:
        return f"{_figure(cell.value, 5):>5}{'●' if marked else star}"
    figure = _figure(cell.value, 6)
    if not marked:
        return f"{glyphs(cell.value, maximum):^3}{figure:>6}{star}"
    if len(figure) < 6:
        return f"{glyphs(cell.value, maximum):^3}●{figure:>5}{star}"
    return f"{glyphs(cell.value, maximum):^3}{figure}●"


def _figure(value: float, width: int) -> str:
    """With two decimals, or as many as fit."""
    ways = (signed(value), f"{value:+.1f}", f"{value:+.0f}")
    return next((text for text in ways if len(text) <= width), ways[-1])
