"""A dialog of one line: a note on something marked, the name of a session, another model."""

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


class OneLineScreen(LeavesOnce, ModalScreen[str]):
    """Returns what was typed, without space around it; None where it was given up."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "give_up", "close", id="one-line.close", tooltip="Change nothing"),
    ]
    AUTO_FOCUS = "#one-line"

    def __init__(self, title: str, text: str, enter: str = "keep") -> None:
        """`enter`: what that key does with the line, in a word."""
        super().__init__()
        self._title, self._text, self._enter = title, text, enter

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(self._title)
            dialog.border_subtitle = Content(
                f"enter {self._enter}   {key_of(self.app, 'one-line.close')} close"
            )
            yield TypedLine(self._text, id="one-line", compact=True, select_on_focus=False)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(event.value.strip())

    def action_give_up(self) -> None:
        self.dismiss(None)
