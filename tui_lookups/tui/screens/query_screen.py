"""What screens that ask the explorer themselves share: their own questions, forgotten when they close."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from textual.screen import ModalScreen, Screen

from tui_lookups.tui.base_app import app_of
from tui_lookups.tui.screens.leaving import LeavesOnce
from tui_lookups.tui.state.queries import Queries
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.status_line import LOW_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tui_lookups.explorer import Explorer
    from tui_lookups.tui.state.queries import Answered

R = TypeVar("R")

_WAIT_SECONDS = 0.5


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

    def tell_waits(self, show: Callable[[], None]) -> None:
        """Have `show` say again and again how far it is, while anything is under way."""
        screen = cast("Screen[object]", self)
        seconds = LOW_SECONDS if app_of(screen).few_updates else _WAIT_SECONDS
        screen.set_interval(seconds, lambda: show() if self.queries.busy else None)

    def on_unmount(self) -> None:
        self.queries.cancel_all()


class QueryScreen(_Querying, Screen[R]):
    """A screen over the whole terminal. Escape gives up what was asked and goes back."""

    def say(self, text: str) -> None:
        """A short message on the bottom line."""
        self.query_one(Hints).say(text)


class QueryDialog(_Querying, ModalScreen[R]):
    """A dialog over the screen below."""
