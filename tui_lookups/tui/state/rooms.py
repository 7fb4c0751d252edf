"""How much room each pane has where several are on screen: the layout's sizes, and what a person changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from tui_lookups.tui.state.layouts import Layout, PaneName

Divider = Literal["column", "lower", "detail", "below"]

COLUMN = 50
LOWER: dict[Layout, int] = {"vast": 40, "wide": 40, "tall": 25}
DETAIL: dict[Layout, int] = {"vast": 25, "wide": 33, "tall": 33}
BELOW = 9
_STEPS: dict[Divider, int] = {"column": 4, "lower": 5, "detail": 4, "below": 1}
_LEAST_BESIDE = 40
_MOST = 20


class Rooms(NamedTuple):
    """Steps that each divider was moved from where the layout has it.

    `column`: the width of the neurons; `lower`: the height of the heads and the head; `detail`: the head's
    width beside the heads; `below`: its height below them.
    """

    column: int = 0
    lower: int = 0
    detail: int = 0
    below: int = 0


_ABOVE_AND_BELOW: dict[PaneName, tuple[Divider, int]] = {
    "prompts": ("lower", -1),
    "heads": ("lower", 1),
    "detail": ("detail", 1),
    "inputs": ("lower", 1),
}


def divider_of(pane: PaneName, layout: Layout) -> tuple[Divider, int] | None:
    """The divider that makes a pane larger, and which way; None where the pane has all the room there is."""
    if layout in ("vast", "wide", "tall"):
        if pane == "neurons":
            return ("lower", -1) if layout == "tall" else ("column", 1)
        return _ABOVE_AND_BELOW[pane]
    if pane in ("heads", "detail"):
        return "below", 1 if pane == "detail" else -1
    return None if layout != "columns" else ("column", 1 if pane == "neurons" else -1)


def moved(rooms: Rooms, divider: Divider, by: int) -> Rooms:
    """`rooms` with a divider one step further, as far as steps go."""
    return rooms._replace(**{divider: max(-_MOST, min(getattr(rooms, divider) + by, _MOST))})


def column_width(rooms: Rooms, width: int) -> int:
    """Cells of the neurons' column, of `width`."""
    return max(26, min(COLUMN + rooms.column * _STEPS["column"], width - _LEAST_BESIDE))


def lower_share(rooms: Rooms, layout: Layout) -> int:
    """Percent of the height that the heads have."""
    return max(15, min(LOWER.get(layout, 40) + rooms.lower * _STEPS["lower"], 75))


def detail_share(rooms: Rooms, layout: Layout) -> int:
    """Percent of the width that the head has beside the heads."""
    return max(20, min(DETAIL.get(layout, 33) + rooms.detail * _STEPS["detail"], 70))


def below_height(rooms: Rooms, height: int) -> int:
    """Lines of the head below the heads, of a screen of `height`."""
    return max(4, min(BELOW + rooms.below, height // 2))
