"""The one thread that touches the model.

1. Jobs wait in a queue ordered by priority, then by arrival; the thread runs one at a time.
2. When no job waits, background work (the scan) advances one step at a time. A job that arrives during a
   step runs right after it.
3. A job gets a `poll` to call between pieces of work; it raises Cancelled once the job's token is
   cancelled or the thread closes. Cancelling answers whoever waits at once; what the job still returns is
   dropped.
4. A job runs in the context of who submitted it: what it tells of its progress reaches them.
5. Closing never waits for more than its timeout: the thread is a daemon, and a job that is inside native
   code is left behind.
6. A second after the last work, memory that nothing uses any more goes back to the system: forward passes
   leave holes that malloc would keep.

No torch here: the thread is started, and the model imported on it, by what is submitted.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Generic, TypeVar

from tui_lookups.errors import Cancelled, Poll

T = TypeVar("T")

BackgroundStep = Callable[[Poll], bool]
"""One step of background work; False when there is nothing left to do."""

_log = logging.getLogger(__name__)

_REST = 1.0
"""Seconds without work after which memory is given back."""


class Priority(IntEnum):
    """Smaller runs first."""

    URGENT = 0  # saving state before the program ends
    INTERACTIVE = 1  # what the person asked for
    PREFETCH = 2  # what the person may ask for next
    STARTUP = 3  # loading, self-checks


class CancelToken:
    """Says that nobody waits for an answer any more. Any thread may cancel, once and for all."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    def cancel(self) -> None:
        """Cancel; the listeners run on the calling thread."""
        with self._lock:
            self._event.set()
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()

    def raise_if_cancelled(self) -> None:
        """A poll: raises Cancelled."""
        if self._event.is_set():
            raise Cancelled

    def on_cancel(self, listener: Callable[[], None]) -> None:
        """Call `listener` when cancelled; at once when that has happened already."""
        with self._lock:
            if not self._event.is_set():
                self._listeners.append(listener)
                return
        listener()

    def forget(self, listener: Callable[[], None]) -> None:
        """Take a listener back."""
        with self._lock, suppress(ValueError):
            self._listeners.remove(listener)


CURRENT_TOKEN: ContextVar[CancelToken | None] = ContextVar("CURRENT_TOKEN", default=None)
"""The cancel token of the question this thread answers, if it answers one."""


def _log_failure(failure: BaseException) -> None:
    _log.error("background work stopped", exc_info=failure)


@dataclass(order=True)
class _Job(Generic[T]):
    order: tuple[int, int]
    work: Callable[[Poll], T] = field(compare=False)
    asked_in: Context = field(compare=False)
    token: CancelToken = field(compare=False)
    future: Future[T] = field(compare=False)

    def cancel(self) -> None:
        _resolve(self.future, error=Cancelled())


def _resolve(future: Future[Any], *, value: Any = None, error: BaseException | None = None) -> None:
    """Answer a future that may have been answered, or cancelled, by another thread in the meantime."""
    with suppress(InvalidStateError):
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)


def _give_memory_back() -> None:
    """Have malloc return the pages that nothing uses, where it is one that can be asked to (glibc's)."""
    if sys.platform != "linux":
        return
    import ctypes  # takes longer than the module of the thread

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class ModelThread:
    """A priority queue served by one daemon thread, started by the first thing that is asked of it."""

    def __init__(self, *, name: str = "lookups-model") -> None:
        self._name = name
        self._changed = threading.Condition()
        self._jobs: list[_Job[Any]] = []
        self._arrivals = itertools.count()
        self._running: _Job[Any] | None = None
        self._background: BackgroundStep | None = None
        self._failed: Callable[[BaseException], None] = _log_failure
        self._holds = 0
        self._worked = False
        """Whether something was done since memory was last given back."""
        self._closing = False
        self._thread: threading.Thread | None = None

    # --- asking ---

    def submit(
        self,
        work: Callable[[Poll], T],
        priority: Priority = Priority.INTERACTIVE,
        token: CancelToken | None = None,
    ) -> Future[T]:
        """Queue a job. The future gives its result or what it raised; Cancelled after a cancel or close."""
        token = token or CancelToken()
        job = _Job((int(priority), next(self._arrivals)), work, copy_context(), token, Future[T]())
        with self._changed:
            if self._closing:
                job.cancel()
                return job.future
            heapq.heappush(self._jobs, job)
            self._start()
            self._changed.notify_all()
        # Outside the lock: a token that is cancelled already answers at once.
        token.on_cancel(job.cancel)
        job.future.add_done_callback(lambda _: token.forget(job.cancel))
        return job.future

    def run(
        self,
        work: Callable[[Poll], T],
        priority: Priority = Priority.INTERACTIVE,
        token: CancelToken | None = None,
    ) -> T:
        """Run a job and wait for its answer; inline when this is the model thread already.

        Ctrl-C while it waits cancels the job: the next question would have to wait for it.
        """
        token = token or CancelToken()
        if threading.current_thread() is self._thread:
            return work(self._poll_for(token))
        job = self.submit(work, priority, token)
        try:
            return job.result()
        except BaseException:
            if not job.done():  # not what the job raised, which says nothing of the token's other jobs
                token.cancel()
            raise

    def set_background(
        self, step: BackgroundStep | None, failed: Callable[[BaseException], None] = _log_failure
    ) -> None:
        """What to do when no job waits. Replacing it, or None, makes the poll of the running step raise.

        `failed` is told, on the thread, what a step raised; that work is then dropped.
        """
        with self._changed:
            if self._closing:
                return
            self._background, self._failed = step, failed
            if step is not None:
                self._start()
            self._changed.notify_all()

    @contextmanager
    def holding_background(self) -> Iterator[None]:
        """No background step begins meanwhile: for a question that is asked in several jobs."""
        with self._changed:
            self._holds += 1
        try:
            yield
        finally:
            with self._changed:
                self._holds -= 1
                self._changed.notify_all()

    @property
    def idle(self) -> bool:
        """Nothing runs, nothing waits, and there is no background work."""
        with self._changed:
            return self._running is None and not self._jobs and self._background is None

    def close(self, timeout: float = 0.5) -> bool:
        """Answer everything that waits with Cancelled and stop. True when the thread has ended in time."""
        with self._changed:
            self._closing = True
            waiting, self._jobs = self._jobs, []
            if self._running is not None:
                waiting.append(self._running)
            self._background = None
            thread = self._thread
            self._changed.notify_all()
        for job in waiting:
            job.cancel()
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(timeout)
        return not thread.is_alive()

    # --- the thread ---

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
            self._thread.start()

    def _poll_for(self, token: CancelToken) -> Poll:
        def poll() -> None:
            if self._closing:
                raise Cancelled
            token.raise_if_cancelled()

        return poll

    def _serve(self) -> None:
        while self._advance():
            pass

    def _advance(self) -> bool:
        """Wait for something to do and do it; False when closing. (Its locals keep no answer alive.)"""
        with self._changed:
            while not (self._closing or self._jobs or (self._background and not self._holds)):
                if not self._changed.wait(_REST if self._worked else None):
                    break
            if self._closing:
                return False
            job = heapq.heappop(self._jobs) if self._jobs else None
            step, failed = None if self._holds else self._background, self._failed
            self._running = job
            self._worked = not (job is None and step is None)
        if job is not None:
            self._run_job(job)
        elif step is not None:
            self._run_step(step, failed)
        else:
            _give_memory_back()
        return True

    def _run_job(self, job: _Job[Any]) -> None:
        try:
            if not job.future.done():
                _resolve(job.future, value=job.asked_in.run(job.work, self._poll_for(job.token)))
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits for the job
            _resolve(job.future, error=error)
        finally:
            with self._changed:
                self._running = None

    def _run_step(self, step: BackgroundStep, failed: Callable[[BaseException], None]) -> None:
        def poll() -> None:
            if self._closing or self._background is not step:
                raise Cancelled

        failure: BaseException | None = None
        more = False
        try:
            more = step(poll)
        except Cancelled:
            # Replaced or closed: that is the answer. Raised by the step itself, it ends the work.
            pass
        except BaseException as error:  # noqa: BLE001 - reported below
            failure = error
        with self._changed:
            if not more and self._background is step:
                self._background = None
        if failure is not None:
            self._report(failure, failed)

    def _report(self, failure: BaseException, failed: Callable[[BaseException], None]) -> None:
        try:
            failed(failure)
        except BaseException:  # noqa: BLE001 - a broken listener must not end the thread
            kind, value, traceback = sys.exc_info()
            assert kind is not None
            threading.excepthook(
                threading.ExceptHookArgs((kind, value, traceback, threading.current_thread()))
            )
