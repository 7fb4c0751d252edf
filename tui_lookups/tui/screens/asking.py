"""What screens that ask the explorer themselves share: their own questions, forgotten when they close."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from textual import on
from textual.screen import ModalScreen, Screen

from tui_lookups.tui.asks import Answered, Asks
from tui_lookups.tui.screens.leaving import LeavesOnce
from tui_lookups.tui.widgets.hints import Hints

if TYPE_CHECKING:
    from tui_lookups.tui.door import Door

R = TypeVar("R")


class AskingScreen(LeavesOnce, Screen[R]):
    """A screen over the whole terminal. Escape gives up what was asked and goes back."""

    def __init__(self, door: Door) -> None:
        super().__init__()
        self.door = door
        self.asks = Asks(door, self.post_message)

    @on(Answered)
    def _answered(self, answer: Answered) -> None:
        answer.stop()
        self.asks.deliver(answer)

    def on_unmount(self) -> None:
        self.asks.cancel_all()

    def say(self, text: str) -> None:
        """A short message on the bottom line."""
        self.query_one(Hints).say(text)


class AskingDialog(LeavesOnce, ModalScreen[R]):
    """A dialog over the screen below."""

    def __init__(self, door: Door) -> None:
        super().__init__()
        self.door = door
        self.asks = Asks(door, self.post_message)

    @on(Answered)
    def _answered(self, answer: Answered) -> None:
        answer.stop()
        self.asks.deliver(answer)

    def on_unmount(self) -> None:
        self.asks.cancel_all()
