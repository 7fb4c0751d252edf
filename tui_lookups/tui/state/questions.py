"""Asking for a part of a walk: what went wrong with it before is over, a new failure is kept for its pane."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from tui_lookups.tui.state.queries import explain_error

if TYPE_CHECKING:
    from tui_lookups.tui.explorer_protocol import ExplorerLike
    from tui_lookups.tui.state.queries import Queries
    from tui_lookups.tui.state.walk import Part, Walk

T = TypeVar("T")
S = TypeVar("S")


class Questions:
    """What the steps of a walk share: the explorer, its open questions, and who is told of a change."""

    def __init__(
        self, explorer: ExplorerLike, queries: Queries, walk: Walk, changed: Callable[[Part], None]
    ) -> None:
        self.explorer = explorer
        self.changed = changed
        self._queries = queries
        self._walk = walk

    def cancel(self, *parts: Part) -> None:
        """Forget what was asked for these parts."""
        self._queries.cancel(*parts)

    def ask(self, part: Part, question: Callable[[], T], done: Callable[[T], None]) -> None:
        """Put a question about a part; `done` gets its answer unless it is superseded."""
        self._walk.errors.pop(part, None)
        self._queries.ask(part, question, done, partial(self._failed, part))

    def ask_telling(
        self,
        part: Part,
        question: Callable[[Callable[[S], None]], T],
        heard: Callable[[S], None],
        done: Callable[[T], None],
    ) -> None:
        """As `ask`; what `question` tells on the way comes to `heard`."""
        self._walk.errors.pop(part, None)
        self._queries.ask_telling(part, question, heard, done, partial(self._failed, part))

    def _failed(self, part: Part, error: BaseException) -> None:
        self._walk.errors[part] = explain_error(error)
        self.changed(part)
