"""What screens that ask the explorer themselves share: their own questions, forgotten when they close."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from textual.screen import ModalScreen, Screen

from tui_lookups.tui.base_app import app_of
from tui_lookups.tui.screens.leaving import LeavesOnce
from tui_lookups.tui.state.queries import Queries
from tui_lookups.tui.widgets.hints import Hints

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer
    from tui_lookups.tui.state.queries import Answered

R = TypeVar("R")


class _Querying(LeavesOnce):
    """Puts questions of its own; what is not answered when it closes is given up.

    No screen itself: Textual takes the style of a screen from the first of its bases that is one.
    """

    def __init__(self, explorer: Explorer) -> None:
        super().__init__()
        self.explorer = explorer
        screen = cast("Screen[object]", self)
        self.queries = Queries(explorer, screen.post_message, tasks=lambda: app_of(screen).tasks)

    def on_answered(self, answer: Answered) -> None:
        answer.stop()
        self.queries.deliver(answer)

    def on_unmount(self) -> None:
        self.queries.cancel_all()


class QueryScreen(_Querying, Screen[R]):
    """A screen over the whole terminal. Escape gives up what was asked and goes back."""

    def say(self, text: str) -> None:
        """A short message on the bottom line."""
        self.query_one(Hints).say(text)


class QueryDialog(_Querying, ModalScreen[R]):
    """A dialog over the screen below."""
