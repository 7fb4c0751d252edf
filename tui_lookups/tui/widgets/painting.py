"""What every line-painting widget shares: the palette, refreshing single lines, and the keys that copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol, cast

from rich.segment import Segment
from rich.style import Style
from textual.binding import BindingType
from textual.geometry import Offset, Region
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui_lookups.recent import Recent
from tui_lookups.tui.paint.text_layout import fit
from tui_lookups.tui.widgets.bindings import hidden

if TYPE_CHECKING:
    from tui_lookups.tui.paint.shading import Palette
    from tui_lookups.tui.text.tsv import Table

_STRIPS_KEPT = 1_000
"""Painted lines of a widget: several times what the tallest terminal shows."""


class _Painted(Protocol):
    palette: Palette

    def show_message(self, text: str) -> None: ...


def palette_of(app: object) -> Palette:
    """The styles of the theme that is on."""
    return cast("_Painted", app).palette


def is_plain(app: object) -> bool:
    """Whether panes are lines of plain text, for a screen reader."""
    return palette_of(app).depth == "words"


class Canvas(ScrollView, can_focus=True):
    """A ScrollView that paints lines from segments and keeps them until something changes.

    Strips are cached under a key the subclass chooses; `forget()` drops them. Nothing here ever parses
    markup: text goes into Segments as it is, and must be visible (`tui_lookups.visible`) already.
    """

    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        hidden("y", "copy", "copy", "walk.copy", "Copy what is under the cursor, as text"),
        hidden("Y", "copy_table", "copy table", "walk.copy-pane", "Copy the list as a table (tab-separated)"),
    ]
    DEFAULT_CSS = """
    Canvas { height: 1fr; width: 1fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 1; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._strips: Recent[object, Strip] = Recent(_STRIPS_KEPT)
        self.empty = ""
        self._marked: frozenset[object] = frozenset()

    def show_empty(self, text: str) -> None:
        """What stands here while there is nothing to show."""
        if text != self.empty:
            self.empty = text
            self.forget()

    def mark(self, marked: frozenset[object]) -> None:
        """Which of what is shown is in the basket."""
        if marked != self._marked:
            self._marked = marked
            self.forget()

    @property
    def palette(self) -> Palette:
        """The styles of the theme that is on."""
        return palette_of(self.app)

    @property
    def plain(self) -> bool:
        """Whether this is to be lines of plain text."""
        return is_plain(self.app)

    def plain_lines(self) -> tuple[str, ...]:
        """Everything that is shown, in words, top to bottom."""
        return ()

    def copy_text(self) -> str | None:
        """What the key that copies would copy here; None where there is nothing."""
        return None

    def table(self) -> Table:
        """Everything that is shown: the names of columns, then the rows; nothing without rows."""
        lines = self.plain_lines()
        return (("text",), *((line,) for line in lines)) if lines else ()

    def action_copy(self) -> None:
        self._copy(self.copy_text())

    def action_copy_table(self) -> None:
        from tui_lookups.tui.text.tsv import tsv

        self._copy(tsv(self.table()))

    def _copy(self, text: str | None) -> None:
        if text:
            self.app.copy_to_clipboard(text)
        else:
            self.show_message("Nothing to copy here yet.")

    def show_end(self, thing: str, by: int) -> None:
        """A key that moves on or back by a `thing` found no further one."""
        self.show_message(f"This is the {'last' if by > 0 else 'first'} {thing}.")

    def show_message(self, text: str) -> None:
        """A short message on the bottom line."""
        cast("_Painted", self.app).show_message(text)

    def plain_changed(self) -> None:
        """Plain text was switched on or off."""
        self.forget()

    def plain_strip(self, text: str, width: int, *, at_cursor: bool) -> Strip:
        """A line of plain text; a character, not a colour, says that the cursor is on it."""
        mark = ">" if at_cursor and self.has_focus else " "
        return self.strip([Segment(fit(f"{mark} {text}", width))], width)

    def point_at(self, y: int) -> None:
        """Plain text: the terminal's own cursor on line `y`, for a screen reader follows it."""
        if self.plain and self.has_focus:
            region = self.content_region
            self.app.cursor_position = Offset(region.x, region.y + y)

    def forget(self) -> None:
        """Drop every painted line and paint anew."""
        self._strips.clear()
        self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips.clear()

    def on_resize(self) -> None:
        self._strips.clear()

    def repaint_row(self, y: int, count: int = 1) -> None:
        """Repaint `count` lines from screen line `y` of this widget."""
        self.refresh(Region(0, y, max(1, self.size.width), count))

    def strip(self, segments: list[Segment], width: int, style: Style | None = None) -> Strip:
        """A line of exactly `width` cells on this widget's own background."""
        if not segments and style is None:
            return self._blank(width)
        return Strip(segments).adjust_cell_length(width, style).apply_style(self.rich_style)

    @property
    def cursor_style(self) -> Style:
        """What stands under the cursor, or would if this had the focus."""
        return self.palette.cursor if self.has_focus else self.palette.cursor_idle

    def strip_under_cursor(self, segments: list[Segment], width: int) -> Strip:
        """A line in the cursor's colours, except where a shade or a bar says how large a figure is."""
        cursor, bar = self.cursor_style, self.palette.bar

        def marked(segment: Segment) -> Segment:
            style = segment.style or Style()
            sized = style.bgcolor or (bar and style == bar)
            return segment if sized else Segment(segment.text, style + cursor)

        return self.strip([marked(segment) for segment in segments], width, cursor)

    def _blank(self, width: int) -> Strip:
        """An empty line: many are alike, and a style takes longer to work out than to apply."""
        blank = self._strips.get(("blank", width))
        if blank is None:
            blank = self._strips["blank", width] = Strip.blank(width).apply_style(self.rich_style)
        return blank

    def message_strips(self, text: str, width: int, y: int) -> Strip:
        """Line `y` of the message of an empty pane: a third of the way down, indented by two cells."""
        lines = text.split("\n")
        top = max(0, (self.size.height - len(lines)) // 3)
        segments: list[Segment] = []
        if top <= y < top + len(lines):
            line = lines[y - top]
            style = self.palette.strong if y == top else self.palette.dim
            segments = [Segment("  "), Segment(line, style)]
        return self.strip(segments, width)
