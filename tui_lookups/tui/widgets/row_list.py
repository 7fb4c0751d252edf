"""A list of one-line rows with a heading that stays and a cursor: the base of the app's tables."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from tui_lookups.tui.widgets.painting import Canvas

_PLAIN_WIDTH = 400
_ORNAMENTS = str.maketrans(dict.fromkeys("█▏▎▍▌▋▊▉▸▾●", " "))


class RowList(Canvas):
    """Rows painted on demand: only what is on screen costs anything.

    Subclasses give `row_count`, `row` and, where they want one, `heading`. Moving the cursor repaints
    two lines.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", id="list.up", tooltip="The row above", show=False),
        Binding("down,j", "move(1)", "down", id="list.down", tooltip="The row below", show=False),
        Binding("pageup", "page(-1)", "page up", id="list.page-up", tooltip="A page up", show=False),
        Binding("pagedown", "page(1)", "page down", id="list.page-down", tooltip="A page down", show=False),
        Binding("home", "edge(0)", "first", id="list.first", tooltip="The first row", show=False),
        Binding("end", "edge(-1)", "last", id="list.last", tooltip="The last row", show=False),
        Binding("enter", "open", "open", id="list.open", tooltip="Open the row under the cursor"),
    ]

    THING: ClassVar[str] = "row"
    """What a row is, in a word."""

    cursor = reactive(0, repaint=False)

    class Moved(Message):
        """The cursor stands on another row."""

        def __init__(self, rows: RowList, index: int) -> None:
            super().__init__()
            self.rows = rows
            self.index = index

        @property
        def control(self) -> RowList:
            return self.rows

    class Opened(Message):
        """Enter (or a second click) on a row."""

        def __init__(self, rows: RowList, index: int) -> None:
            super().__init__()
            self.rows = rows
            self.index = index

        @property
        def control(self) -> RowList:
            return self.rows

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)

    # --- what a subclass says ---

    def row_count(self) -> int:
        """How many rows there are."""
        return 0

    def row(self, index: int, width: int) -> list[Segment]:
        """The segments of one row, at most `width` cells."""
        raise NotImplementedError

    def heading(self, width: int) -> list[Segment] | None:
        """The segments of the line that stays on top, or None."""
        return None

    def plain_row(self, index: int) -> str:
        """One row in words. By default what is painted, without its bars and marks."""
        text = "".join(segment.text for segment in self.row(index, _PLAIN_WIDTH))
        return " ".join(text.translate(_ORNAMENTS).split())

    def plain_lines(self) -> tuple[str, ...]:
        return tuple(self.plain_row(index) for index in range(self.row_count()))

    def copy_text(self) -> str | None:
        return self.plain_row(self.cursor) if self.row_count() else None

    def plain_changed(self) -> None:
        self.rows_changed()

    # --- rows ---

    def rows_changed(self, cursor: int | None = None) -> None:
        """The rows are others now; keep the cursor where it is, or put it on `cursor`."""
        count = self.row_count()
        wanted = self.cursor if cursor is None else cursor
        self.virtual_size = Size(0, count + self._top)
        self.set_reactive(RowList.cursor, max(0, min(wanted, count - 1)))
        self.forget()
        self._show_cursor()

    @property
    def _top(self) -> int:
        return 0 if self.plain or self.heading(80) is None else 1

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        if not self.row_count():
            return self.message_strips(self.empty, width, y)
        top = self._top
        if y < top:
            return self.strip(self.heading(width) or [], width)
        index = self.scroll_offset.y + y - top
        if index >= self.row_count():
            return self.strip([], width)
        at_cursor = index == self.cursor
        key = (index, width, at_cursor, at_cursor and self.has_focus)
        strip = self._strips.get(key)
        if strip is None and self.plain:
            strip = self._strips[key] = self.plain_strip(self.plain_row(index), width, at_cursor=at_cursor)
        if strip is None:
            row = self.row(index, width)
            strip = self.strip_under_cursor(row, width) if at_cursor else self.strip(row, width)
            self._strips[key] = strip
        return strip

    def validate_cursor(self, cursor: int) -> int:
        return max(0, min(cursor, self.row_count() - 1))

    def watch_cursor(self, old: int, new: int) -> None:
        self._repaint_index(old)
        self._repaint_index(new)
        self._show_cursor()
        self.post_message(self.Moved(self, new))

    def _repaint_index(self, index: int) -> None:
        y = index - self.scroll_offset.y + self._top
        if self._top <= y < self.size.height:
            self.repaint_row(y)

    def _show_cursor(self) -> None:
        height = max(1, self.scrollable_content_region.height - self._top)
        top = self.scroll_offset.y
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, immediate=True, force=True)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False, immediate=True, force=True)
        self.point_at(self.cursor - self.scroll_offset.y + self._top)

    def on_resize(self) -> None:
        super().on_resize()
        self._show_cursor()

    def on_focus(self) -> None:
        self._repaint_index(self.cursor)
        self.point_at(self.cursor - self.scroll_offset.y + self._top)

    def on_blur(self) -> None:
        self._repaint_index(self.cursor)

    # --- keys and mouse ---

    def action_move(self, by: int) -> None:
        before = self.cursor
        self.cursor += by
        if self.cursor == before and self.row_count():
            self.show_end(self.THING, by)

    def action_page(self, by: int) -> None:
        self.action_move(by * max(1, self.size.height - self._top - 1))

    def action_edge(self, index: int) -> None:
        self.cursor = index if index >= 0 else self.row_count() - 1

    def action_open(self) -> None:
        if self.row_count():
            self.post_message(self.Opened(self, self.cursor))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None or offset.y < self._top:
            return
        index = self.scroll_offset.y + offset.y - self._top
        if 0 <= index < self.row_count():
            if index == self.cursor and event.chain > 1:
                self.action_open()
            self.cursor = index
