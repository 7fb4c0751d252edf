"""Driving the app on a canned explorer: sizes, keys, waiting, and what the bottom and other lines say."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from textual.pilot import Pilot

from tests.tui.canned import CannedExplorer
from tests.tui.idleness import let_pass
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.text import TextLines

PATIENCE = 120.0
SMALL, LARGE = (80, 24), (160, 45)
_SLOW = pytest.mark.slow
SIZES = pytest.mark.parametrize(
    "size", [SMALL, pytest.param((120, 26), marks=_SLOW), pytest.param((100, 50), marks=_SLOW), LARGE]
)
"""One of each layout."""
FEW_SIZES = pytest.mark.parametrize("size", [SMALL, pytest.param(LARGE, marks=_SLOW)])
"""One page at a time, and everything at once: for what does not depend on the layout further."""


@asynccontextmanager
async def running(
    explorer: CannedExplorer, size: tuple[int, int] = LARGE, token: str | None = None
) -> AsyncIterator[tuple[LookupsApp, Pilot[None]]]:
    app = LookupsApp(explorer, token=token, theme="lookups-dark")
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        yield app, pilot


async def settle(pilot: Pilot[None]) -> None:
    """Until answers have arrived and been painted."""
    for _ in range(3):
        await pilot.pause()


async def rest(pilot: Pilot[None]) -> None:
    """Until the cursor counts as at rest."""
    await let_pass(pilot, 0.3)
    await settle(pilot)


async def until(condition: Callable[[], object], pilot: Pilot[None]) -> None:
    """Until `condition` holds: for the model, the scan, an answer or a timer, however busy the machine is."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "the app did not get there"
        await pilot.pause(0.05)
    await settle(pilot)


async def press(pilot: Pilot[None], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
    await settle(pilot)


async def type_text(pilot: Pilot[None], text: str) -> None:
    await press(pilot, *("space" if c == " " else "quotation_mark" if c == '"' else c for c in text))


def line(app: LookupsApp, selector: str) -> str:
    return app.walk_screen.query_one(selector, TextLines).text


def hints(app: LookupsApp) -> str:
    return app.screen.query_one(Hints).text
