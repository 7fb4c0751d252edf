"""The app left open: `python -m benchmarks.left_open keys|neurons|idle [--count N]`. Not in the table.

1. `keys`: random keys, those that quit or leave for the shell excepted, on the demo model. `neurons`: one
   neuron after the other, its prompts and heads. Memory of the process after the first hundred, and at the
   end, once the app is at rest: at most 5 % more.
2. `idle`: the app at rest for so many seconds: bytes written (none) and seconds of processor (under 1 %).
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from textual import events

from benchmarks.measuring import reset_peak
from benchmarks.terminal_bytes import CountingDriver
from tui_lookups.explorer import Explorer
from tui_lookups.settings import load_settings
from tui_lookups.tui.app import LookupsApp

KEYS = (
    *"123456hjklnpabcdefgiovwyzAFHIKNPRSTYZ[]+-0!%?/ tm.",
    *("up", "down", "left", "right", "enter", "escape", "tab", "pageup", "pagedown", "home", "end", "ctrl+p"),
)
_NAMES = {
    "[": "left_square_bracket", "]": "right_square_bracket", "+": "plus", "-": "minus",
    "!": "exclamation_mark", "%": "percent_sign", "?": "question_mark", "/": "slash", " ": "space",
    ".": "full_stop",
}  # fmt: skip
_FIRST = 100
_MOST_GROWTH, _MOST_PROCESSOR = 0.05, 0.01
_PATIENCE, _SETTLED = 120.0, 10.0


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[LookupsApp, CountingDriver]]:
    """The app on the scanned demo, at rest."""
    explorer = Explorer(load_settings(model="demo", corpus="demo", cache_dir=folder))
    await asyncio.to_thread(explorer.scan)
    app = LookupsApp(explorer)
    app.driver_class = CountingDriver
    running = asyncio.create_task(app.run_async(size=(120, 40)))
    try:
        while not isinstance(app._driver, CountingDriver) or explorer.status().stage != "ready":
            await asyncio.sleep(0.05)
        await at_rest(app, app._driver)
        yield app, app._driver
    finally:
        app.exit()
        await running
        explorer.close()


async def at_rest(app: LookupsApp, driver: CountingDriver) -> None:
    """Until nothing is asked for and nothing is written."""
    end = time.monotonic() + _PATIENCE
    while app.walk_screen.queries.busy and time.monotonic() < end:
        await asyncio.sleep(0.05)
    await driver.until_quiet()


async def press(driver: CountingDriver, *keys: str) -> None:
    for key in keys:
        character = key if len(key) == 1 else None
        driver.process_message(events.Key(_NAMES.get(key, key), character))
        await asyncio.sleep(0.01)


async def keys(folder: Path, count: int) -> bool:
    """Random keys, always the same ones."""
    choose, found = random.Random(1), []
    async with opened(folder) as (app, driver):
        for number in range(1, count + 1):
            await press(driver, choose.choice(KEYS))
            if number % 20 == 0:
                await asyncio.sleep(0.1)
            if number in (_FIRST, count):
                await at_rest(app, driver)
                found.append(reset_peak())
    return _grew(f"{count:,} keys", found)


async def neurons(folder: Path, count: int) -> bool:
    """Neurons in order of layer and number, each with its prompts and the heads behind the first."""
    found = []
    async with opened(folder) as (app, driver):
        info = app.explorer.status().model
        assert info is not None
        for number in range(1, count + 1):
            layer, index = divmod(number * 7 % (info.n_layers * info.d_mlp), info.d_mlp)
            await press(driver, "t", *f"{layer}.{index}", "enter", "3")
            await at_rest(app, driver)
            await press(driver, "1")
            if number in (_FIRST, count):
                await at_rest(app, driver)
                found.append(reset_peak())
    return _grew(f"{count:,} neurons", found)


async def idle(folder: Path, seconds: int) -> bool:
    """Nobody presses a key."""
    async with opened(folder) as (_, driver):
        while time.monotonic() - driver.last < _SETTLED:  # what was begun at the start is done
            await asyncio.sleep(0.5)
        driver.count, start = 0, time.process_time()
        await asyncio.sleep(seconds)
        used, written = (time.process_time() - start) / seconds, driver.count
    print(f"{seconds} s left alone: {written:,} bytes written, {used:.2%} of a processor")
    return written == 0 and used < _MOST_PROCESSOR


def _grew(what: str, found: list[int]) -> bool:
    first, last = found
    growth = last / first - 1
    print(
        f"{what}: {first / 2**20:,.1f} MiB after the first {_FIRST}, "
        f"{last / 2**20:,.1f} at the end: {growth:+.1%}"
    )
    return growth <= _MOST_GROWTH


def main() -> int:
    """Run one of them; the exit status says whether it held."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("keys", "neurons", "idle"))
    parser.add_argument("--count", type=int, help="keys, neurons, or seconds")
    given = parser.parse_args()
    work, count = {"keys": (keys, 10_000), "neurons": (neurons, 1_000), "idle": (idle, 180)}[given.what]
    with tempfile.TemporaryDirectory() as folder:
        return 0 if asyncio.run(work(Path(folder), given.count or count)) else 1


if __name__ == "__main__":
    sys.exit(main())
