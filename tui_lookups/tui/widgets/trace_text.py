"""Beside the tree of a trace: the text that it reads, and where in it the row under the cursor stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.segment import Segment

from tui_lookups.tui.paint.text_layout import fit
from tui_lookups.tui.paint.trace_text import place_lines, text_lines
from tui_lookups.tui.text.trace import places_title
from tui_lookups.tui.widgets.painting import palette_of
from tui_lookups.tui.widgets.text import TextLines

if TYPE_CHECKING:
    from tui_lookups.tui.state.trace_tree import TraceRow, TraceTree


class TraceText(TextLines):
    """Follows the cursor; of a long text the end, so that the places below it have half the height."""

    DEFAULT_CSS = "TraceText { height: 1fr; }"

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._shown: tuple[TraceTree, TraceRow] | None = None

    def show_row(self, tree: TraceTree, row: TraceRow) -> None:
        """Show where what is on screen below a row stands."""
        self._shown = tree, row
        width = self.size.width
        if not width:
            return
        palette, tokens = palette_of(self.app), tree.first.tokens
        values = tree.by_position(row)
        text = text_lines(tokens, tree.first.position, values, palette, width)
        places = place_lines(tokens, values, row.contribution, palette, width)
        title = Segment(fit(places_title(row, values), width), palette.heading)
        most = max(3, self.size.height // 2)
        self.show_lines((title,), *text[-most:], (), *(places if values else ()))

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._show_again()

    def on_resize(self) -> None:
        self._show_again()

    def _show_again(self) -> None:
        if self._shown is not None:
            self.show_row(*self._shown)
