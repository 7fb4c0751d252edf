"""The heads behind a neuron: a grid of layers and heads with labels that stay and a cell cursor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from tui_lookups.ids import HeadId
from tui_lookups.tui.shading import glyphs, level
from tui_lookups.tui.widgets.head_keys import head_keys
from tui_lookups.tui.widgets.painting import Canvas

LABEL = 5
CELL, WIDE_CELL = 6, 12
"""Cells a head takes: sign and size by glyph, or with the figure beside it where all heads fit so."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What a cell of the grid shows: a figure, and whether the head counts as active."""

    value: float
    active: bool


class HeadGrid(Canvas):
    """Cells shade and spell sign and size; heads that do not reach the neuron stay blank."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "reads", id="heads.open", tooltip="Which tokens the head reads from"),
        *head_keys(),
        Binding("left,h", "move(0,-1)", "←", id="heads.left", tooltip="The head before", show=False),
        Binding("down,j", "move(1,0)", "↓", id="heads.down", tooltip="The layer below", show=False),
        Binding("up,k", "move(-1,0)", "↑", id="heads.up", tooltip="The layer above", show=False),
        Binding(
            "right,l",
            "move(0,1)",
            "head",
            id="heads.right",
            key_display="←↓↑→",
            tooltip="The next head",
        ),
        Binding("n", "strongest(1)", "strongest", id="heads.next", tooltip="The next strongest head"),
        Binding("N", "strongest(-1)", "weaker", id="heads.back", tooltip="One head stronger", show=False),
        Binding(
            "a", "all", "all prompts", id="heads.all", tooltip="One prompt, or the mean over all prompts"
        ),
        Binding("c", "context", "trim", id="heads.context", tooltip="Attribute the full window or the trim"),
        Binding(
            "g", "direction", "gate/up", id="heads.direction", tooltip="Gated MLPs: read by gate, up or both"
        ),
        Binding("home", "edge(0)", "first", id="heads.first", tooltip="The first head", show=False),
        Binding("end", "edge(1)", "last", id="heads.last", tooltip="The last head", show=False),
    ]

    class Moved(Message):
        """The cursor stands on another head."""

        def __init__(self, head: HeadId) -> None:
            super().__init__()
            self.head = head

    class Opened(Message):
        """Enter on a head."""

        def __init__(self, head: HeadId) -> None:
            super().__init__()
            self.head = head

    class Wanted(Message):
        """Another view of the heads is wanted."""

        def __init__(self, what: str) -> None:
            super().__init__()
            self.what = what

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.empty = ""
        self._n_layers = 0
        self._n_heads = 0
        self._cells: Mapping[HeadId, Cell] = {}
        self._marked: frozenset[HeadId] = frozenset()
        self._maximum = 0.0
        self._head = HeadId(0, 0)
        self.cell = CELL

    # --- data ---

    def show_heads(self, n_layers: int, n_heads: int, cells: Mapping[HeadId, Cell]) -> None:
        """Show figures for a model of `n_layers` x `n_heads`; no cells: the message for empty panes."""
        self._n_layers, self._n_heads, self._cells = n_layers, n_heads, cells
        self._maximum = max((abs(cell.value) for cell in cells.values()), default=0.0)
        self._fit_cells()
        shown = (max((head.layer for head in cells), default=-1) + 1) if cells else 0
        self.virtual_size = Size(LABEL + self.cell * n_heads if cells else 0, shown + 1 if cells else 0)
        self.forget()
        self._show_cursor()

    def _fit_cells(self) -> None:
        room = self.size.width - LABEL - 1
        self.cell = WIDE_CELL if room >= WIDE_CELL * self._n_heads else CELL

    def say_empty(self, text: str) -> None:
        """What stands in the pane while there is nothing to show."""
        if text != self.empty:
            self.empty = text
            if not self._cells:
                self.forget()

    def mark(self, marked: frozenset[HeadId]) -> None:
        """Which heads are in the basket."""
        if marked != self._marked:
            self._marked = marked
            self.forget()

    @property
    def head(self) -> HeadId | None:
        """The head under the cursor."""
        return self._head if self._cells else None

    def copy_text(self) -> str | None:
        """What `y` copies here."""
        return None if self.head is None else str(self.head)

    def go_to(self, head: HeadId) -> None:
        """Put the cursor on a head, telling nobody."""
        self._head = head
        self.forget()
        self._show_cursor()

    # --- painting ---

    def render_line(self, y: int) -> Strip:
        region = self.scrollable_content_region
        width = region.width
        if not self._cells:
            return self.message_strips(self.empty, width, y)
        left = self.scroll_offset.x
        layer = self.scroll_offset.y + y - 1
        rows = self.virtual_size.height - 1
        at_cursor = layer == self._head.layer
        cursor = self._head.index if y == 0 else self._head.index if at_cursor else None
        key = (y == 0, layer, left, width, cursor, at_cursor and self.has_focus)
        strip = self._strips.get(key)
        if strip is None:
            if y == 0:
                label, cells = Segment(" " * LABEL), self._labels()
            elif layer < rows:
                style = self.palette.strong if at_cursor else self.palette.heading
                label, cells = Segment(f"L{layer}".ljust(LABEL), style), self._row(layer)
            else:
                return self.strip([], width)
            body = Strip(cells).crop(left, left + max(0, width - LABEL))
            strip = self._strips[key] = self.strip([label, *body], width)
        return strip

    def _labels(self) -> list[Segment]:
        palette = self.palette
        return [
            Segment(f"H{n}".center(self.cell), palette.strong if n == self._head.index else palette.heading)
            for n in range(self._n_heads)
        ]

    def _row(self, layer: int) -> list[Segment]:
        palette = self.palette
        segments: list[Segment] = []
        for n in range(self._n_heads):
            head = HeadId(layer, n)
            cell = self._cells.get(head)
            left = "●" if head in self._marked else " "
            right, style = " ", Style()
            text = " " * (self.cell - 2)
            if cell is not None:
                figure = f" {cell.value:+5.2f}".replace("-0.00", "+0.00") if self.cell == WIDE_CELL else ""
                active = "*" if cell.active else " "
                text = f"{glyphs(cell.value, self._maximum):^3}{figure}{active}"
                style = palette.plain + palette.shade(level(cell.value, self._maximum))
            if head == self._head:
                style = palette.cursor if self.has_focus else palette.cursor_idle
                left, right = ("●" if left == "●" else "["), "]"
            segments += [Segment(left, palette.strong), Segment(text, style), Segment(right, palette.strong)]
        return segments

    # --- cursor ---

    def _move_to(self, head: HeadId) -> None:
        if not self._cells or head == self._head:
            return
        old, self._head = self._head, head
        for layer in {old.layer, head.layer}:
            y = layer + 1 - self.scroll_offset.y
            if 1 <= y < self.size.height:
                self.repaint_row(y)
        if old.index != head.index:
            self.repaint_row(0)
        self._show_cursor()
        self.post_message(self.Moved(head))

    def _show_cursor(self) -> None:
        region = self.scrollable_content_region
        x, y = self._head.index * self.cell, self._head.layer
        left, top = self.scroll_offset
        width, height = max(1, region.width - LABEL), max(1, region.height - 1)
        new_left = min(left, x) if x < left else max(left, x + self.cell - width)
        new_top = min(top, y) if y < top else max(top, y - height + 1)
        if (new_left, new_top) != (left, top):
            self.scroll_to(new_left, new_top, animate=False, immediate=True, force=True)

    def action_move(self, down: int, right: int) -> None:
        rows = max(1, self.virtual_size.height - 1)
        layer = max(0, min(self._head.layer + down, rows - 1))
        index = max(0, min(self._head.index + right, self._n_heads - 1))
        self._move_to(HeadId(layer, index))

    def action_edge(self, last: int) -> None:
        self._move_to(HeadId(self._head.layer, self._n_heads - 1 if last else 0))

    def action_strongest(self, step: int) -> None:
        """Walk the heads by size of attribution; from elsewhere, start at the strongest."""
        order = sorted(self._cells, key=lambda head: -abs(self._cells[head].value))
        if order:
            at = order.index(self._head) if self._head in self._cells else -step
            self._move_to(order[(at + step) % len(order)])

    def action_open(self) -> None:
        if self._cells:
            self.post_message(self.Opened(self._head))

    def action_all(self) -> None:
        self.post_message(self.Wanted("all"))

    def action_context(self) -> None:
        self.post_message(self.Wanted("context"))

    def action_direction(self) -> None:
        self.post_message(self.Wanted("direction"))

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def on_resize(self) -> None:
        super().on_resize()
        self.show_heads(self._n_layers, self._n_heads, self._cells)

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None or not self._cells or offset.y < 1 or offset.x < LABEL:
            return
        index = (offset.x - LABEL + self.scroll_offset.x) // self.cell
        layer = offset.y - 1 + self.scroll_offset.y
        if index < self._n_heads and layer < self.virtual_size.height - 1:
            self._move_to(HeadId(layer, index))
            if event.chain > 1:
                self.action_open()
