"""Questions asked without waiting: each on a daemon thread of its own, cancellable, told by a callback."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tui_lookups.answering.engine import CURRENT_TOKEN, Engine
from tui_lookups.errors import Cancelled, as_lookups_error
from tui_lookups.model_thread import CancelToken

T = TypeVar("T")


@dataclass(frozen=True)
class Question:
    """A question that was put with `Explorer.ask`."""

    token: CancelToken

    def cancel(self) -> None:
        """Nobody waits any more: no callback is called afterwards, and work for it stops soon."""
        self.token.cancel()


def ask(
    question: Callable[[], T], done: Callable[[T], None], failed: Callable[[BaseException], None]
) -> Question:
    """Run a blocking question on a thread of its own. See `Explorer.ask`."""
    token = CancelToken()

    def work() -> None:
        CURRENT_TOKEN.set(token)
        try:
            answer = question()
        except Cancelled:
            return
        except BaseException as error:  # noqa: BLE001 - a thread's boundary: handed to the asker
            if not token.cancelled:
                failed(error)
            return
        if not token.cancelled:
            done(answer)

    threading.Thread(target=work, name="lookups-question", daemon=True).start()
    return Question(token)


def begin(engine: Engine, work: Callable[[], None]) -> None:
    """Run the start-up work in the background; what goes wrong becomes the engine's error, for the status."""

    def guarded() -> None:
        try:
            work()
        except Cancelled:
            return
        except Exception as error:  # noqa: BLE001 - a thread's boundary: said in the status
            engine.error = as_lookups_error(error)

    threading.Thread(target=guarded, name="lookups-start", daemon=True).start()
