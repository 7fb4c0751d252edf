"""Paragraphs of different tones, wrapped; taken as they are, never parsed as markup."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.segment import Segment
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

from tui_lookups.tui.paint.text_layout import fit, wrap_tokens
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.widgets.bindings import hidden
from tui_lookups.tui.widgets.painting import palette_of

if TYPE_CHECKING:
    from tui_lookups.tui.text.explanation import Paragraph, Tone

WORD_KEYS = (
    hidden(
        "greater_than_sign",
        "move_words(1)",
        "more",
        "app.words-down",
        "Further in an explanation that is longer than its place",
    ),
    hidden(
        "less_than_sign",
        "move_words(-1)",
        "less",
        "app.words-up",
        "Back in an explanation that is longer than its place",
    ),
)
"""The app's keys for `Paragraphs.move`."""


class Paragraphs(Widget):
    """As high as its text; where its place is lower, `move` goes through it and the last line says so."""

    DEFAULT_CSS = "Paragraphs { height: auto; width: 1fr; }"
    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.paragraphs: tuple[Paragraph, ...] = ()
        self._first = 0
        self._wrapped: tuple[int, list[tuple[str, Tone]]] | None = None
        self.display = False

    def show_paragraphs(self, paragraphs: tuple[Paragraph, ...]) -> None:
        """Show these; none hides the widget."""
        if paragraphs != self.paragraphs:
            self.paragraphs = paragraphs
            self._first = 0
            self._wrapped = None
            self.display = bool(paragraphs)
            self.refresh(layout=True)

    @property
    def text(self) -> str:
        """What is shown, as plain text."""
        return "\n".join(paragraph.text for paragraph in self.paragraphs)

    def _lines(self, width: int) -> list[tuple[str, Tone]]:
        if self._wrapped is None or self._wrapped[0] != width:
            lines = [
                (line, paragraph.tone)
                for paragraph in self.paragraphs
                for line in wrap(paragraph.text, width)
            ]
            self._wrapped = (width, lines)
        return self._wrapped[1]

    def move(self, by: int) -> bool:
        """Go `by` screens down the text (up: negative); whether there was anywhere to go."""
        height = self.size.height
        last = max(0, len(self._lines(self.size.width)) - height)
        first = max(0, min(self._first + by * max(1, height - 1), last))
        moved = first != self._first
        self._first = first
        if moved:
            self.refresh()
        return moved

    def on_resize(self) -> None:
        self._first = 0

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return max(1, len(self._lines(width)))

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        lines = self._lines(width)
        line = self._first + y
        text, tone = lines[line] if line < len(lines) else ("", "plain")
        below = len(lines) - self._first - self.size.height
        if below > 0 and y == self.size.height - 1:
            keys = f"{key_of(self.app, 'app.words-down')} and {key_of(self.app, 'app.words-up')}"
            text, tone = f"… {below + 1} more lines: {keys} move in them", "dim"
        palette = palette_of(self.app)
        return Strip([Segment(fit(text, width), getattr(palette, tone))]).apply_style(self.rich_style)


def wrap(text: str, width: int) -> list[str]:
    """Visible text in lines of at most `width` cells, broken at spaces where it can be."""
    words = [(" " if n else "") + word for n, word in enumerate(text.split(" "))]
    return ["".join(span.text for span in line).lstrip(" ") for line in wrap_tokens(words, max(2, width))]
