"""What a person waits for: the first paint, a key's answer, a neuron that was looked at before."""

from __future__ import annotations

import json
import os
import re
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.analysis_rows import bench_arguments
from benchmarks.keys import SIZE
from benchmarks.measuring import child, interleave, quantile
from benchmarks.registry import Bar, Figure, row
from benchmarks.workbench import Bench

_MARKER = "a widget"
_SKELETON = r"(?s)Token.*Neurons.*Prompts.*Heads.*\bhelp\b"
"""Token line, the titles of the panes and the footer with its keys: what is painted before is no skeleton."""
_MINIMAL = f"""
from textual.app import App, ComposeResult
from textual.widgets import Static

class Minimal(App[None]):
    def compose(self) -> ComposeResult:
        yield Static("{_MARKER}")

Minimal().run()
"""
_NEURON = r"L\d+\.N\d+"
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?<=>]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[P_^][^\x1b]*\x1b\\|.)")
_LONGEST_WAIT = 60.0
PRESSES = 40


def painted(output: bytes) -> str:
    """What was written to a terminal, without the escape sequences."""
    return _ESCAPES.sub("", output.decode("utf-8", "replace"))


def time_to_paint(command: Sequence[str], pattern: str, environment: dict[str, str]) -> tuple[float, bool]:
    """Start a program in a terminal of its own: seconds until `pattern` is painted, and whether torch was in.

    Raises RuntimeError when it ends, or a minute passes, without painting it.
    """
    import fcntl
    import pty
    import select
    import signal
    import struct
    import termios

    start = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
        os.execve(command[0], list(command), environment)
    output = b""
    try:
        while time.perf_counter() - start < _LONGEST_WAIT:
            ready, _, _ = select.select([terminal], [], [], 0.5)
            if not ready:
                continue
            try:
                output += os.read(terminal, 1 << 16)
            except OSError:  # Linux's end of file on a terminal
                break
            if re.search(pattern, painted(output)):
                return time.perf_counter() - start, _has_torch(pid)
        raise RuntimeError(f"{command[1:]} did not paint {pattern}: {painted(output)[-300:]!r}")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def _has_torch(pid: int) -> bool:
    maps = Path(f"/proc/{pid}/maps")
    return maps.exists() and "libtorch" in maps.read_text(encoding="utf-8", errors="replace")


def environment(cache_dir: Path) -> dict[str, str]:
    """A terminal with colours, and none of a person's own settings.

    Bytecode is kept where it belongs, as an installed package's is; what is missing, the warm-up writes.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOOKUPS_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    kept.pop("PYTHONPYCACHEPREFIX", None)
    nowhere = cache_dir / "config.toml"
    nowhere.parent.mkdir(parents=True, exist_ok=True)
    nowhere.touch()
    return kept | {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LOOKUPS_CONFIG": str(nowhere)}


def app_command(bench: Bench, folder: str, *more: str) -> list[str]:
    cache = str(bench.cache_dir / folder)
    return [
        sys.executable, "-m", "tui_lookups", "--model", bench.model_name, "--cache-dir", cache,
        "--device", bench.device, *more,
    ]  # fmt: skip


@row("first_paint")
def first_paint(bench: Bench) -> list[Figure]:
    """Until the skeleton stands, in a terminal of its own, against an app of one widget."""
    surroundings = environment(bench.cache_dir)
    torch_seen: list[bool] = []

    def ours() -> float:
        seconds, torch_in = time_to_paint(app_command(bench, "paint"), _SKELETON, surroundings)
        torch_seen.append(torch_in)
        return seconds

    def minimal() -> float:
        return time_to_paint([sys.executable, "-c", _MINIMAL], _MARKER, surroundings)[0]

    pairs = interleave(ours, minimal, bench.pairs)
    longer = [1 / ratio for ratio in pairs.ratios]
    milliseconds = [1e3 * statistics.median(side) for side in (pairs.ours, pairs.theirs)]
    loaded = float(sum(torch_seen))
    return [
        Figure(
            "first paint", "minimal Textual app", statistics.median(longer), "x", Bar("at most", 1.3),
            milliseconds[0], milliseconds[1], "ms", (min(longer), max(longer)),
        ),
        Figure(
            "starts that had torch in at first paint", "", loaded, "", Bar("at most", 0.0), loaded, None,
            f"of {len(torch_seen)}",
        ),
    ]  # fmt: skip


@row("cached_neurons")
def cached_neurons(bench: Bench) -> list[Figure]:
    """Until the neurons of a token that was asked for before are shown."""
    from tui_lookups.explorer import Explorer
    from tui_lookups.settings import load_settings

    explorer = Explorer(
        load_settings(model=bench.model_name, cache_dir=bench.cache_dir / "app", device=bench.device)
    )
    try:
        token = explorer.first_view().token.text
        explorer.neurons(token)
        explorer.scan()
    finally:
        explorer.close()
    surroundings = environment(bench.cache_dir)
    found = [
        time_to_paint(app_command(bench, "app", "--token", token), _NEURON, surroundings)
        for _ in range(bench.pairs + 1)
    ][1:]
    seconds = [1e3 * elapsed for elapsed, _ in found]
    with_torch = sum(torch_in for _, torch_in in found)
    return [
        Figure(
            "cached neurons shown", "", statistics.median(seconds), "ms", Bar("at most", 500.0),
            statistics.median(seconds), None, "ms", (min(seconds), max(seconds)),
            f"torch was in {with_torch} of {len(found)} times: it loads behind the first paint",
        )
    ]  # fmt: skip


@row("keys")
def keys(bench: Bench) -> list[Figure]:
    """Key to first write while a scan runs, and in the same app idle."""
    found = json.loads(child("keys", "--presses", str(PRESSES), *bench_arguments(bench)))
    scanning, idle = found["scanning"], found["idle"]
    answered = f"{len(scanning)} of {PRESSES} keys wrote something while scanning, {len(idle)} idle"
    return [
        Figure(
            f"key to first write, {name}", "the same app idle", quantile(scanning, share), "ms",
            Bar("at most", limit), quantile(scanning, share), quantile(idle, share), "ms", None, answered,
        )
        for name, share, limit in (("median", 0.5, 30.0), ("p95", 0.95, 100.0))
    ]  # fmt: skip


@row("reopen")
def reopen(bench: Bench) -> list[Figure]:
    """Opening the prompts of a neuron that was scanned and looked at before, by an explorer just made."""
    from tui_lookups.explorer import Explorer
    from tui_lookups.settings import load_settings

    settings = load_settings(model=bench.model_name, cache_dir=bench.cache_dir / "app", device=bench.device)
    explorer = Explorer(settings)
    try:
        neuron = explorer.first_view().neuron
        explorer.prompts(neuron)
    finally:
        explorer.close()
    seconds = []
    for _ in range(bench.pairs):
        explorer = Explorer(settings)
        try:
            start = time.perf_counter()
            explorer.prompts(neuron)
            seconds.append(1e3 * (time.perf_counter() - start))
        finally:
            explorer.close()
    median = statistics.median(seconds)
    note = "imports not counted; opening the cache and finding the model are"
    spread = (min(seconds), max(seconds))
    return [
        Figure(
            "reopening a scanned neuron",
            "",
            median,
            "ms",
            Bar("at most", 50.0),
            median,
            None,
            "ms",
            spread,
            note,
        )
    ]
