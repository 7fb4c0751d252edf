"""Coroutines on a thread of their own: results, errors, cancelling, Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading

import pytest

from tui_lookups.errors import Cancelled
from tui_lookups.explanation.running import run_requests
from tui_lookups.model_thread import CancelToken


async def value() -> int:
    await asyncio.sleep(0)
    return 3


async def failing() -> int:
    raise KeyError("x")


def test_results_and_errors_come_back() -> None:
    assert run_requests(value) == 3
    with pytest.raises(KeyError):
        run_requests(failing)


async def test_within_a_running_loop() -> None:
    assert run_requests(value) == 3


@pytest.mark.parametrize("delay", [0.0, 0.001, 0.05])
def test_cancelling_reaches_the_coroutine_whenever_it_comes(delay: float) -> None:
    began, ended = threading.Event(), threading.Event()

    async def waiting() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    token = CancelToken()
    timer = threading.Timer(delay, token.cancel)
    timer.start()
    with pytest.raises(Cancelled):
        run_requests(waiting, token)
    timer.join()
    assert not began.is_set() or ended.wait(5)


def test_a_cancel_after_the_end_is_nothing() -> None:
    token = CancelToken()
    assert run_requests(value, token) == 3
    token.cancel()


def test_ctrl_c_leaves_at_once() -> None:
    program = """
import asyncio, threading
from tui_lookups.explanation.running import run_requests
async def wait():
    print("waiting", flush=True)
    try:
        await asyncio.sleep(60)
    finally:
        print("stopped", flush=True)
try:
    run_requests(wait)
except KeyboardInterrupt:
    for thread in threading.enumerate():
        if thread.name == "lookups-requests":
            thread.join(10)
    print("left", flush=True)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "waiting\n"
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=30)[0] == "stopped\nleft\n"
    assert child.returncode == 0
