"""Work in a child: killed at a moment, held to a limit, or many at once.

1. A fork has the model and the libraries loaded already, so that a kill costs milliseconds, not seconds.
2. What a limit to memory leaves depends on all that a process has done before: such work is done by
   `answer_anew`, in a child of a process that has imported the libraries and nothing else.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

Work = Callable[[], Any]
LONGEST = 240
"""Seconds after which a child that hangs is ended (SIGALRM), which fails its test."""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
needs_steps = pytest.mark.skipif(
    sys.gettrace() is not None or sys.implementation.name != "cpython",
    reason="steps are told by the profiling hook of CPython",
)


def start(work: Work, result: Path | None = None) -> int:
    """Run `work` in a child; its process id. What it returns is written to `result` as JSON."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LONGEST)
        answer = work()
        if result is not None:
            result.write_text(json.dumps(answer), encoding="utf-8")
        status = 0
    except BaseException:  # noqa: BLE001 - a process's boundary: told, and in the exit status
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def finished(child: int) -> bool:
    """Wait for a child; True when it ended well, False when it was killed. Fails for one that failed."""
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, f"the child died of signal {os.WTERMSIG(status)}"
        return False
    assert os.waitstatus_to_exitcode(status) == 0, "the child failed; see its traceback"
    return True


def killed(work: Work, after: float) -> bool:
    """Run `work` in a child and kill it (SIGKILL) after some seconds; whether it was still at work."""
    child = start(work)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    return not finished(child)


def kill_at_moments(
    work: Work,
    check: Callable[[int], None],
    *,
    kills: int,
    seed: int,
    prepare: Callable[[], None] | None = None,
) -> None:
    """Kill `work` at random moments of its length, each in a new child, until `kills` of them hit.

    `check` looks at what is left each time; `prepare` comes before each child, also before the one that is
    let run to measure the length.
    """
    prepare = prepare or (lambda: None)
    prepare()
    began = time.monotonic()
    assert finished(start(work))
    length, source, hits, misses = time.monotonic() - began, random.Random(seed), 0, 0
    while hits < kills:
        prepare()
        if killed(work, source.random() * length * 0.9):
            hits += 1
            check(hits)
        else:
            misses += 1
            length *= 0.8  # the first run was slowed down by something
            assert misses < 10 * kills + 20, "the work is over before it can be killed"


STEPS = frozenset(
    ("open", "write", "writelines", "seek", "truncate", "flush", "fsync", "close", "execute", "executemany")
) | {"replace", "rename", "link", "unlink", "remove", "mkdir", "rmdir", "chmod"}
"""Functions of the interpreter after each of which a file, a folder or the database may be half done."""


def _die_after(step: int) -> None:
    """From now on each return of one of STEPS counts, in all threads; at number `step` this process dies."""
    steps = count(1)

    def watch(frame: object, event: str, called: object) -> None:
        if event == "c_return" and getattr(called, "__name__", "") in STEPS and next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(watch)
    sys.setprofile(watch)


def kill_at_every_step(
    work: Callable[[Callable[[], None]], object], check: Callable[[], None], prepare: Callable[[], None]
) -> int:
    """Kill `work` after each of its STEPS, each in a new child; how many there were.

    What moments at random meet by luck, such as a file that is opened and not yet written, is met here.
    `work` is given a function that it calls where steps begin to count; `prepare` comes before each child,
    and `check` looks at what the kill left.
    """
    step = 1

    def doomed() -> None:
        try:
            work(lambda: _die_after(step))
        finally:
            sys.setprofile(None)

    prepare()
    while not finished(start(doomed)):
        check()
        prepare()
        step += 1
    return step - 1


def answer_of(work: Work, folder: Path) -> Any:
    """What `work` answers in a child."""
    return together([work], folder)[0]


_LIBRARIES = [
    "tests.faults.scene",
    "tests.model.test_sources",
    "tui_lookups.model.loading",
    "transformer_lens.model_bridge",
    "transformers.models.gpt2.modeling_gpt2",
    "tests.tui.canned",
    "tui_lookups.tui.running",
]
"""What loading a tiny GPT-2 and starting the app import: that takes longer than all these children do."""


def answer_anew(work: Callable[..., Any], *given: Any) -> Any:
    """What `work`, a function of a module, answers to `given` in a child in which no test has run before."""
    ours, theirs = multiprocessing.get_context("forkserver").Pipe(duplex=False)
    child = start_anew(_answer, theirs, work, given)
    theirs.close()
    try:
        answer = ours.recv()
    except EOFError:
        answer = None
    child.join()
    assert child.exitcode == 0, f"the child failed ({child.exitcode}); see its traceback"
    return answer


def start_anew(work: Callable[..., Any], *given: Any) -> BaseProcess:
    """A child in which no test has run before and the libraries are imported, at `work(*given)`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_LIBRARIES)  # once a session: the first child starts the server
    child = context.Process(target=_begin, args=(dict(os.environ), work, given))
    with mock.patch.object(sys.modules["__main__"], "__file__", None, create=True):  # it would run pytest
        child.start()
    return child


def _begin(environment: dict[str, str], work: Callable[..., Any], given: Any) -> None:
    os.environ.clear()  # that of the server is of the test that needed it first
    os.environ.update(environment)
    signal.alarm(LONGEST)
    work(*given)


def _answer(result: Connection, work: Callable[..., Any], given: Any) -> None:
    result.send(work(*given))


def limit_files(size: int) -> None:
    """From now on no file of this process may grow beyond `size` bytes: a write there fails with EFBIG."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def limit_memory(more: int) -> None:
    """From now on this process may map `more` bytes beyond what it has."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + more, resource.RLIM_INFINITY))


_BALLAST: list[bytearray] = []


def leave_memory(size: int) -> None:
    """From now on this process can allocate `size` bytes: what was freed before is taken up first.

    Call it on the thread that is to run short: each has its own stock of freed memory, and of address space
    that no limit to mappings counts.
    """

    def limit(more: int) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[5])
        resource.setrlimit(
            resource.RLIMIT_DATA, (pages * resource.getpagesize() + more, resource.RLIM_INFINITY)
        )

    limit(4 << 20)
    for piece in (1 << 20, 1 << 14):
        with suppress(MemoryError):
            while True:
                _BALLAST.append(bytearray(piece))
    limit(size)


def unlimited() -> None:
    """Take the limits back."""
    _BALLAST.clear()
    for each in (resource.RLIMIT_FSIZE, resource.RLIMIT_AS, resource.RLIMIT_DATA):
        resource.setrlimit(each, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def together(works: list[Work], folder: Path) -> list[Any]:
    """What several children answer that run at the same time."""
    folder.mkdir(exist_ok=True)
    results = [folder / f"{os.getpid()}-{number}.json" for number in range(len(works))]
    children = [start(work, result) for work, result in zip(works, results, strict=True)]
    ended = [finished(child) for child in children]  # each is waited for
    assert all(ended)
    return [json.loads(result.read_text(encoding="utf-8")) for result in results]
