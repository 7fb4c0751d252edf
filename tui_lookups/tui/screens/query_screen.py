"""What screens that ask the explorer themselves share: their own questions, forgotten when they close."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from textual import on
from textual.screen import ModalScreen, Screen

from tui_lookups.tui.queries import Answered, Queries
from tui_lookups.tui.screens.leaving import LeavesOnce
from tui_lookups.tui.widgets.hints import Hints

if TYPE_CHECKING:
    from tui_lookups.tui.explorer_protocol import ExplorerLike

R = TypeVar("R")


class _Querying(LeavesOnce, Screen[R]):
    """Puts questions of its own; what is not answered when it closes is given up."""

    def __init__(self, explorer: ExplorerLike) -> None:
        super().__init__()
        self.explorer = explorer
        self.queries = Queries(explorer, self.post_message)

    @on(Answered)
    def _answered(self, answer: Answered) -> None:
        answer.stop()
        self.queries.deliver(answer)

    def on_unmount(self) -> None:
        self.queries.cancel_all()


class QueryScreen(_Querying[R]):
    """A screen over the whole terminal. Escape gives up what was asked and goes back."""

    def say(self, text: str) -> None:
        """A short message on the bottom line."""
        self.query_one(Hints).say(text)


class QueryDialog(_Querying[R], ModalScreen[R]):
    """A dialog over the screen below."""
