"""The app in a process of its own on a pseudo-terminal: what it is sent, and what it writes."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import time
from pathlib import Path

from tests.tui.driving import PATIENCE

ROOT = Path(__file__).parents[2]
SCRIPT = """
import os, sys
from tests.tui.canned import CannedExplorer
from tui_lookups.tui import run_app
class Explorer(CannedExplorer):
    def save_session(self, session, name=""):
        os.write(int(sys.argv[1]), f"saved {session.neuron}\\n".encode())
        return super().save_session(session, name)
    def close(self):
        super().close()
        os.write(int(sys.argv[1]), b"closed\\n")
code = run_app(Explorer(threads=True, hold=len(sys.argv) > 2))
os.write(int(sys.argv[1]), b"left\\n")
os._exit(code)
"""


class Session:
    """The app on a pseudo-terminal of its own."""

    def __init__(self, *arguments: str, script: str = SCRIPT, **environment: str) -> None:
        self.log, write = os.pipe()
        os.set_inheritable(write, True)
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            clean = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "TMUX")}
            clean |= {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
            command = [sys.executable, "-c", script, str(write), *arguments]
            os.execve(sys.executable, command, clean | environment)
        os.close(write)
        self.written = b""
        """All the app wrote so far."""

    def write(self, data: bytes) -> None:
        """Type, as fast as the terminal takes it."""
        while data:
            data = data[os.write(self.terminal, data[:4000]) :]

    def read(self, until: bytes | None, quiet: float = 0.5) -> bytes:
        """What the app writes until it holds `until`, or, with None, until it has been idle and quiet."""
        out, end, last = b"", time.monotonic() + PATIENCE, time.monotonic()
        while time.monotonic() < end:
            if select.select([self.terminal], [], [], 0.05)[0]:
                try:
                    data = os.read(self.terminal, 65536)
                except OSError:
                    return out
                self.written += data
                out, last = out + data, time.monotonic()
                if until is not None and until in out:
                    return out
            elif self._at_work():
                last = time.monotonic()
            elif until is None and time.monotonic() - last > quiet:
                return out
        return out

    def _at_work(self) -> bool:
        """Whether it has or waits for a processor: beside busy processes it is silent and yet not done."""
        try:
            state = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2][0]
        except OSError:  # no Linux, or it has ended
            return False
        return state in "RD"

    def ended(self) -> int:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if select.select([self.terminal], [], [], 0.05)[0]:
                try:
                    self.written += os.read(self.terminal, 65536)
                except OSError:
                    time.sleep(0.05)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError("the app did not leave")

    def lines(self) -> list[str]:
        os.set_blocking(self.log, False)
        return os.read(self.log, 1000).decode().splitlines()
