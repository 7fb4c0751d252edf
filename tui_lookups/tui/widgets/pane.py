"""A titled frame around a pane's widgets; the title is text, never markup."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Container, Vertical
from textual.content import Content
from textual.geometry import Region

if TYPE_CHECKING:
    from textual.strip import Strip


class Room(Container):
    """A container that its children cover entirely: its own lines cost nothing."""

    BLANK = True


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

    def render_lines(self, crop: Region) -> list[Strip]:
        """All lines between the first and the last are alike, so one of them is rendered."""
        width, height = self.outer_size
        if crop != Region(0, 0, width, height) or height < 4:
            return super().render_lines(crop)
        first, between = super().render_lines(Region(0, 0, width, 2))
        return [first, *[between] * (height - 2), *super().render_lines(Region(0, height - 1, width, 1))]

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
