"""What screens that ask the explorer themselves share: their own questions, forgotten when they close."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from textual.screen import ModalScreen, Screen

from tui_lookups.tui.base_app import app_of
from tui_lookups.tui.screens.leaving import LeavesOnce
from tui_lookups.tui.state.queries import Queries, explain_error
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.text.waiting import loading_words, wait_words
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.status_line import LOW_SECONDS
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.timer import Timer

    from tui_lookups.explorer import Explorer
    from tui_lookups.tui.state.queries import Answered
    from tui_lookups.tui.widgets.row_list import RowList

A = TypeVar("A")
R = TypeVar("R")

_WAIT_SECONDS = 0.5


class _Querying(LeavesOnce):
    """Puts questions of its own; what is not answered when it closes is given up.

    No screen itself: Textual takes the style of a screen from the first of its bases that is one.
    """

    _ticking: Timer

    def __init__(self, explorer: Explorer) -> None:
        super().__init__()
        self.explorer = explorer
        screen = cast("Screen[object]", self)
        self.queries = Queries(explorer, screen.post_message, tasks=lambda: app_of(screen).tasks)
        self._waits: dict[str, Callable[[str], None]] = {}

    def on_answered(self, answer: Answered) -> None:
        answer.stop()
        self.queries.deliver(answer)

    def wait_for(self, kind: str, show: Callable[[str], None]) -> None:
        """While a question of this kind is under way, have `show` say how far it is."""
        if not self.queries.waiting(kind):
            return  # it was answered at once
        show(self._how_far(kind))
        if not self._waits:
            screen = cast("Screen[object]", self)
            seconds = LOW_SECONDS if app_of(screen).few_updates else _WAIT_SECONDS
            self._ticking = screen.set_interval(seconds, self._show_waits)
        self._waits[kind] = show

    def _show_waits(self) -> None:
        self._waits = {kind: show for kind, show in self._waits.items() if self.queries.waiting(kind)}
        for kind, show in self._waits.items():
            show(self._how_far(kind))
        if not self._waits:
            self._ticking.stop()

    def _how_far(self, kind: str) -> str:
        told = self.queries.progress(kind) is not None
        loading = "" if told else loading_words(self.explorer.status())
        return loading or self.queries.how_far(kind)

    def on_unmount(self) -> None:
        self.queries.cancel_all()


class QueryScreen(_Querying, Screen[R]):
    """A screen over the whole terminal. Escape gives up what was asked and goes back."""

    def ask_into(
        self,
        rows: RowList,
        kind: str,
        question: Callable[[], A],
        came: Callable[[A], None],
        *,
        doing: str,
        stop: str,
    ) -> None:
        """Ask a question whose list says meanwhile how far it is, and then what went wrong.

        Args:
            doing: what is done, in words.
            stop: the action that stops it.
        """

        def failed(error: BaseException) -> None:
            rows.show_empty("\n".join(map(visible, explain_error(error))))
            self.refresh_bindings()

        key = key_of(self.app, stop)
        self.queries.ask(kind, question, came, failed)
        self.wait_for(kind, lambda far: rows.show_empty(wait_words(doing, far, key)))
        self.refresh_bindings()

    def show_message(self, text: str) -> None:
        """A short message on the bottom line."""
        self.query_one(Hints).show_message(text)


class QueryDialog(_Querying, ModalScreen[R]):
    """A dialog over the screen below."""
