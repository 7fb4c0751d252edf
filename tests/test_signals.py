"""SIGUSR1 asks the explorer that is open for a checkpoint, and ends no command."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.test_cli import FAKE

WAITS = FAKE.format(
    patch="""
asked = []
FakeExplorer.request_checkpoint = lambda self: asked.append(1)
answer = FakeExplorer.scan
def scan(self, progress=None):
    print("scanning now", file=sys.stderr, flush=True)
    while not asked:
        time.sleep(0.01)
    return answer(self, progress=progress)
FakeExplorer.scan = scan
"""
)


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no such signal")
def test_a_warning_asks_for_a_checkpoint_and_the_scan_goes_on() -> None:
    process = subprocess.Popen([sys.executable, "-c", WAITS, "scan"], stdout=-1, stderr=-1, text=True)
    assert process.stderr is not None
    assert process.stderr.readline() == "scanning now\n"
    process.send_signal(signal.SIGUSR1)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "prompts" in out


def test_a_warning_where_nothing_is_open_ends_nothing() -> None:
    code = """
import os, signal
from tui_lookups.commands.signals import handled_signals
with handled_signals(lambda: print("asked")):
    os.kill(os.getpid(), getattr(signal, "SIGUSR1", signal.SIGTERM))
print(signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["asked", "True"]
