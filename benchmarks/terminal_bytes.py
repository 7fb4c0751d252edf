"""Bytes on the terminal: `python -m benchmarks.terminal_bytes [--size 80x24]`.

1. The app runs in this process on the demo model, on a driver that counts what a terminal would be sent.
2. A walk of keys is pressed one after the other, through every screen; each is given time until nothing
   more is written.
3. The table gives the bytes of every step and of a second of a running scan, as the app is by default and
   with --low-bandwidth. The bars of `python -m benchmarks` are for 160x45: the row is below.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import tempfile
import time
from pathlib import Path
from typing import Any

from textual import events
from textual.drivers.headless_driver import HeadlessDriver

from benchmarks.registry import Bar, Figure, row
from benchmarks.workbench import Bench

STEPS: tuple[tuple[str, str], ...] = (
    ("first screen", ""),
    ("next neuron", "down"),
    ("next neuron", "down"),
    ("prompts of a neuron", "enter"),
    ("next token", "right"),
    ("next token", "right"),
    ("next prompt", "down"),
    ("next prompt", "down"),
    ("heads", "enter"),
    ("next head", "left"),
    ("next head", "up"),
    ("what a head reads", "enter"),
    ("inputs of the neuron", "I"),
    ("back to the head", "escape"),
    ("ablation", "d"),
    ("back to the head", "escape"),
    ("explain", "e"),
    ("back to the head", "escape"),
    ("all heads", "W"),
    ("back to the head", "escape"),
    ("back to the neurons", "1"),
    ("why", "w"),
    ("its next row", "down"),
    ("back to the neurons", "escape"),
    ("atlas", "A"),
    ("its next layer", "down"),
    ("back to the neurons", "escape"),
    ("playground", "P"),
    ("a letter", "a"),
    ("its heads", "enter"),
    ("back to the neurons", "escape"),
    ("explained", "i"),
    ("back to the neurons", "escape"),
    ("mark", "space"),
    ("basket", "b"),
    ("back to the neurons", "escape"),
    ("help", "question_mark"),
    ("back to the neurons", "escape"),
    ("palette", "ctrl+p"),
    ("back to the neurons", "escape"),
    ("zoom", "Z"),
    ("all panes", "Z"),
)
_ONE_PROMPT = ("next prompt",)
_MOST_OF_A_PROMPT, _MOST_OF_A_SCREEN = 8_000, 25_000
_SIZE = (160, 45)
_QUIET_SECONDS = 0.6
_LONGEST_SECONDS = 60.0
_SCAN_SECONDS = 5.0


class CountingDriver(HeadlessDriver):
    """Composes and writes like a terminal's driver, and counts the bytes of what it would send."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.count = 0
        self.last = time.monotonic()

    @property
    def is_headless(self) -> bool:
        return False

    def write(self, data: str) -> None:
        self.count += len(data.encode("utf-8"))
        self.last = time.monotonic()

    async def until_quiet(self) -> int:
        """Wait until nothing is written any more; the bytes since the last time."""
        end = time.monotonic() + _LONGEST_SECONDS
        self.last = time.monotonic()
        while time.monotonic() - self.last < _QUIET_SECONDS and time.monotonic() < end:
            await asyncio.sleep(0.05)
        count, self.count = self.count, 0
        return count


async def measure(size: tuple[int, int], cache_dir: Path, *, low: bool) -> tuple[list[int], float]:
    """Bytes of every step on a finished index, and bytes a second of a running scan."""
    return await _steps(size, cache_dir, low=low), await _scanning(size, low=low)


async def _steps(size: tuple[int, int], cache_dir: Path, *, low: bool) -> list[int]:
    from tui_lookups.explorer import Explorer
    from tui_lookups.settings import load_settings
    from tui_lookups.tui.app import LookupsApp
    from tui_lookups.tui.state.options import Options

    explorer = Explorer(load_settings(model="demo", corpus="demo", cache_dir=cache_dir))
    await asyncio.to_thread(explorer.scan)
    app = LookupsApp(explorer, options=Options(low_bandwidth=low))
    app.driver_class = CountingDriver
    running = asyncio.create_task(app.run_async(size=size))
    found = []
    try:
        while not isinstance(app._driver, CountingDriver):
            await asyncio.sleep(0.05)
        driver = app._driver
        end = time.monotonic() + _LONGEST_SECONDS
        while explorer.status().stage != "ready" and time.monotonic() < end:
            await asyncio.sleep(0.05)
        for _, key in STEPS:
            if key:
                character = key if len(key) == 1 else None
                await asyncio.to_thread(driver.process_message, events.Key(key, character))
            await asyncio.sleep(_QUIET_SECONDS)
            while app.walk_screen.queries.busy and time.monotonic() < end:
                await asyncio.sleep(0.05)
            found.append(await driver.until_quiet())
    finally:
        app.exit()
        await running
        explorer.close()
    return found


async def _scanning(size: tuple[int, int], *, low: bool) -> float:
    with tempfile.TemporaryDirectory() as folder:
        try:
            return await _rate(size, Path(folder), low=low)
        finally:
            gc.collect()  # a scan that was left gives its folder back when it is collected: before it goes


async def _rate(size: tuple[int, int], folder: Path, *, low: bool) -> float:
    from tui_lookups.explorer import Explorer
    from tui_lookups.settings import load_settings
    from tui_lookups.tui.app import LookupsApp
    from tui_lookups.tui.state.options import Options

    explorer = Explorer(load_settings(model="demo", corpus="demo", cache_dir=folder, batch_tokens=512))
    app = LookupsApp(explorer, options=Options(low_bandwidth=low))
    app.driver_class = CountingDriver
    running = asyncio.create_task(app.run_async(size=size))
    try:
        end = time.monotonic() + _LONGEST_SECONDS
        while (scan := explorer.status().scan) is None or scan.prompts < scan.total_prompts // 10:
            if time.monotonic() > end:
                raise RuntimeError("the scan did not begin")
            await asyncio.sleep(0.05)
        driver = app._driver
        assert isinstance(driver, CountingDriver)
        driver.count, start = 0, time.monotonic()
        while time.monotonic() - start < _SCAN_SECONDS:
            scan = explorer.status().scan
            if scan is None or scan.state != "running":
                break
            await asyncio.sleep(0.05)
        return driver.count / (time.monotonic() - start)
    finally:
        app.exit()
        await running
        explorer.close()


@row("bytes")
def terminal_bytes(bench: Bench) -> list[Figure]:
    """What a key at 160x45 makes a terminal be sent: the next prompt, and the largest of all screens."""
    found = asyncio.run(_steps(_SIZE, bench.cache_dir / "app", low=False))
    prompts = [size for (what, _), size in zip(STEPS, found, strict=True) if what in _ONE_PROMPT]
    largest, screen = max(zip(found, (what for what, _ in STEPS), strict=True))
    return [
        Figure(name, "", float(size), "", Bar("at most", limit), float(size), None, "bytes", None, note)
        for name, size, limit, note in (
            ("bytes of the next prompt, 160x45", max(prompts), _MOST_OF_A_PROMPT, ""),
            ("bytes of opening a screen, 160x45", largest, _MOST_OF_A_SCREEN, f"the largest: {screen}"),
        )
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="80x24")
    parser.add_argument("--cache-dir", type=Path)
    given = parser.parse_args()
    width, _, height = given.size.partition("x")
    size = int(width), int(height)
    with tempfile.TemporaryDirectory() as folder:
        cache_dir = given.cache_dir or Path(folder)
        usual, usual_rate = asyncio.run(measure(size, cache_dir, low=False))
        low, low_rate = asyncio.run(measure(size, cache_dir, low=True))
    print(f"{given.size:<22} {'usual':>8} {'low':>8}")
    for (what, _), one, other in zip(STEPS, usual, low, strict=True):
        print(f"{what:<22} {one:8,} {other:8,}")
    print(f"{'all keys together':<22} {sum(usual[1:]):8,} {sum(low[1:]):8,}")
    print(f"{'a second of scanning':<22} {usual_rate:8,.0f} {low_rate:8,.0f}")


if __name__ == "__main__":
    main()
