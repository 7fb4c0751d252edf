"""The real app on the packaged demo: the walk by keyboard, and leaving it at any moment."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from tests.faults.processes import start_anew
from tests.small_corpora import first_passages
from tests.tui.driving import PATIENCE, until
from tests.tui.pseudo_terminal import take_terminal
from tui_lookups import cli
from tui_lookups.explorer import Explorer
from tui_lookups.exports.reading import read_export
from tui_lookups.settings import load_settings
from tui_lookups.storage.arrays import ArrayFolder
from tui_lookups.storage.index import ScanManifest
from tui_lookups.tui.app import LookupsApp

pytestmark = pytest.mark.usefixtures("once_loaded", "quick_waits")

PASSAGES = 24


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_the_walk_on_the_real_model(
    size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    explorer = Explorer(
        load_settings(
            cache_dir=tmp_path / "cache",
            corpus=str(first_passages(tmp_path / "few.jsonl", PASSAGES)),
            device="cpu",
            threads=1,
        )
    )
    app = LookupsApp(explorer, theme="lookups-dark")
    try:
        async with app.run_test(size=size) as pilot:
            walk = app.walk_screen.walk
            # Opens on something worth seeing without a key pressed, and gets better as the scan goes on.
            await until(lambda: walk.neuron is not None and walk.prompts is not None, pilot)
            await until(lambda: walk.prompts.complete, pilot)

            await pilot.press("t", "space", *"because", "enter")
            await until(lambda: walk.token is not None and walk.token.text == " because", pilot)
            await until(lambda: walk.ranking is not None and walk.ranking.token == walk.token, pilot)
            best = explorer.neurons(" because", top=1).neurons[0].neuron
            await pilot.press("enter")
            await until(lambda: walk.neuron == best and walk.prompts is not None, pilot)
            await pilot.press("2", "space", "enter")
            await until(lambda: walk.heads is not None, pilot)
            assert walk.heads == explorer.heads(best, prompt=1)
            await pilot.press("space")
            assert len(app.selection) == 2
            await pilot.press("x")
            await pilot.press("enter")
            await until(lambda: list(tmp_path.glob("lookups-export-*.json")), pilot)
            await pilot.press("escape", "q")
    finally:
        explorer.close()
    document = read_export(next(tmp_path.glob("lookups-export-*.json")))
    assert document.prompts[0].neuron == best
    assert document.heads[0].attributions is not None


def environment() -> dict[str, str]:
    """Small batches, and no checkpoint but the one written on leaving."""
    clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TMUX")}
    return clean | {
        "TERM": "xterm-256color", "LOOKUPS_CHECKPOINT_SECONDS": "1000", "LOOKUPS_BATCH_TOKENS": "256",
        "LOOKUPS_CONFIG": "", "COLUMNS": "100", "LINES": "30",
    }  # fmt: skip


def flags(cache: Path, corpus: Path) -> list[str]:
    return ["--cache-dir", str(cache), "--corpus", str(corpus), "--device", "cpu", "--threads", "1"]


def start_from_nothing(arguments: list[str]) -> tuple[int, int]:
    """`python -m tui_lookups` in a pseudo-terminal of its own: (pid, terminal)."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-m", "tui_lookups", *arguments], environment())
    return pid, terminal


def start_imported(arguments: list[str]) -> tuple[BaseProcess, int]:
    """The same command in a process that has the libraries already: importing them takes seconds."""
    terminal, theirs = pty.openpty()
    app = start_anew(_on_terminal, os.ttyname(theirs), arguments, environment())
    return app, terminal


def _on_terminal(name: str, arguments: list[str], environment: dict[str, str]) -> None:
    """The command on a terminal that becomes this process's own; ends it with its status."""
    take_terminal(name, environment)
    sys.argv[1:] = arguments
    cli.main()


def read_until(terminal: int, wanted: Callable[[bytes], bool]) -> bytes:
    seen, end = b"", time.monotonic() + PATIENCE
    while not wanted(seen):
        assert time.monotonic() < end, seen[-2000:]
        if select.select([terminal], [], [], 0.1)[0]:
            seen += os.read(terminal, 65536)
    return seen


def wait(status: Callable[[], int | None], terminal: int) -> int:
    """The exit status; what the app still writes is read, so that it does not block."""
    end = time.monotonic() + PATIENCE
    while (found := status()) is None:
        assert time.monotonic() < end, "the app did not end"
        if select.select([terminal], [], [], 0.05)[0]:
            try:
                os.read(terminal, 65536)
            except OSError:
                time.sleep(0.02)
    return found


def status_of(pid: int) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def progress(cache: Path) -> int:
    """How many batches its only checkpoint holds (that one is resumed: test_end_to_end.py)."""
    (folder,) = (path.parent for path in (cache / "indexes").glob("*/manifest.json"))
    committed = ArrayFolder(folder).manifest()
    assert committed is not None
    manifest = ScanManifest.from_plain(committed.description)
    assert manifest.kind == "checkpoint"
    return manifest.next_batch


@pytest.mark.parametrize("how", ["q", "SIGHUP", pytest.param("SIGTERM", marks=pytest.mark.slow)])
def test_leaving_during_the_scan_keeps_its_work(how: str, tmp_path: Path) -> None:
    """The only checkpoint is the one written on leaving: the interval is set beyond the test's end."""
    corpus = tmp_path / "more.txt"
    corpus.write_text("\n\n".join(f"{n}. " + "Not one of them knew why, because. " * 12 for n in range(400)))
    app, terminal = start_imported(flags(tmp_path / "cache", corpus))
    read_until(
        terminal, lambda seen: b"scan" in seen and b"%" in seen and b" 0%" not in seen.split(b"scan")[-1][:40]
    )
    if how == "q":
        os.write(terminal, b"q")
    else:
        assert app.pid is not None
        os.kill(app.pid, getattr(signal, how))
    assert wait(lambda: app.exitcode, terminal) == (0 if how == "q" else 128 + getattr(signal, how))
    assert progress(tmp_path / "cache") > 0


def test_leaving_while_torch_is_imported(tmp_path: Path) -> None:
    arguments = flags(tmp_path / "cache", first_passages(tmp_path / "few.jsonl", PASSAGES))
    pid, terminal = start_from_nothing(arguments)
    read_until(terminal, lambda seen: b"loading" in seen)
    os.write(terminal, b"q")
    assert wait(lambda: status_of(pid), terminal) == 0
