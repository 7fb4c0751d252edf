"""Whatever is sent to the app, by terminal or as a signal, it goes on and leaves the terminal as it was."""

from __future__ import annotations

import ast
import inspect
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver

from tests.tui.pseudo_terminal import SCRIPT, Session
from tests.tui.terminal_replies import REPLIES
from tui_lookups.tui.terminal import driver as terminal_driver
from tui_lookups.tui.terminal import textual_private

ATTRIBUTES = """
import os, sys, termios
def attributes():
    os.write(int(sys.argv[1]), repr(termios.tcgetattr(0)).encode() + b"\\n")
attributes()
"""
KEEPS_ATTRIBUTES = ATTRIBUTES + SCRIPT.replace(
    "os._exit", "attributes()\nos._exit"
).replace(
    "    def close(self):",
    """    def request_checkpoint(self):
        os.write(int(sys.argv[1]), b"checkpoint\\n")
    def close(self):""",
)  # fmt: skip

PRIVATE = {taken.name for taken in textual_private.PRIVATE if taken.owner.endswith(":LinuxDriver")}
"""What the driver takes of Textual's that is not part of its interface."""
_ON_AT_FIRST = {"7", "25"}
"""Modes of a terminal that are on: lines wrap, the cursor is shown."""


@pytest.fixture
def session() -> Iterator[Session]:
    session = Session(script=KEEPS_ATTRIBUTES)
    session.read(b"because")
    settle(session)
    yield session
    with suppress(ProcessLookupError):  # a test that failed
        os.kill(session.pid, signal.SIGKILL)


def leave(session: Session) -> list[str]:
    """Leave by `q`; the terminal is as it was. Returns what was logged in between."""
    session.write(b"q")
    assert session.ended() == 0
    before, *logged, closed, left, after = session.lines()
    assert (closed, left) == ("closed", "left")
    assert before == after
    assert_balanced(session.written)
    return logged


def assert_balanced(written: bytes) -> None:
    """Every mode that was switched is as at first, and every level of the keyboard was taken off."""
    last = dict(re.findall(r"\x1b\[\?(\d+)([hl])", written.decode()))
    assert {"1049", "1000", "1003", "1004", "1006", "2004", "25", "7"} <= last.keys()
    assert {mode for mode, state in last.items() if state == "h"} == _ON_AT_FIRST
    pushed, popped = len(re.findall(rb"\x1b\[>\d+u", written)), written.count(b"\x1b[<u")
    assert pushed == popped >= 1
    assert b"Traceback" not in written


def shows(session: Session, key: bytes, expected: bytes) -> None:
    """The app goes on: a key does what it does. Escape undoes it."""
    session.write(key)
    assert expected in session.read(expected), session.written[-2000:]
    settle(session)
    session.write(b"\x1b")
    settle(session)


def stopped(session: Session) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(session.pid)], capture_output=True, check=True)
    return state.stdout.startswith(b"T")


def settle(session: Session, quiet: float = 0.4) -> bytes:
    return session.read(None, quiet=quiet)


def test_whatever_a_terminal_sends_the_app_goes_on(session: Session) -> None:
    for byte in range(0x80, 0x100):
        session.write(bytes([byte]))
    session.write("€".encode()[:2])
    shows(session, b"b", b"Nothing is marked")
    session.write(b"t\x15")  # the line is empty then
    settle(session, 1.0)
    for reply in REPLIES.values():
        session.write(reply)
    assert settle(session) == b"", "nothing is typed"
    session.write(b"\x1b")
    settle(session, 1.0)
    for reply in REPLIES.values():
        session.write(reply)
    assert settle(session) == b"", "nothing is a key"
    shows(session, b"b", b"Nothing is marked")
    leave(session)


def test_a_text_pasted_without_brackets_is_no_keys(session: Session) -> None:
    text = b"quite a lot of text, of which one letter leaves the app\r" * 1800
    assert len(text) > 100_000
    shows(session, text, b"Nothing here takes a pasted text")
    session.write(b"/")
    settle(session)
    shows(session, text, b"leaves the app")
    leave(session)


def test_a_stopped_app_takes_the_terminal_again_and_gives_it_back(session: Session) -> None:
    shows(session, b"\x1a", b"There is no shell to go back to")
    for _ in range(2):
        os.kill(session.pid, signal.SIGSTOP)
        while not stopped(session):
            time.sleep(0.01)
        os.kill(session.pid, signal.SIGCONT)
        again = session.read(b"because")
        assert b"\x1b[?1049h" in again
        assert b"because" in again, "everything is painted anew"
        settle(session)
    shows(session, b"b", b"Nothing is marked")
    leave(session)


def test_a_defect_in_reading_the_terminal_is_a_failure() -> None:
    defect = """
from tui_lookups.tui.terminal import driver as terminal_driver
from tui_lookups.tui.terminal import textual_private
def broken(sequence):
    raise RuntimeError("a defect")
terminal_driver.is_useful = broken
"""
    session = Session(script=defect + SCRIPT)
    session.read(b"because")
    session.write(b"\x1b[A")
    assert session.ended() == 1
    assert b"a defect" in session.written


def test_a_warning_of_a_batch_system_keeps_what_there_is(session: Session) -> None:
    session.write(b"\x1b[B\r")  # somewhere else than at first
    session.read(None)
    os.kill(session.pid, signal.SIGUSR1)
    assert b"SIGUSR1" in session.read(b"SIGUSR1")
    assert leave(session) == ["checkpoint", "saved L0.N20", "saved L0.N20"], "the last on leaving"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs a shell with job control")
def test_ctrl_z_goes_back_to_the_shell_and_fg_comes_back(tmp_path: Path) -> None:
    script = tmp_path / "app.py"
    script.write_text(SCRIPT)
    session = Session(
        script="import os; os.execvp('bash', ['bash', '--norc', '--noprofile', '--noediting', '-i'])",
        PS1="$ ",
    )
    session.write(b"stty -a > " + bytes(tmp_path) + b"/before\r")
    session.write(f"{sys.executable} {script} 2\r".encode())
    session.read(b"L0.N20")
    settle(session)
    session.write(b"\x1a")
    stopped = session.read(b"Stopped")
    assert b"Stopped" in stopped
    assert_balanced(session.written)
    session.write(b"fg\r")
    again = session.read(b"L0.N20")
    assert b"\x1b[?1049h" in again
    assert b"L0.N20" in again
    settle(session)
    session.write(b"q")
    session.read(b"left")
    session.write(b"stty -a > " + bytes(tmp_path) + b"/after\r exit 0\r")
    assert session.ended() == 0
    assert_balanced(session.written)
    assert (tmp_path / "before").read_text() == (tmp_path / "after").read_text()


def test_all_that_is_private_to_textual_is_named_here() -> None:
    tree = ast.parse(Path(terminal_driver.__file__).read_text(encoding="utf-8"))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    used |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    theirs = "".join(inspect.getsource(each) for each in (Driver, LinuxDriver))
    assert {
        name for name in used if re.match("_(?!_)", name) and re.search(rf"\b{name}\b", theirs)
    } == PRIVATE
