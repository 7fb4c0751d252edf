"""Leaving: the terminal comes back, the explorer is closed, signals checkpoint and end the process."""

from __future__ import annotations

import os
import re
import select
import signal

import pytest

from tests.tui.driving import PATIENCE
from tests.tui.pseudo_terminal import SCRIPT, Session

STUCK = (
    """
import asyncio, os, sys
from tui_lookups.tui import running
running._DEADLINE_SECONDS = 0.3
async def stuck(self, event):
    if event.key == "exclamation_mark":
        self.app.call_later(asyncio.Event().wait)
        os.write(int(sys.argv[1]), b"stuck\\n")
from tui_lookups.tui.screens.walk import WalkScreen
WalkScreen.on_key = stuck
"""
    + SCRIPT
)
IMPATIENT = (
    """
from tui_lookups.tui import running
running._TERMINAL_SECONDS = 0.2
"""
    + SCRIPT
)


def test_q_leaves_and_an_idle_app_writes_nothing() -> None:
    session = Session()
    assert b"because" in session.read(b"because")
    session.read(None)
    assert not select.select([session.terminal], [], [], 1.5)[0], "an idle app writes no byte"
    os.write(session.terminal, b"q")
    assert b"\x1b[?1049l" in session.read(b"\x1b[?1049l"), "the alternate screen is left"
    assert session.ended() == 0
    assert session.lines() == ["closed", "left"]


def test_q_leaves_while_nothing_has_answered() -> None:
    session = Session("hold")
    session.read(b"Loading")
    os.write(session.terminal, b"q")
    assert session.ended() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_close_the_explorer_and_leave(number: signal.Signals) -> None:
    session = Session()
    session.read(b"because")
    os.kill(session.pid, number)
    session.read(b"\x1b[?1049l")
    assert session.ended() == 128 + number
    assert session.lines()[0] == "closed"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, None])
def test_where_the_person_was_is_saved_before_the_explorer_closes(number: signal.Signals | None) -> None:
    session = Session()
    session.read(b"L0.N20")
    os.write(session.terminal, b"\x1b[B\r")  # down, enter: the second neuron
    session.read(None)
    if number is None:
        os.write(session.terminal, b"q")
    else:
        os.kill(session.pid, number)
    session.ended()
    assert session.lines()[:2] == ["saved L0.N20", "closed"]


def test_a_terminal_that_is_gone_does_not_keep_the_process() -> None:
    session = Session()
    session.read(b"because")
    os.close(session.terminal)
    session.process.join(PATIENCE)
    assert session.process.exitcode is not None
    assert session.lines()[0] == "closed"


def test_a_terminal_that_went_without_a_signal_does_not_keep_the_process() -> None:
    session = Session(script=IMPATIENT, controls=False)
    session.read(b"because")
    os.close(session.terminal)
    session.process.join(PATIENCE)
    assert session.process.exitcode == 128 + signal.SIGHUP
    assert session.lines()[0] == "closed"


def test_a_signal_ends_an_app_whose_queue_is_stuck() -> None:
    session = Session(script=STUCK)
    session.read(b"because")
    os.write(session.terminal, b"!")
    assert os.read(session.log, 100) == b"stuck\n", "from here on the app handles nothing any more"
    os.kill(session.pid, signal.SIGTERM)
    assert session.ended() == 128 + signal.SIGTERM


def test_no_color_writes_no_colour() -> None:
    session = Session(NO_COLOR="1")
    written = session.read(b"because") + session.read(None)
    os.write(session.terminal, b"2")
    written += session.read(None)
    os.write(session.terminal, b"q")
    assert session.ended() == 0
    styles = {
        part for match in re.findall(rb"\x1b\[([0-9;]*)m", written) for part in match.split(b";") if part
    }
    assert styles
    assert styles <= {b"0", b"1", b"2", b"3", b"4", b"7", b"39", b"49"}
