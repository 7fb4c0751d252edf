"""Work in a forked child: killed at a moment, held to a limit, or many at once.

A fork has the model and the libraries loaded already, so that a kill costs milliseconds, not seconds.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Work = Callable[[], Any]
LONGEST = 240
"""Seconds after which a child that hangs is ended (SIGALRM), which fails its test."""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


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


def answer_of(work: Work, folder: Path) -> Any:
    """What `work` answers in a child."""
    return together([work], folder)[0]


def limit_files(size: int) -> None:
    """From now on no file of this process may grow beyond `size` bytes: a write there fails with EFBIG."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def limit_memory(more: int) -> None:
    """From now on this process may map `more` bytes beyond what it has."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + more, resource.RLIM_INFINITY))


def unlimited() -> None:
    """Take the limits back."""
    for each in (resource.RLIMIT_FSIZE, resource.RLIMIT_AS):
        resource.setrlimit(each, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def together(works: list[Work], folder: Path) -> list[Any]:
    """What several children answer that run at the same time."""
    folder.mkdir(exist_ok=True)
    results = [folder / f"{os.getpid()}-{number}.json" for number in range(len(works))]
    children = [start(work, result) for work, result in zip(works, results, strict=True)]
    ended = [finished(child) for child in children]  # each is waited for
    assert all(ended)
    return [json.loads(result.read_text(encoding="utf-8")) for result in results]
