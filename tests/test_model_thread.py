"""The model thread: order, cancelling, background work, closing."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

from tui_lookups import model_thread
from tui_lookups.errors import Cancelled, Poll
from tui_lookups.model_thread import CancelToken, ModelThread, Priority

WAIT = 10.0


class Gate:
    """A job that says it has begun and then waits to be let through."""

    def __init__(self) -> None:
        self.begun, self.open = threading.Event(), threading.Event()

    def __call__(self, poll: Poll) -> str:
        self.begun.set()
        assert self.open.wait(WAIT)
        return "through"


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture
def errors() -> list[BaseException]:
    return []


@pytest.fixture
def thread() -> Iterator[ModelThread]:
    made = ModelThread()
    yield made
    assert made.close(WAIT)


def poll_for_ever(poll: Poll) -> None:
    while True:
        poll()
        time.sleep(0.001)


def test_jobs_run_on_one_daemon_thread(thread: ModelThread) -> None:
    seen = {thread.run(lambda _: threading.current_thread()) for _ in range(3)}
    assert len(seen) == 1
    assert seen.pop().daemon
    assert thread.idle


def test_smaller_priority_first_then_arrival(thread: ModelThread) -> None:
    gate, order = Gate(), []
    blocked = thread.submit(gate)
    assert gate.begun.wait(WAIT)
    waiting = [
        thread.submit(lambda _, name=name: order.append(name), priority)
        for name, priority in [
            ("startup", Priority.STARTUP),
            ("first", Priority.INTERACTIVE),
            ("ahead", Priority.PREFETCH),
            ("second", Priority.INTERACTIVE),
            ("save", Priority.URGENT),
        ]
    ]
    gate.open.set()
    assert blocked.result(WAIT) == "through"
    for job in waiting:
        job.result(WAIT)
    assert order == ["save", "first", "second", "ahead", "startup"]


def test_exceptions_reach_who_waits_and_the_thread_lives_on(thread: ModelThread) -> None:
    for error in (ValueError("no"), SystemExit(3), Cancelled()):

        def fail(_: Poll, error: BaseException = error) -> None:
            raise error

        with pytest.raises(type(error)):
            thread.run(fail)
    assert thread.run(lambda _: 7) == 7


def test_run_on_the_thread_itself_is_inline(thread: ModelThread) -> None:
    assert thread.run(lambda _: thread.run(lambda _: 5) + 1) == 6

    def cancelled_inside(_: Poll) -> None:
        token = CancelToken()
        token.cancel()
        thread.run(lambda poll: poll(), token=token)

    with pytest.raises(Cancelled):
        thread.run(cancelled_inside)


def test_a_queued_job_that_is_cancelled_answers_at_once_and_never_runs(thread: ModelThread) -> None:
    gate, token, ran = Gate(), CancelToken(), []
    blocked = thread.submit(gate)
    assert gate.begun.wait(WAIT)
    job = thread.submit(lambda _: ran.append(1), token=token)
    token.cancel()
    with pytest.raises(Cancelled):
        job.result(0)  # while the thread is still busy
    gate.open.set()
    blocked.result(WAIT)
    thread.run(lambda _: None)
    assert ran == []


def test_a_running_job_is_told_by_its_poll(thread: ModelThread) -> None:
    token, begun, told = CancelToken(), threading.Event(), []

    def work(poll: Poll) -> None:
        begun.set()
        try:
            poll_for_ever(poll)
        except Cancelled:
            told.append(1)
            raise

    job = thread.submit(work, token=token)
    assert begun.wait(WAIT)
    token.cancel()
    with pytest.raises(Cancelled):
        job.result(WAIT)
    thread.run(lambda _: None)
    assert told == [1]


def test_ctrl_c_while_waiting_cancels_the_job_so_that_the_next_one_is_not_held_up(
    thread: ModelThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, begun = CancelToken(), threading.Event()

    def interrupted(future: Future[object], timeout: float | None = None) -> None:
        assert begun.wait(WAIT)
        raise KeyboardInterrupt

    def work(poll: Poll) -> None:
        begun.set()
        poll_for_ever(poll)

    with monkeypatch.context() as patch:
        patch.setattr(Future, "result", interrupted)
        with pytest.raises(KeyboardInterrupt):
            thread.run(work, token=token)
    assert token.cancelled
    assert thread.submit(lambda _: "next").result(WAIT) == "next"


def test_what_a_job_raises_cancels_nothing_else_of_its_question(thread: ModelThread) -> None:
    token = CancelToken()
    with pytest.raises(ZeroDivisionError):
        thread.run(lambda _: 1 // 0, token=token)
    assert not token.cancelled


def test_a_late_result_is_dropped(thread: ModelThread) -> None:
    gate, token = Gate(), CancelToken()
    job = thread.submit(gate, token=token)
    assert gate.begun.wait(WAIT)
    token.cancel()
    with pytest.raises(Cancelled):
        job.result(0)
    gate.open.set()
    assert thread.run(lambda _: 1) == 1
    assert isinstance(job.exception(0), Cancelled)


def test_a_token_that_is_cancelled_already_and_one_for_many(thread: ModelThread) -> None:
    token, ran = CancelToken(), []
    token.cancel()
    with pytest.raises(Cancelled):
        thread.run(lambda _: ran.append(1), token=token)
    assert token.cancelled
    assert ran == []
    shared = CancelToken()
    assert [thread.run(lambda _, n=n: n, token=shared) for n in range(3)] == [0, 1, 2]
    assert shared._listeners == []  # nothing is kept for jobs that are done
    shared.cancel()
    with pytest.raises(Cancelled):
        shared.raise_if_cancelled()


def test_background_steps_until_there_is_nothing_left(thread: ModelThread) -> None:
    steps = []

    def step(_: Poll) -> bool:
        steps.append(threading.current_thread().name)
        return len(steps) < 5

    thread.set_background(step)
    until(lambda: thread.idle)
    assert steps == ["lookups-model"] * 5


def test_a_job_runs_right_after_the_step_under_way_and_interrupts_nothing(thread: ModelThread) -> None:
    events, entered, go_on = [], threading.Event(), threading.Event()

    def step(poll: Poll) -> bool:
        events.append("step")
        entered.set()
        assert go_on.wait(WAIT)
        poll()  # a waiting job must not make this raise
        events.append("step done")
        return events.count("step") < 4

    thread.set_background(step)
    assert entered.wait(WAIT)
    jobs = [thread.submit(lambda _, n=n: events.append(f"job {n}"), Priority.STARTUP) for n in range(2)]
    go_on.set()
    for job in jobs:
        job.result(WAIT)
    until(lambda: thread.idle)
    assert events == ["step", "step done", "job 0", "job 1", *["step", "step done"] * 3]


@pytest.mark.parametrize("successor", [None, "other"])
def test_replacing_the_background_interrupts_the_step_under_way(thread, errors, successor) -> None:
    entered, ran = threading.Event(), threading.Event()

    def step(poll: Poll) -> bool:
        entered.set()
        poll_for_ever(poll)
        return True

    def other(_: Poll) -> bool:
        ran.set()
        return False

    thread.set_background(step, errors.append)
    assert entered.wait(WAIT)
    thread.set_background(other if successor else None, errors.append)
    until(lambda: thread.idle)
    assert ran.is_set() == bool(successor)
    assert errors == []


def test_memory_is_given_back_once_after_work_and_not_before_any(monkeypatch, thread) -> None:
    given_back: list[str] = []
    real = model_thread._give_memory_back

    def give_back() -> None:
        real()  # whatever malloc this is
        given_back.append(threading.current_thread().name)

    monkeypatch.setattr(model_thread, "_give_memory_back", give_back)
    monkeypatch.setattr(model_thread, "_REST", 0.001)
    for times in (1, 2):
        thread.run(lambda _: None)
        until(lambda times=times: len(given_back) == times)
        with thread.holding_background():  # wakes it, with nothing to do
            pass
        time.sleep(0.02)
        assert given_back == ["lookups-model"] * times


def test_a_background_error_is_reported_and_ends_that_work_only(thread, errors) -> None:
    def step(_: Poll) -> bool:
        raise ZeroDivisionError("in the scan")

    thread.set_background(step, errors.append)
    until(lambda: errors)
    assert [str(error) for error in errors] == ["in the scan"]
    assert thread.run(lambda _: 2) == 2
    assert thread.idle


def test_an_error_in_the_listener_is_shown_and_the_thread_lives_on(monkeypatch) -> None:
    shown = []
    monkeypatch.setattr(threading, "excepthook", lambda args: shown.append(args.exc_value))

    def broken(_: BaseException) -> None:
        raise KeyError("listener")

    def step(_: Poll) -> bool:
        raise ValueError("step")

    thread = ModelThread()
    thread.set_background(step, broken)
    until(lambda: shown)
    assert isinstance(shown[0], KeyError)
    assert isinstance(shown[0].__context__, ValueError) or shown[0].__context__ is None
    assert thread.run(lambda _: 3) == 3
    assert thread.close(WAIT)


def test_closing_answers_everyone_and_does_not_wait_for_native_code() -> None:
    thread = ModelThread()
    gate = Gate()
    running = thread.submit(gate)
    assert gate.begun.wait(WAIT)
    queued = thread.submit(lambda _: 1)
    assert thread.close(timeout=0.05) is False  # still inside
    for job in (running, queued, thread.submit(lambda _: 2)):
        with pytest.raises(Cancelled):
            job.result(0)
    with pytest.raises(Cancelled):
        thread.run(lambda _: 3)
    thread.set_background(lambda _: True)
    gate.open.set()
    assert thread.close(WAIT)


def test_closing_interrupts_a_job_and_a_step_that_poll() -> None:
    for start in ("submit", "set_background"):
        thread, begun = ModelThread(), threading.Event()

        def work(poll: Poll, begun: threading.Event = begun) -> bool:
            begun.set()
            poll_for_ever(poll)
            return True

        getattr(thread, start)(work)
        assert begun.wait(WAIT)
        assert thread.close(WAIT)


def test_closing_unused_or_from_the_thread_itself() -> None:
    assert ModelThread().close()
    thread = ModelThread()
    with pytest.raises(Cancelled):
        thread.run(lambda _: thread.close())
    assert thread.close(WAIT)


def test_a_job_in_native_code_does_not_keep_the_program_alive() -> None:
    code = (
        "import threading, time\nfrom tui_lookups.model_thread import ModelThread\n"
        "begun = threading.Event()\nthread = ModelThread()\n"
        "thread.submit(lambda _: (begun.set(), time.sleep(600)))\n"
        "begun.wait()\nthread.close(0.01)\nprint('end')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == ("end\n", "")


def test_imports_no_torch() -> None:
    code = "import sys, tui_lookups.model_thread\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_background_waits_while_a_question_is_asked_in_several_jobs() -> None:
    thread = ModelThread()
    order: list[str] = []
    stepped = threading.Event()

    def step(poll: Poll) -> bool:
        order.append("step")
        stepped.set()
        return False

    with thread.holding_background():
        thread.set_background(step)
        for _ in range(3):
            thread.run(lambda poll: order.append("job"))
        assert not stepped.is_set()
    assert stepped.wait(10)
    assert order == ["job"] * 3 + ["step"]
    thread.close()
