"""Coroutines run to their end from any thread: on a thread and event loop of their own, cancellable.

A thread of its own, because the caller's may run an event loop already (a notebook's does), and because a
wait on another thread can be left by Ctrl-C at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from typing import Any, TypeVar

from tui_lookups.errors import Cancelled
from tui_lookups.model_thread import CancelToken

T = TypeVar("T")


def run_requests(work: Callable[[], Coroutine[Any, Any, T]], token: CancelToken | None = None) -> T:
    """Run `work()` and wait for it. Raises what it raises; Cancelled once `token` is cancelled.

    When the wait ends early (cancelled, Ctrl-C), so do the requests under way.
    """
    if token is not None:
        token.raise_if_cancelled()
    outcome: Future[T] = Future()
    loop = asyncio.new_event_loop()
    stopped = threading.Event()
    task: asyncio.Task[T] | None = None

    async def main() -> None:
        nonlocal task
        task = asyncio.create_task(work())
        if stopped.is_set():
            task.cancel()
        try:
            outcome.set_result(await task)
        except asyncio.CancelledError:
            outcome.set_exception(Cancelled())
        except BaseException as error:  # noqa: BLE001 - a thread's boundary: handed to the waiting one
            outcome.set_exception(error)

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(main())

    def stop() -> None:
        stopped.set()
        with suppress(RuntimeError):  # the loop has ended in the meantime
            loop.call_soon_threadsafe(lambda: task and task.cancel())

    try:  # from the start of the thread on: Ctrl-C may come at any moment
        asked_in = copy_context()  # whoever listens there is told how far the requests are
        threading.Thread(target=lambda: asked_in.run(run), name="lookups-requests", daemon=True).start()
        if token is not None:
            token.on_cancel(stop)
        return outcome.result()
    except BaseException:
        stop()
        raise
    finally:
        if token is not None:
            token.forget(stop)
