"""A titled frame around a pane's widgets; the title is text, never markup."""

from __future__ import annotations

from textual.containers import Vertical
from textual.content import Content


class Pane(Vertical):
    """Frame with a number, a title and a mark when the focus is inside (no colour needed to see it)."""

    DEFAULT_CSS = """
    Pane {
        border: round $foreground 25%;
        border-title-color: $foreground;
        padding: 0;
        &:focus-within { border: round $primary; border-title-style: bold; }
        &:ansi { border: round ansi_bright_black; }
        &:ansi:focus-within { border: heavy ansi_blue; }
    }
    """

    def __init__(self, number: int, title: str, *, id: str, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._number = number
        self.words = title
        self._active = False
        self._title()

    def say(self, title: str) -> None:
        """Another title; it must be visible text."""
        if title != self.words:
            self.words = title
            self._title()

    def set_active(self, active: bool) -> None:
        """Whether the focus is inside."""
        if active != self._active:
            self._active = active
            self._title()

    def _title(self) -> None:
        mark = "▸" if self._active else " "
        self.border_title = Content(f"{mark}{self._number} {self.words} ")
