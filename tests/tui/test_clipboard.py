"""Copying: through a real tmux that nobody has configured, and by OSC 52, bare and wrapped."""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.tui.canned import CannedExplorer
from tests.tui.driving import SMALL, hints, press, rest, running, until
from tui_lookups.errors import LookupsError
from tui_lookups.tui.terminal.clipboard import MAX_BASE64, load_tmux_buffer, osc52
from tui_lookups.tui.text.tsv import tsv

Tmux = Callable[..., str]


@pytest.fixture
def tmux(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tmux]:
    """A server of its own without configuration; TMUX names it, as for a program in one of its panes."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    socket = f"lookups-{uuid.uuid4().hex[:8]}"
    monkeypatch.delenv("TMUX", raising=False)

    def run(*arguments: str) -> str:
        command = ["tmux", "-L", socket, "-f", os.devnull, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    run("new-session", "-d", "-x", "80", "-y", "24", f"{sys.executable} -c 'import time; time.sleep(600)'")
    monkeypatch.setenv("TMUX", run("display-message", "-p", "#{socket_path},#{pid},0").strip())
    yield run
    run("kill-server")


async def test_in_tmux_what_is_copied_is_in_its_buffer(tmux: Tmux) -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "y")
        await until(lambda: "tmux" in hints(app), pilot)
        text = app.clipboard
        assert tmux("show-buffer") == text
        assert hints(app) == (
            f"Copied {len(text):,} characters to tmux, and to the clipboard if tmux passes them on."
        )
        assert len(hints(app)) <= SMALL[0] - 2


async def test_in_a_tmux_without_configuration_what_y_copied_is_pasted_as_a_table(
    tmux: Tmux, tmp_path: Path
) -> None:
    pasted = tmp_path / "pasted.tsv"
    async with running(CannedExplorer(hostile=True), SMALL) as (app, pilot):
        await press(pilot, "2", "Y")
        await until(lambda: "tmux" in hints(app), pilot)
        prompts = app.walk_screen.panes.prompts.body.table()
        tmux("new-window", f"stty -icanon; cat > {pasted}")
        await until(pasted.exists, pilot)
        tmux("paste-buffer")
        await until(lambda: pasted.read_text().count("\n") == len(prompts) - 1, pilot)
    lines = pasted.read_text().split("\n")
    assert lines[0].split("\t") == [*prompts[0]]
    assert [line.split("\t")[:2] for line in lines[1:]] == [[str(row[0]), str(row[1])] for row in prompts[1:]]
    assert {len(line.split("\t")) for line in lines} == {len(prompts[0])}, "no text leaves its cell"
    assert all(line.replace("\t", "").isprintable() for line in lines)


@pytest.mark.parametrize("pane", "1234")
async def test_every_pane_has_a_text_and_a_table(pane: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "3", "enter", pane)
        await rest(pilot)
        await press(pilot, "y")
        text = app.clipboard
        assert text
        await press(pilot, "Y")
        assert app.clipboard != text
        rows = [line.split("\t") for line in app.clipboard.split("\n")]
        assert len(rows) > 2
        assert {len(row) for row in rows} == {len(rows[0])} != {1}


def test_a_cell_holds_any_text() -> None:
    texts = ("plain", " because", "a\tb\n", "\x1b[31m", "\x9b2J", '"quoted"', "\u202eevil", "\ud800", "")
    line = tsv([(*texts, None, 3, 0.123456789)])
    cells = line.split("\t")
    assert cells[:2] == ["plain", " because"]
    assert [json.loads(cell) for cell in cells[2:8]] == [*texts[2:8]]
    assert cells[8:] == ["", "", "3", "0.123457"]


async def test_tmux_takes_what_is_too_long_for_a_terminal_and_hostile_text_as_it_is(tmux: Tmux) -> None:
    text = "\x1b]52;c;cm0=\x07 é \n" + "x" * MAX_BASE64
    assert await load_tmux_buffer(text)
    assert tmux("show-buffer") == text


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ('[ "$2" = -w ] && exit 1; cat > "$0.got"', "to tmux's buffer"),  # tmux before 3.2
        ("exit 1", ""),
        (None, ""),
    ],
    ids=["without -w", "no server", "no tmux"],
)
async def test_what_another_tmux_does_is_what_is_said(
    script: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "tmux"
    if script is not None:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(stat.S_IRWXU)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    else:
        monkeypatch.setenv("PATH", str(tmp_path))
    assert await load_tmux_buffer("text") == said
    if said:
        assert Path(f"{program}.got").read_text() == "text"


async def test_without_tmux_it_says_that_it_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "y")
        await until(lambda: hints(app).startswith("Sent"), pilot)
        assert hints(app) == f"Sent {len(app.clipboard)} characters to the terminal's clipboard (OSC 52)."


def test_bare_sequence() -> None:
    assert osc52("L5.N371", tmux=False) == f"\x1b]52;c;{base64.b64encode(b'L5.N371').decode()}\x07"


def test_tmux_gets_it_wrapped_with_every_escape_doubled() -> None:
    inner = osc52("é", tmux=False)
    wrapped = osc52("é", tmux=True)
    assert wrapped.startswith("\x1bPtmux;\x1b\x1b]52;")
    assert wrapped.endswith("\x1b\\")
    assert wrapped.removeprefix("\x1bPtmux;").removesuffix("\x1b\\").replace("\x1b\x1b", "\x1b") == inner


def test_text_that_would_leave_the_sequence_cannot() -> None:
    payload = osc52("\x07\x1b\\;rm", tmux=False)[len("\x1b]52;c;") : -1]
    assert payload.isascii()
    assert not set(payload) & {"\x07", "\x1b", ";"}


def test_too_long_is_refused() -> None:
    assert osc52("x" * (MAX_BASE64 * 3 // 4 - 2), tmux=False)
    with pytest.raises(LookupsError, match="too long"):
        osc52("x" * MAX_BASE64, tmux=False)


def test_lone_surrogates_do_not_break_it() -> None:
    assert osc52("\ud800", tmux=False)
