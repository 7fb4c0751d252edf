"""The app left open: `python -m benchmarks.left_open keys|neurons|idle [--count N] [--seed N]`.

Not in the table of `python -m benchmarks`.

1. Before anything is counted every screen is visited once, every key pressed once from every pane, and SciPy
   imported, which only an ablation of a head with active and inactive prompts does (25 MB): what a question
   imports, and a screen's first painting, come once and are no growth.
2. `keys`: random keys on the demo model, those that quit or leave for the shell excepted; after every twenty
   the screens over the walk are left, for a line that is typed into takes every key. `neurons`: one neuron
   after the other, its prompts and heads. Memory of the process after the first hundred, every five hundred
   from there, and at the end, each time once the app is at rest: at the end at most 5 % more.
3. At rest: no screen waits for an answer, the model's thread works on nothing that was given up (a forward
   pass holds 30 MB) and has had its second to give back what passes left, and nothing is written.
4. `idle`: the app at rest for so many seconds: bytes written (none) and seconds of processor (under 1 %).
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import random
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from textual import events

from benchmarks.measuring import reset_peak
from benchmarks.terminal_bytes import STEPS, CountingDriver
from tui_lookups.explorer import Explorer
from tui_lookups.settings import load_settings
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.state.layouts import PANES

KEYS = (
    *"123456hjklnpabcdefgiovwyzAFHIKNPRSTYZ[]+-0!%?/ tm.",
    *("up", "down", "left", "right", "enter", "escape", "tab", "pageup", "pagedown", "home", "end", "ctrl+p"),
)
_NAMES = {
    "[": "left_square_bracket", "]": "right_square_bracket", "+": "plus", "-": "minus",
    "!": "exclamation_mark", "%": "percent_sign", "?": "question_mark", "/": "slash", " ": "space",
    ".": "full_stop",
}  # fmt: skip
_FIRST, _EVERY = 100, 500
_AT_A_TIME = 20  # keys
_ESCAPE_SECONDS = 0.5
_MOST_GROWTH, _MOST_PROCESSOR = 0.05, 0.01
_PATIENCE, _SETTLED = 120.0, 10.0
_GIVEN_BACK = 1.5
"""Seconds after which the model's thread has given memory back."""


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
    """Until step 3 holds."""
    end = time.monotonic() + _PATIENCE
    while _works(app) and time.monotonic() < end:
        await asyncio.sleep(0.05)
    await driver.until_quiet()


def _works(app: LookupsApp) -> bool:
    asks = any(thread.name == "lookups-question" for thread in threading.enumerate())
    return asks or app.walk_screen.queries.busy or not app.explorer._engine.thread.idle


async def visit(app: LookupsApp, driver: CountingDriver) -> None:
    """Every screen, and every key from every pane."""
    for _, key in STEPS:
        await press(driver, *filter(None, [key]))
        await at_rest(app, driver)
    for pane in range(1, 1 + len(PANES)):
        for key in KEYS:
            await leave(app, driver)
            await press(driver, str(pane), key)
    await leave(app, driver)
    await at_rest(app, driver)
    importlib.import_module("scipy.stats")  # which the first head with prompts of both kinds brings


async def leave(app: LookupsApp, driver: CountingDriver) -> None:
    """Back to the walk, from whatever lies over it."""
    end = time.monotonic() + _PATIENCE
    await asyncio.sleep(0.1)
    while (over := len(app.screen_stack)) > 1:
        if time.monotonic() > end:
            raise RuntimeError(f"{app.screen} cannot be left")
        await press(driver, "escape")
        another = time.monotonic() + _ESCAPE_SECONDS  # the first may only have stopped something
        while len(app.screen_stack) == over and time.monotonic() < another:
            await asyncio.sleep(0.02)


async def press(driver: CountingDriver, *keys: str) -> None:
    for key in keys:
        character = key if len(key) == 1 else None
        driver.process_message(events.Key(_NAMES.get(key, key), character))
        await asyncio.sleep(0.01)


async def keys(folder: Path, count: int, seed: int = 1) -> bool:
    """Random keys, the same ones each time that a seed is given."""
    choose, found = random.Random(seed), []
    async with opened(folder) as (app, driver):
        await visit(app, driver)
        for number in range(1, count + 1):
            await press(driver, choose.choice(KEYS))
            if number % _AT_A_TIME == 0:
                await leave(app, driver)
            if _is_measured(number, count):
                await at_rest(app, driver)
                await asyncio.sleep(_GIVEN_BACK)
                found.append(reset_peak())
    return _grew(f"{count:,} keys", found)


async def neurons(folder: Path, count: int) -> bool:
    """Neurons in order of layer and number, each with its prompts and the heads behind the first."""
    found = []
    async with opened(folder) as (app, driver):
        await visit(app, driver)
        info = app.explorer.status().model
        assert info is not None
        for number in range(1, count + 1):
            layer, index = divmod(number * 7 % (info.n_layers * info.d_mlp), info.d_mlp)
            await press(driver, "t", *f"{layer}.{index}", "enter", "3")
            await at_rest(app, driver)
            await press(driver, "1")
            if _is_measured(number, count):
                await at_rest(app, driver)
                await asyncio.sleep(_GIVEN_BACK)
                found.append(reset_peak())
    return _grew(f"{count:,} neurons", found)


def _is_measured(number: int, count: int) -> bool:
    return number in (_FIRST, count) or (number > _FIRST and number % _EVERY == 0)


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
    growth = found[-1] / found[0] - 1
    sizes = ", ".join(f"{size / 2**20:,.1f}" for size in found)
    print(f"{what}: MiB after the first {_FIRST}, every {_EVERY}, and at the end: {sizes} ({growth:+.1%})")
    return growth <= _MOST_GROWTH


def main() -> int:
    """Run one of them; the exit status says whether it held."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("keys", "neurons", "idle"))
    parser.add_argument("--count", type=int, help="keys, neurons, or seconds")
    parser.add_argument("--seed", type=int, default=1, help="of the random keys")
    given = parser.parse_args()
    works: dict[str, tuple[Callable[[Path, int], Coroutine[Any, Any, bool]], int]] = {
        "keys": (partial(keys, seed=given.seed), 10_000),
        "neurons": (neurons, 1_000),
        "idle": (idle, 180),
    }
    work, count = works[given.what]
    with tempfile.TemporaryDirectory() as folder:
        return 0 if asyncio.run(work(Path(folder), given.count or count)) else 1


if __name__ == "__main__":
    sys.exit(main())
