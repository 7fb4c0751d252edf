"""Bytes on the terminal: `python -m benchmarks.terminal_bytes [--size 80x24]`.

1. The app runs in this process on the demo model, on a driver that keeps what a terminal would be sent.
2. A walk of keys is pressed one after the other; each is given time until nothing more is written.
3. The table gives the bytes of every step and of a second of a running scan, as the app is by default and
   with --low-bandwidth. There is no bar: this is what a change is measured by.
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
    ("back to the neurons", "1"),
)
_QUIET_SECONDS = 0.6
_LONGEST_SECONDS = 240.0
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
                await asyncio.to_thread(driver.process_message, events.Key(key, None))
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
