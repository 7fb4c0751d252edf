"""What every pane is: a titled frame, the widget in it that takes the keys, and what it tells the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Container, Vertical
from textual.content import Content
from textual.geometry import Region

from tui_lookups.tui.base_app import app_of
from tui_lookups.tui.text.empty import nothing

if TYPE_CHECKING:
    from textual.message import Message
    from textual.strip import Strip

    from tui_lookups.results import Item, Selection
    from tui_lookups.tui.state.walk import Part, Walk
    from tui_lookups.tui.widgets.painting import Canvas


class Room(Container):
    """A container that its children cover entirely: its own lines cost nothing."""

    BLANK = True


class Pane(Vertical):
    """Frame with a number, a title and a mark when the focus is inside (no colour needed to see it).

    A pane reads the walk and shows it when it is told to; what the person does in it, it tells the screen.
    """

    body: Canvas
    """What takes the keys."""

    DEFAULT_CSS = """
    Pane {
        border: round $frame;
        border-title-color: $foreground;
        border-subtitle-color: $foreground;
        padding: 0;
        &:focus-within { border: round $primary; border-title-style: bold; }
        &:ansi { border: round ansi_bright_black; }
        &:ansi:focus-within { border: heavy ansi_blue; }
    }
    """

    def __init__(self, number: int, title: str, *, id: str) -> None:
        super().__init__(id=id)
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

    def set_title(self, title: str) -> None:
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

    def ask(self) -> None:
        """Ask for what the pane shows, unless it is known: the person went there."""

    def tab(self, *, short: bool = False) -> str:
        """What the pane is called among the tabs of a small terminal."""
        return self.words

    def key(self, action: str) -> str:
        """The key an action is on, as it is shown."""
        return app_of(self).key_of(action)

    def why_empty(self, walk: Walk, part: Part, otherwise: str) -> str:
        """What the pane says while it has nothing to show of a part."""
        app = app_of(self)
        reopens, counts = app.opening is not None, not app.few_updates
        return nothing(walk, part, otherwise, self.key, reopens=reopens, counts=counts)

    def tell(self, message: Message) -> None:
        """Post a message to the screen, past what lies between."""
        self.screen.post_message(message)

    def go_back(self) -> bool:
        """Escape: end what was begun in this pane; whether there was anything."""
        return False

    def mark(self, selection: Selection) -> None:
        """Show what of this pane is in the basket."""

    def marked_item(self) -> Item | None:
        """What the key that marks would mark here."""
        return None
