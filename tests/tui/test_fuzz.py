"""Random keys and random sizes: nothing that is typed may raise.

1. Keys are every key the app binds anywhere, every printable character, and what moves and leaves more often;
   now and then the terminal takes another size, from far too small to very large.
2. Keys come in bursts, for people type ahead. Every so often each line on screen must be as wide as its
   widget and hold no control character.
3. A failure names the seed and the keys that led to it. `LOOKUPS_FUZZ_SEED=7` starts from another seed.

Exports go to a temporary folder whatever is typed as their path; quitting does nothing.
"""

from __future__ import annotations

import asyncio
import os
import random
import string
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from textual import events
from textual.keys import _character_to_key, key_to_character
from textual.pilot import Pilot

from tests.tui.bound_keys import default_keys
from tests.tui.canned import CannedExplorer
from tests.tui.test_hostile import check_widgets
from tui_lookups.exports import writing
from tui_lookups.exports.document import ExportDocument
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.state.opening import Opening

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer

SEED = int(os.environ.get("LOOKUPS_FUZZ_SEED", "1"))
_OFTEN = ("escape", "escape", "enter", "enter", "down", "up", "left", "right", "tab", "space")
_RESIZE_SHARE, _BURST, _CHECK_EVERY = 0.03, 4, 20


@pytest.fixture(autouse=True)
def stays_and_writes_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths are the test's own, and what leaves the app does not end the run."""

    async def stay(_app: LookupsApp) -> None:
        pass

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(LookupsApp, "action_quit", stay)


def every_key() -> tuple[str, ...]:
    """What the app binds, what can be typed, and what moves, in proportion."""
    bound = {part for _, key in default_keys() for part in key.split(",")}
    typed = {_character_to_key(character) for character in string.printable[:95]}
    moving = {"home", "end", "pageup", "pagedown", "backspace", "delete", "ctrl+c", "ctrl+u", "shift+tab"}
    once = sorted(bound | typed | moving)
    return (*once, *_OFTEN * (len(once) // 12))


def random_steps(seed: int, count: int) -> list[str | tuple[int, int]]:
    """Keys by name and sizes in cells."""
    chance, keys = random.Random(seed), every_key()
    return [
        (chance.randint(10, 250), chance.randint(4, 70))
        if chance.random() < _RESIZE_SHARE
        else chance.choice(keys)
        for _ in range(count)
    ]


async def drive(app: LookupsApp, steps: list[str | tuple[int, int]], seed: int) -> None:
    """Take the steps; a failure of the app or of a check names them."""
    done: list[str | tuple[int, int]] = []
    try:
        async with app.run_test(size=(80, 24)) as pilot:
            for number, step in enumerate(steps):
                done.append(step)
                await _take(pilot, step)
                if app._exception is not None:
                    break
                if number % _BURST == 0:
                    await pilot._wait_for_screen()
                if number % _CHECK_EVERY == 0:
                    check_widgets(app.screen)
            await pilot.pause()  # keys that came in are answered before the app is closed
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told with the keys that led to it
        pytest.fail(f"seed {seed}, after {len(done)} steps: {error!r}\nsteps = {done}")
    assert app._exception is None, f"seed {seed}: steps = {done}"


async def _take(pilot: Pilot[Any], step: str | tuple[int, int]) -> None:
    """As a terminal would send it, waiting for nothing."""
    if isinstance(step, tuple):
        await pilot.resize_terminal(*step)
        return
    character = key_to_character(step)
    driver = pilot.app._driver
    assert driver is not None
    driver.send_message(events.Key(step, character))
    await asyncio.sleep(0)


def keep_exports(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever path is typed, write into `folder`."""
    write = writing.write_export

    def into_folder(document: ExportDocument, path: Path, overwrite: bool = False) -> Path:
        return write(document, folder / (path.name[:40] or "unnamed"), overwrite)

    monkeypatch.setattr(writing, "write_export", into_folder)


def reopened(_model: str, _corpus: str) -> Explorer:
    return CannedExplorer(threads=True)


@pytest.mark.parametrize("seed", [SEED, SEED + 1])
async def test_random_keys_never_raise(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = CannedExplorer(threads=seed % 2 == 0)
    keep_exports(tmp_path, monkeypatch)
    app = LookupsApp(explorer, theme="lookups-dark", opening=Opening("demo", "demo", reopened))
    await drive(app, random_steps(seed, 100), seed)


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_ten_thousand_random_keys_on_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tui_lookups.explorer import Explorer
    from tui_lookups.settings import load_settings

    for name in [n for n in os.environ if n.startswith("LOOKUPS_") or n == "OPENAI_API_KEY"]:
        monkeypatch.delenv(name)  # nothing may be asked of anybody, and the cache is this test's own
    explorer = Explorer(load_settings(cache_dir=tmp_path / "cache", device="cpu", threads=1, offline=True))
    try:
        keep_exports(tmp_path, monkeypatch)
        app = LookupsApp(explorer, theme="lookups-dark")
        await drive(app, random_steps(SEED, 10_000), SEED)
    finally:
        explorer.close()
