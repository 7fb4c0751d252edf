"""How heads are painted: cells of a grid, rows of a list, and the legend of both. Pure.

A cell shades and spells sign and size, so that colour is never the only carrier; a row of the list has the
figure, a bar and what is known besides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from rich.segment import Segment

from tui_lookups.tui.paint.shading import LEVELS, glyphs, level
from tui_lookups.tui.paint.text_layout import fit

if TYPE_CHECKING:
    from tui_lookups.ids import HeadId
    from tui_lookups.tui.paint.shading import Palette


class Attends(NamedTuple):
    """The token that a head attends to most, and its attention there; without one where nobody asked yet."""

    token: str = ""
    weight: float | None = None


class Cell(NamedTuple):
    """What is known of a head: a figure, whether it has a star, and `note` in words.

    `figures`: the figure as it stands in a cell of the grid, longest first, where it is no attribution.
    `attends`: on one text what it attends to; None where that is no question.
    """

    value: float
    starred: bool
    note: str = ""
    figures: tuple[str, ...] = ()
    attends: Attends | None = None


def signed(value: float, decimals: int = 2) -> str:
    """Decimals and a sign; what rounds to zero has a plus."""
    text = f"{value:+.{decimals}f}"
    return text if float(text) else text.replace("-", "+")


def percent(share: float) -> str:
    """A share without decimals; one that rounds to nothing has no sign."""
    return plain(100 * share, 0) + "%"


def plain(value: float, decimals: int = 2) -> str:
    """Decimals without a sign on what rounds to nothing."""
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if not float(text) else text


def by_size(cells: Mapping[HeadId, Cell]) -> tuple[HeadId, ...]:
    """The heads, largest figure first whichever its sign."""
    return tuple(sorted(cells, key=lambda head: -abs(cells[head].value)))


def table(
    heads: Sequence[HeadId], cells: Mapping[HeadId, Cell], star: str
) -> Sequence[Sequence[str | int | float | None]]:
    """These heads with all their figures, the names of the columns first; no rows without heads."""
    names = ("head", "attribution", star)
    rows = [(str(head), cells[head].value, int(cells[head].starred)) for head in heads]
    if not has_attention(cells):
        return (names, *rows) if rows else ()
    attends = [cells[head].attends or Attends() for head in heads]
    more = [(known.weight, None if known.weight is None else known.token) for known in attends]
    return ((*names, "attention", "attends_to"), *((*row, *two) for row, two in zip(rows, more, strict=True)))


def has_attention(cells: Mapping[HeadId, Cell]) -> bool:
    """Whether what heads attend to is a question here."""
    return any(cell.attends is not None for cell in cells.values())


def list_row(
    place: int, head: HeadId, cell: Cell, maximum: float, width: int, palette: Palette, *, marked: bool
) -> list[Segment]:
    """One head of the list."""
    style = palette.plain + palette.shade(level(cell.value, maximum))
    left = f"{place:4d} {head!s:<9}"
    state = "* " if cell.starred else "  "
    attends = "" if cell.attends is None else _attention(cell.attends)
    room = max(0, min(16, width - 48 - len(attends)))
    return [
        Segment("●" if marked else " ", palette.strong),
        Segment(left, palette.plain),
        Segment(f"{signed(cell.value):>7} {glyphs(cell.value, maximum):<3}", style),
        Segment(state, palette.strong),
        Segment(
            attends, palette.dim if cell.attends is None or cell.attends.weight is None else palette.plain
        ),
        Segment(palette.bar_text(abs(cell.value), maximum, room) + " " * bool(room), palette.bar),
        Segment(fit(cell.note, max(0, width - 28 - room - len(attends))), palette.dim),
    ]


_ATTENDED = 10
"""Cells of the token that a head attends to most."""


def _attention(attends: Attends) -> str:
    """The column of a list: never a blank, which would look like nothing."""
    if attends.weight is None:
        return fit("not asked", _ATTENDED + 6)
    return f"{attends.weight:>4.0%} {fit(attends.token, _ATTENDED)} "


def attends_words(attends: Attends | None) -> str:
    """The same in words; empty where it is not known."""
    is_known = attends is not None and attends.weight is not None
    return f"attends {attends.weight:.0%} to {attends.token}" if is_known and attends else ""


def list_heading(cells: Mapping[HeadId, Cell], width: int) -> str:
    """Above the list of these heads."""
    return fit(f"    # head     attrib.       {'attends to' if has_attention(cells) else ''}", width)


def plain_row(place: int, head: HeadId, cell: Cell, star: str) -> str:
    """One head in words; `star` is what a star says of a head."""
    state = star if cell.starred else f"not {star}"
    notes = "".join(f", {words}" for words in (cell.note, attends_words(cell.attends)) if words)
    return f"{place}. {head}, attribution {signed(cell.value)}, {state}{notes}"


def legend(maximum: float, palette: Palette, width: int) -> list[Segment]:
    """The scale from most negative to most positive, in the colours and glyphs of the cells.

    The line below the grid has it in figures, and says what the star means.
    """
    left, right = " lowers ", " raises"
    sizes: tuple[int, ...] = (-LEVELS, -5, -2, 0, 2, 5, LEVELS)
    if width < len(left) + 5 * len(sizes) + len(right):
        sizes = (-LEVELS, 0, LEVELS)
    segments = [Segment(left, palette.dim)]
    for size in sizes:
        value = size / LEVELS * maximum
        style = palette.plain + palette.shade(level(value, maximum))
        segments.append(Segment(f"{glyphs(value, maximum):^5}", style))
    return [*segments, Segment(fit(right, max(0, width - len(left) - 5 * len(sizes))), palette.dim)]


def scale(maximum: float) -> str:
    """What the strongest glyph stands for: from 3/4 of the largest magnitude shown (`shading.glyphs`)."""
    return f"+++ from {0.75 * maximum:.2f}"


def head_words(head: HeadId, cell: Cell | None, maximum: float, star: str) -> str:
    """What a pointer resting on a cell is told."""
    if cell is None:
        return f"{head} does not reach the neuron"
    state = star if cell.starred else f"not {star}"
    notes = "".join(f"\n{words}" for words in (cell.note, attends_words(cell.attends)) if words)
    return f"{head}  {signed(cell.value)}  {glyphs(cell.value, maximum)}\n{state}{notes}"
