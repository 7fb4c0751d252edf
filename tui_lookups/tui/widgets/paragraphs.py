"""Paragraphs of different tones, wrapped; taken as they are, never parsed as markup."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.segment import Segment
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

from tui_lookups.tui.text_layout import fit, wrap_tokens
from tui_lookups.tui.widgets.painting import palette_of

if TYPE_CHECKING:
    from tui_lookups.tui.wording import Paragraph, Tone


class Paragraphs(Widget):
    """As high as its text; what does not fit its place is cut at the bottom."""

    DEFAULT_CSS = "Paragraphs { height: auto; width: 1fr; }"
    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.paragraphs: tuple[Paragraph, ...] = ()
        self._wrapped: tuple[int, list[tuple[str, Tone]]] | None = None
        self.display = False

    def show_paragraphs(self, paragraphs: tuple[Paragraph, ...]) -> None:
        """Show these; none hides the widget."""
        if paragraphs != self.paragraphs:
            self.paragraphs = paragraphs
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

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return max(1, len(self._lines(width)))

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        lines = self._lines(width)
        text, tone = lines[y] if y < len(lines) else ("", "plain")
        palette = palette_of(self.app)
        return Strip([Segment(fit(text, width), getattr(palette, tone))]).apply_style(self.rich_style)


def wrap(text: str, width: int) -> list[str]:
    """Visible text in lines of at most `width` cells, broken at spaces where it can be."""
    words = [(" " if n else "") + word for n, word in enumerate(text.split(" "))]
    return ["".join(span.text for span in line).lstrip(" ") for line in wrap_tokens(words, max(2, width))]
