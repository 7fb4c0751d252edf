"""Key to first write: the app in this process on a driver that notes when something is written.

`Pilot.press` polls for a constant 60 ms, so keys are posted as a terminal's input thread posts them, and
the time to the next write of the compositor is taken.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from textual import events
from textual.drivers.headless_driver import HeadlessDriver

from benchmarks.workbench import Bench

SIZE = (160, 45)
_MOVES = ("down", "down", "up", "down")
_BETWEEN = 0.15
_LONGEST_WAIT = 120.0


class RecordingDriver(HeadlessDriver):
    """Composes and writes like a terminal's driver, to a list of (time, characters)."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.writes: list[tuple[float, int]] = []

    @property
    def is_headless(self) -> bool:
        return False

    def write(self, data: str) -> None:
        self.writes.append((time.perf_counter(), len(data)))


def first_writes(presses: Sequence[float], writes: Sequence[tuple[float, int]]) -> list[float]:
    """Milliseconds from each press to the first write after it and before the next press."""
    ends = [*presses[1:], float("inf")]
    found = []
    for start, end in zip(presses, ends, strict=True):
        after = [moment for moment, size in writes if size and start <= moment < end]
        if after:
            found.append(1e3 * (after[0] - start))
    return found


def measure_keys(bench: Bench, presses: int) -> dict[str, object]:
    """Latencies in milliseconds: "scanning" while a scan runs, "idle" when it is done."""
    corpus = bench.cache_dir / "long.jsonl"
    _write_corpus(corpus, copies=8)
    scanning = asyncio.run(_press(bench, str(corpus), presses, "running"))
    return {"scanning": scanning, "idle": asyncio.run(_press(bench, "demo", presses, "done"))}


def _write_corpus(path: Path, copies: int) -> None:
    """The packaged passages several times over, each with a number in front: long enough to be scanning."""
    import json

    from tui_lookups.corpus.readers import open_source

    with path.open("w", encoding="utf-8") as file:
        for copy in range(copies):
            for document in open_source("demo").documents():
                file.write(json.dumps({"text": f"{copy}. {document.text}"}) + "\n")


async def _press(bench: Bench, corpus: str, presses: int, state: str) -> list[float]:
    from tui_lookups.explorer import Explorer
    from tui_lookups.settings import load_settings
    from tui_lookups.tui.app import LookupsApp
    from tui_lookups.tui.widgets.neurons_table import NeuronsTable

    settings = load_settings(
        model=bench.model_name,
        corpus=corpus,
        cache_dir=bench.cache_dir / "app",
        device=bench.device,
        threads=bench.threads,
    )
    explorer = Explorer(settings)
    app = LookupsApp(explorer, theme="lookups-dark")
    app.driver_class = RecordingDriver
    running = asyncio.create_task(app.run_async(size=SIZE))
    try:

        def there() -> bool:
            scan = explorer.status().scan
            return scan is not None and scan.state == state and app.walk_screen.walk.ranking is not None

        await _until(there, running)
        await asyncio.sleep(1.0)
        app.walk_screen.query_one(NeuronsTable).focus()
        await asyncio.sleep(0.5)
        driver = app._driver
        assert isinstance(driver, RecordingDriver)
        starts: list[float] = []
        for number in range(presses):
            starts.append(time.perf_counter())
            # From another thread, as a terminal's keys arrive.
            key = events.Key(_MOVES[number % len(_MOVES)], None)
            await asyncio.to_thread(driver.process_message, key)
            await asyncio.sleep(_BETWEEN)
        scan = explorer.status().scan
        if scan is None or scan.state != state:
            raise RuntimeError(f"the scan was not {state} to the end")
        return first_writes(starts, driver.writes)
    finally:
        app.exit()
        await running
        explorer.close()


async def _until(condition: Callable[[], bool], running: asyncio.Task[Any]) -> None:
    deadline = time.monotonic() + _LONGEST_WAIT
    while True:
        if running.done():
            raise RuntimeError("the app ended")
        try:
            if condition():
                return
        except IndexError:  # no screen yet
            pass
        if time.monotonic() > deadline:
            raise RuntimeError("the app did not come so far")
        await asyncio.sleep(0.05)
