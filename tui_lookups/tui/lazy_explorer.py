"""An explorer that is made when it is first asked something: importing it takes longer than a paint.

1. A LazyExplorer costs nothing. `status` answers at once, also before there is an explorer.
2. The first question, or `start`, makes the explorer on a thread of its own; the others wait there for it.
3. `close` never waits: an explorer that is still being made is closed as soon as it is there.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tui_lookups.errors import Cancelled, as_lookups_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from tui_lookups.results import Status
    from tui_lookups.tui.explorer_protocol import Cancellable, ExplorerLike

T = TypeVar("T")


def lazy_explorer(make: Callable[[], ExplorerLike], waiting: Status) -> ExplorerLike:
    """What `make` returns, called once, later; until then its status is `waiting`."""
    return cast("ExplorerLike", LazyExplorer(make, waiting))


class Waiting:
    """A question that was put before there was an explorer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._inner: Cancellable | None = None

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits any more."""
        return self._cancelled

    def cancel(self) -> None:
        """Nobody waits any more: no callback is called afterwards."""
        with self._lock:
            self._cancelled = True
            if self._inner is not None:
                self._inner.cancel()

    def put(self, ask: Callable[[], Cancellable]) -> None:
        """Put the question now, unless it was cancelled."""
        with self._lock:
            if not self._cancelled:
                self._inner = ask()


class LazyExplorer:
    """See `lazy_explorer`. What is not defined here is asked of the explorer, which is made if need be."""

    def __init__(self, make: Callable[[], ExplorerLike], waiting: Status) -> None:
        self._make = make
        self._status = waiting
        self._making = threading.Lock()  # held while the explorer is made
        self._guard = threading.Lock()  # held for a moment: the two below
        self._made: ExplorerLike | None = None
        self._closed = False

    def resolve(self) -> ExplorerLike:
        """The explorer; blocks while it is made. Raises what making it raises, Cancelled once closed."""
        with self._making:
            if self._made is None and not self._closed:
                self._keep(self._make())
        if self._made is None:
            raise Cancelled
        return self._made

    def _keep(self, made: ExplorerLike) -> None:
        with self._guard:
            if not self._closed:
                self._made = made
                return
        made.close()  # it was closed while it was made

    def status(self) -> Status:
        return self._status if self._made is None else self._made.status()

    def start(self) -> None:
        def work() -> None:
            try:
                self.resolve().start()
            except Cancelled:
                return
            except Exception as error:  # noqa: BLE001 - a thread's boundary: said in the status
                self._fail(error)

        threading.Thread(target=work, name="lookups-explorer", daemon=True).start()

    def ask(
        self, question: Callable[[], T], done: Callable[[T], None], failed: Callable[[BaseException], None]
    ) -> Cancellable:
        if self._made is not None:
            return self._made.ask(question, done, failed)
        waiting = Waiting()

        def work() -> None:
            try:
                explorer = self.resolve()
            except Cancelled:
                return
            except Exception as error:  # noqa: BLE001 - a thread's boundary: handed to the asker
                self._fail(error)
                if not waiting.cancelled:
                    failed(error)
                return
            waiting.put(lambda: explorer.ask(question, done, failed))

        threading.Thread(target=work, name="lookups-explorer", daemon=True).start()
        return waiting

    def request_checkpoint(self) -> None:
        if self._made is not None:  # else no scan has begun
            self._made.request_checkpoint()

    def close(self) -> str:
        with self._guard:
            self._closed = True
            made = self._made
        return "" if made is None else made.close()

    def _fail(self, error: Exception) -> None:
        from dataclasses import replace

        self._status = replace(self._status, stage="failed", message=str(as_lookups_error(error)))

    def __getattr__(self, name: str) -> Any:
        if name in ("explaining", "head_scores", "settings"):  # asked for, and called, within a question
            return getattr(self.resolve(), name)
        return lambda *given, **named: getattr(self.resolve(), name)(*given, **named)
