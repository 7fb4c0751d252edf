"""The app in a process of its own on a pseudo-terminal: what it is sent, and what it writes."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import sys
import termios
import time
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from tests.faults.processes import start_anew
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
_BEGUN = b"begun\n"
"""What the child logs once it has the terminal: only then is there another end to read from."""


class Session:
    """The app on a pseudo-terminal, in a process that has the libraries already: importing them takes longer.

    `controls`: whether the terminal is the process's own, so that the process hears of its end by a signal.
    """

    def __init__(
        self, *arguments: str, script: str = SCRIPT, controls: bool = True, **environment: str
    ) -> None:
        self.terminal, theirs = pty.openpty()
        self._log, log = get_context("forkserver").Pipe(duplex=False)
        clean = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "TMUX")}
        clean |= {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
        self.process = start_anew(
            _run, os.ttyname(theirs), controls, clean | environment, script, log, arguments
        )
        log.close()
        assert self.process.pid is not None
        self.pid, self.log = self.process.pid, self._log.fileno()
        assert os.read(self.log, len(_BEGUN)) == _BEGUN
        os.close(theirs)
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
        """The exit status; what the app still writes is read, so that it does not block."""
        end = time.monotonic() + PATIENCE
        while (status := self.process.exitcode) is None:
            if time.monotonic() > end:
                self.process.kill()
                raise AssertionError("the app did not leave")
            with suppress(OSError):  # the terminal's other end is closed just before the process ends
                if select.select([self.terminal], [], [], 0.05)[0]:
                    self.written += os.read(self.terminal, 65536)
        return status

    def lines(self) -> list[str]:
        os.set_blocking(self.log, False)
        return os.read(self.log, 1000).decode().splitlines()


def _run(
    name: str,
    controls: bool,
    environment: dict[str, str],
    script: str,
    log: Connection,
    arguments: tuple[str, ...],
) -> None:
    """`script` on a terminal, in the child: as `python -c` with what it logs to and `arguments`."""
    os.environ.clear()
    take_terminal(name, environment, controls=controls)
    os.write(log.fileno(), _BEGUN)
    sys.argv = ["-c", str(log.fileno()), *arguments]
    os.set_inheritable(log.fileno(), True)
    exec(compile(script, "<script>", "exec"), {"__name__": "__main__"})


def take_terminal(name: str, environment: dict[str, str], *, controls: bool = True) -> None:
    """A terminal becomes this process's own, which leads a session of its own."""
    os.environ.update(environment)
    os.setsid()
    terminal = os.open(name, os.O_RDWR | os.O_NOCTTY)
    if controls:
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    for number in range(3):
        os.dup2(terminal, number)
    os.close(terminal)
    sys.stdin = sys.__stdin__ = os.fdopen(0, closefd=False)  # type: ignore[misc] # multiprocessing closed it
