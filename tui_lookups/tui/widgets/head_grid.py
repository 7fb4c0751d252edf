"""The heads behind a neuron: a grid of layers and heads with labels that stay, or a list by size.

One cursor, on a head, whichever of the two is shown. Layers without a head of any size share a row of the
grid, until the cursor goes there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from tui_lookups.ids import HeadId
from tui_lookups.tui.paint import head_cells, head_rows
from tui_lookups.tui.paint.head_cells import LABEL
from tui_lookups.tui.state.orders import HEADS, following
from tui_lookups.tui.widgets.bindings import SORT_KEY, hidden
from tui_lookups.tui.widgets.head_keys import head_keys
from tui_lookups.tui.widgets.painting import Canvas

if TYPE_CHECKING:
    from tui_lookups.tui.paint.head_rows import Cell
    from tui_lookups.tui.state.orders import HeadOrder
    from tui_lookups.tui.text.tsv import Table


class HeadGrid(Canvas):
    """Cells shade and spell sign and size; heads that do not reach the neuron stay blank."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # In the order in which they fill the bottom line: at 80 columns up to the list.
        Binding("enter", "open", "open", id="heads.open", tooltip="Which tokens the head reads from"),
        *head_keys()[:2],
        Binding(
            "a", "all", "all prompts", id="heads.all", tooltip="One prompt, or the mean over all prompts"
        ),
        Binding("c", "context", "trim", id="heads.context", tooltip="Attribute the full window or the trim"),
        Binding("v", "view", "list", id="heads.view", tooltip="The grid, or a list by size"),
        replace(SORT_KEY, tooltip="The list of heads by size, or by layer"),
        *head_keys()[2:],
        Binding("left,h", "move(0,-1)", "←", id="heads.left", tooltip="The head before", show=False),
        Binding("down,j", "move(1,0)", "↓", id="heads.down", tooltip="The layer below", show=False),
        Binding("up,k", "move(-1,0)", "↑", id="heads.up", tooltip="The layer above", show=False),
        Binding(
            "right,l", "move(0,1)", "head", id="heads.right", key_display="←↓↑→", tooltip="The next head"
        ),
        Binding("n", "strongest(1)", "by size", id="heads.next", tooltip="The next head by size"),
        hidden("N", "strongest(-1)", "by size, back", "heads.back", "The previous head by size"),
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

    class Arranged(Message):
        """The heads stand in a list, or in it in another order, or in the grid again."""

    class Wanted(Message):
        """Another view of the heads is wanted."""

        def __init__(self, what: str) -> None:
            super().__init__()
            self.what = what

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._n_layers = 0
        self._n_heads = 0
        self._cells: Mapping[HeadId, Cell] = {}
        self._maximum = 0.0
        self._star = "active"
        self._head = HeadId(0, 0)
        self._order: tuple[HeadId, ...] = ()
        self._places: dict[HeadId, int] = {}
        self._in_list: tuple[HeadId, ...] = ()
        self.order: HeadOrder = "size"
        self._opened: frozenset[int] = frozenset()
        self._rows: tuple[range, ...] = ()
        self.cell = head_cells.CELL
        self.as_list = False

    # --- data ---

    def show_heads(
        self,
        n_layers: int,
        n_heads: int,
        cells: Mapping[HeadId, Cell],
        star: str = "active",
        *,
        least: float = 0.0,
    ) -> None:
        """Show figures for a model of `n_layers` x `n_heads`; no cells: the message for empty panes.

        `star` is what a star says of a head. The strongest shade stands for the largest figure, or for
        `least` where that is larger.
        """
        if cells != self._cells:
            self._opened = frozenset()
        self._n_layers, self._n_heads, self._cells, self._star = n_layers, n_heads, cells, star
        self._maximum = max(least, *(abs(cell.value) for cell in cells.values())) if cells else 0.0
        self._order = head_rows.by_size(cells)
        self._places = {head: number for number, head in enumerate(self._order, 1)}
        self._measure()

    def take_cells(self, cells: Mapping[HeadId, Cell]) -> None:
        """The same figures with more known of the heads."""
        self._cells = cells
        self.forget()

    def _measure(self) -> None:
        self.cell = head_cells.cell_width(self.size.width - LABEL - 1, self._n_heads)
        self._rows = head_cells.rows_of(self._cells, self._maximum, self._opened)
        self._in_list = self._order if self.order == "size" else tuple(sorted(self._order))
        if not self._cells:
            self.virtual_size = Size(0, 0)
        elif self.listed:
            self.virtual_size = Size(0, len(self._order) + self._top)
        else:
            self.virtual_size = Size(LABEL + self.cell * self._n_heads, len(self._rows) + 1)
        self.forget()
        self._show_cursor()

    def scale(self) -> tuple[str, ...]:
        """What the strongest glyph stands for, for the line below; nothing where there are no glyphs."""
        return (head_rows.scale(self._maximum),) if self._cells and not self.plain else ()

    @property
    def listed(self) -> bool:
        """Whether heads stand in a list; plain text has no grid."""
        return self.as_list or self.plain

    @property
    def _top(self) -> int:
        """Lines that stay above the list or the grid."""
        return 0 if self.plain else 1

    @property
    def head(self) -> HeadId | None:
        """The head under the cursor."""
        return self._head if self._cells else None

    def copy_text(self) -> str | None:
        """What `y` copies here."""
        return None if self.head is None else str(self.head)

    def table(self) -> Table:
        return head_rows.table(self._in_list, self._cells, self._star)

    def go_to(self, head: HeadId) -> None:
        """Put the cursor on a head, telling nobody."""
        self._head = head
        self._open_layers()
        self.forget()
        self._show_cursor()

    def _open_layers(self) -> None:
        """Where the cursor stands every layer has a row of its own."""
        shared = self._shared_row(self._head.layer)
        if shared is not None:
            self._opened |= frozenset(shared)
            self._measure()

    def _shared_row(self, layer: int) -> range | None:
        return next((row for row in self._rows if layer in row and len(row) > 1), None)

    # --- painting ---

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        if not self._cells:
            return self.message_strips(self.empty, width, y)
        return self._list_line(y, width) if self.listed else self._grid_line(y, width)

    def _list_line(self, y: int, width: int) -> Strip:
        if y < self._top:
            return self.strip(
                [Segment(head_rows.list_heading(self._cells, width), self.palette.heading)], width
            )
        index = self.scroll_offset.y + y - self._top
        if index >= len(self._in_list):
            return self.strip([], width)
        head = self._in_list[index]
        at_cursor = head == self._head
        key = ("list", index, width, at_cursor, at_cursor and self.has_focus)
        strip = self._strips.get(key)
        if strip is None:
            cell, marked = self._cells[head], head in self._marked
            if self.plain:
                text = self._plain_row(head) + (", marked" if marked else "")
                strip = self.plain_strip(text, width, at_cursor=at_cursor)
            else:
                row = head_rows.list_row(
                    self._places[head], head, cell, self._maximum, width, self.palette, marked=marked
                )
                strip = self.strip_under_cursor(row, width) if at_cursor else self.strip(row, width)
            self._strips[key] = strip
        return strip

    def _grid_line(self, y: int, width: int) -> Strip:
        left = self.scroll_offset.x
        number = self.scroll_offset.y + y - 1
        layers = self._rows[number] if 0 <= number < len(self._rows) else range(0)
        at_cursor = self._head.layer in layers
        cursor = self._head.index if y == 0 or at_cursor else None
        key = (y == 0, number, left, width, cursor, at_cursor and self.has_focus)
        strip = self._strips.get(key)
        if strip is None:
            if y == 0:
                label = Segment(" " * LABEL)
                cells = head_cells.labels(self._n_heads, self._head.index, self.cell, self.palette)
            elif len(layers) > 1:
                return self.strip(self._folded_row(layers, width), width)
            elif layers:
                style = self.palette.strong if at_cursor else self.palette.heading
                label = Segment(f"L{layers[0]}".ljust(LABEL), style)
                cells = self._row(layers[0])
            elif number == len(self._rows) + 1:  # there is room left: say what the colours mean
                return self.strip(self._legend(width), width)
            else:
                return self.strip([], width)
            body = Strip(cells).crop(left, left + max(0, width - LABEL))
            strip = self._strips[key] = self.strip([label, *body], width)
        return strip

    def _row(self, layer: int) -> list[Segment]:
        return head_cells.layer_row(
            layer, self._n_heads, self._cells, self._maximum, self.cell, self.palette,
            self._marked, self._head, self.cursor_style,
        )  # fmt: skip

    def _folded_row(self, layers: range, width: int) -> list[Segment]:
        return head_cells.folded_row(layers, self._cells, width, self.palette)

    def _legend(self, width: int) -> list[Segment]:
        return head_rows.legend(self._maximum, self.palette, width)

    # --- as text ---

    def _head_words(self, head: HeadId) -> str:
        """What a pointer resting on a head is told."""
        return head_rows.head_words(head, self._cells.get(head), self._maximum, self._star)

    def plain_lines(self) -> tuple[str, ...]:
        """Every head in words, as the list has them."""
        return tuple(self._plain_row(head) for head in self._in_list)

    def _plain_row(self, head: HeadId) -> str:
        return head_rows.plain_row(self._places[head], head, self._cells[head], self._star)

    # --- cursor ---

    def _move_to(self, head: HeadId) -> None:
        if not self._cells or head == self._head:
            return
        old, self._head = self._head, head
        self._open_layers()
        for line in {self._line(old), self._line(head)}:
            y = line + self._top - self.scroll_offset.y
            if self._top <= y < self.size.height:
                self.repaint_row(y)
        if old.index != head.index and not self.listed:
            self.repaint_row(0)
        self._show_cursor()
        self.post_message(self.Moved(head))

    def _line(self, head: HeadId) -> int:
        """The row of a head in the list or the grid; the list's first for one that is not in it."""
        if not self.listed:
            return next((n for n, layers in enumerate(self._rows) if head.layer in layers), 0)
        return self._in_list.index(head) if head in self._cells else 0

    def _show_cursor(self) -> None:
        region = self.scrollable_content_region
        x, y = (0 if self.listed else self._head.index * self.cell), self._line(self._head)
        left, top = self.scroll_offset
        width, height = max(1, region.width - LABEL), max(1, region.height - self._top)
        new_left = min(left, x) if x < left else max(left, x + self.cell - width)
        new_top = min(top, y) if y < top else max(top, y - height + 1)
        if (new_left, new_top) != (left, top):
            self.scroll_to(new_left, new_top, animate=False, immediate=True, force=True)
        if self.has_focus:
            self.point_at(y + self._top - self.scroll_offset.y)

    def action_move(self, down: int, right: int) -> None:
        if self.listed:
            self._step_in_list(down or right)
            return
        row = max(0, min(self._line(self._head) + down, len(self._rows) - 1))
        layer = self._rows[row][-1 if down < 0 else 0] if self._rows else 0
        index = max(0, min(self._head.index + right, self._n_heads - 1))
        if HeadId(layer, index) == self._head and self._cells:
            further = "layer below" if down > 0 else "layer above" if down else "further head"
            self.show_message(f"There is no {further}.")
        self._move_to(HeadId(layer, index))

    def _step_in_list(self, by: int) -> None:
        if heads := self._in_list:
            at = heads.index(self._head) + by if self._head in self._cells else 0
            head = heads[max(0, min(at, len(heads) - 1))]
            if head == self._head:
                self.show_end("head", by)
            self._move_to(head)

    def action_view(self) -> None:
        self._arrange(as_list=not self.as_list)

    def action_sort(self) -> None:
        """From the grid to the list; there from one order to the other."""
        if self.listed:
            self.order = following(HEADS, self.order)
        self._arrange(as_list=True)

    def _arrange(self, *, as_list: bool) -> None:
        self.as_list = as_list
        self._measure()
        self.post_message(self.Arranged())

    def action_edge(self, last: int) -> None:
        if self.listed:
            self._step_in_list(len(self._order) if last else -len(self._order))
            return
        self._move_to(HeadId(self._head.layer, self._n_heads - 1 if last else 0))

    def action_strongest(self, step: int) -> None:
        """Walk the heads by size of attribution; from elsewhere, start at the strongest."""
        if order := self._order:
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
        self._measure()

    def on_click(self, event: events.Click) -> None:
        if (head := self._head_at(event)) is not None:
            self._move_to(head)
            if event.chain > 1:
                self.action_open()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        head = self._head_at(event)
        if head is None or (not self.listed and self._shared_row(head.layer) is not None):
            self.tooltip = None
            return
        self.tooltip = Content(self._head_words(head))

    def _head_at(self, event: events.MouseEvent) -> HeadId | None:
        """The head a pointer is on."""
        offset = event.get_content_offset(self)
        if offset is None or not self._cells or offset.y < self._top:
            return None
        line = offset.y - self._top + self.scroll_offset.y
        if self.listed:
            return self._in_list[line] if line < len(self._in_list) else None
        index = (offset.x - LABEL + self.scroll_offset.x) // self.cell
        inside = offset.x >= LABEL and index < self._n_heads and line < len(self._rows)
        return HeadId(self._rows[line][0], index) if inside else None
