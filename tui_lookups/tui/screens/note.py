"""A note on something marked: one line, kept with the session, in the cache and in exports."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input

from tui_lookups.tui.screens.leaving import LeavesOnce
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.widgets.typed_line import TypedLine


class NoteScreen(LeavesOnce, ModalScreen[str]):
    """Returns the text, empty where the note is taken away; None where nothing is changed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "give_up", "close", id="note.close", tooltip="Change nothing"),
    ]
    AUTO_FOCUS = "#note-line"

    def __init__(self, about: str, text: str) -> None:
        super().__init__()
        self._about, self._text = about, text

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(f"Note on {self._about}")
            dialog.border_subtitle = Content(f"enter keep   {key_of(self.app, 'note.close')} close")
            yield TypedLine(self._text, id="note-line", compact=True, select_on_focus=False)

    def on_mount(self) -> None:
        self.query_one(Input).cursor_blink = False

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(event.value.strip())

    def action_give_up(self) -> None:
        self.dismiss(None)
