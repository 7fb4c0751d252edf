"""A line that is typed on, harmless whatever is on it."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from textual import events, on
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widgets import Input

from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.visible import visible


class TypedLine(Input):
    """An `Input` whose value may hold anything: a hostile token, or what was pasted.

    Textual sends the characters of an input to the terminal as they are, escape sequences included. Here
    the value stays exact and only what is painted is made visible; a control character takes a cell then,
    and what no longer fits is cut at the right.

    Its cursor does not blink: that would write twice a second for as long as the app is left open.

    A message on the bottom line goes when this gets the focus, for it would hide the keys of the line, and
    when the text becomes another, which it may have been about.
    """

    cursor_blink = reactive(False, init=False)

    @staticmethod
    def as_one_line(text: str) -> str:
        """A pasted text on this line: all of it, with a space where a line ends."""
        lines = text.splitlines()
        return lines[0] if len(lines) == 1 else " ".join(line for line in lines if line.strip())

    def _on_paste(self, event: events.Paste) -> None:
        event.prevent_default()  # Textual keeps the first line and forgets the others
        event.stop()
        text = self.as_one_line(event.text)
        if text:
            self.replace(text, *self.selection)

    def on_focus(self, event: events.Focus) -> None:
        if not event.from_app_focus:
            self._hush()

    @on(Input.Changed)
    def _hush(self) -> None:
        for hints in self.screen.query(Hints):
            hints.hush()

    def render_line(self, y: int) -> Strip:
        strip = super().render_line(y)
        if not all(segment.text.isprintable() for segment in strip):
            strip = Strip([Segment(visible(text), style) for text, style, _ in strip])
        return strip.adjust_cell_length(self.size.width, self.rich_style)

    def hold(self) -> None:
        """Take no keys while what was entered is being done: they would change it, or enter it twice."""
        self.disabled = True

    def give_back(self) -> None:
        """Take keys again, after it failed."""
        self.disabled = False
        self.focus()


class PassageLine(TypedLine):
    """A line for a text as the model reads it: what was pasted stays as it is."""

    @staticmethod
    def as_one_line(text: str) -> str:
        """Line breaks are tokens and stay; the one behind the last line of a copied text is none of it."""
        text = text.replace("\r\n", "\n").replace("\r", "\n")  # terminals send a return for each
        return text.removesuffix("\n") or text


class SearchLine(TypedLine):
    """A line whose text sifts or finds while it is typed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "keep", id="line.enter", tooltip="Keep the filter and go to the list"),
        Binding("escape", "leave", "give up", id="line.leave", tooltip="Forget the text and go back"),
    ]

    class Left(Message):
        """Escape: the text is to be forgotten."""

    def __init__(self, *, placeholder: str, id: str) -> None:
        super().__init__(placeholder=placeholder, id=id, compact=True)

    def action_leave(self) -> None:
        self.post_message(self.Left())


class TextInput(PassageLine):
    """The line of the playground."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "heads", id="playground.heads", tooltip="The heads behind the peak"),
        Binding(
            "ctrl+n,f2",
            "screen.pin",
            "pin",
            id="playground.pin",
            tooltip="Keep this text below the next ones",
        ),
        Binding(
            "down", "screen.look", "figures", id="playground.look", tooltip="To the figures, to scroll them"
        ),
        Binding(
            "ctrl+o",
            "screen.align",
            "two texts",
            id="playground.align",
            tooltip="Beside the last pinned text",
        ),
        Binding(
            "ctrl+g",
            "screen.scale",
            "shades",
            id="playground.scale",
            tooltip="Of the corpus, or of the texts",
        ),
        Binding("escape", "screen.close", "back", id="playground.close", tooltip="Back to the walk"),
    ]
