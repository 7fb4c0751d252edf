"""Lines of text that are never parsed as markup."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

from tui_lookups.tui.paint.text_layout import fit, pack, wrap_tokens


class TextLines(Widget):
    """Segments line by line, each cut to the width; taken as they are."""

    DEFAULT_CSS = "TextLines { height: auto; width: 1fr; }"
    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: tuple[tuple[Segment, ...], ...] = ()

    def show_lines(self, *lines: tuple[Segment, ...]) -> None:
        """Show these lines, repainting only where they differ from what is shown."""
        if lines != self._lines:
            other_height = len(lines) != len(self._lines)
            self._lines = lines
            self.refresh(layout=other_height)

    def show_words(self, words: str) -> None:
        """Show one line, a cell from the edge."""
        self.show_lines((Segment(f" {words}"),))

    @property
    def text(self) -> str:
        """What is shown, as plain text."""
        return "\n".join("".join(segment.text for segment in line) for line in self._lines)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return max(1, len(self._lines))

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        line = self._lines[y] if y < len(self._lines) else ()
        strip = Strip(line)
        if strip.cell_length > width > 0:  # say that there is more
            strip = Strip([*strip.crop(0, width - 1).adjust_cell_length(width - 1), Segment("…")])
        return strip.adjust_cell_length(width).apply_style(self.rich_style)


class PackedText(Widget):
    """Short texts, none of them broken, in as few lines as the width allows; taken as they are."""

    DEFAULT_CSS = "PackedText { height: auto; width: 1fr; }"
    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None, bold_first: bool = False) -> None:
        super().__init__(id=id)
        self.parts: tuple[str, ...] = ()
        self._bold_first = bold_first

    def show_parts(self, parts: tuple[str, ...]) -> None:
        """Show these texts; none hides the widget."""
        if parts != self.parts:
            self.parts = parts
            self.display = bool(parts)
            self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return max(1, len(pack(self.parts, width)))

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        lines = pack(self.parts, width)
        text = lines[y] if y < len(lines) else ""
        style = Style(bold=True) if y == 0 and self._bold_first else None
        return Strip([Segment(fit(text, width), style)]).apply_style(self.rich_style)


class WrappedText(Widget):
    """One text wrapped over as many lines as it takes; taken as it is."""

    DEFAULT_CSS = "WrappedText { height: auto; width: 1fr; }"
    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.text = ""

    def show_text(self, text: str) -> None:
        """Show `text`, which must be visible already."""
        if text != self.text:
            self.text = text
            self.refresh(layout=True)

    def _wrapped(self, width: int) -> list[str]:
        words = [(" " if n else "") + word for n, word in enumerate(self.text.split(" "))]
        lines = wrap_tokens(words, max(2, width))
        return ["".join(span.text for span in line).lstrip(" ") for line in lines]

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._wrapped(width)) if self.text else 1

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        lines = self._wrapped(width)
        text = lines[y] if y < len(lines) else ""
        return Strip([Segment(fit(text, width))]).apply_style(self.rich_style)
