"""A terminal that is sent only what changed shows what the app shows."""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any

from rich.cells import cell_len
from textual import events
from textual.drivers.headless_driver import HeadlessDriver
from textual.geometry import Size

from tests.tui.canned import CannedExplorer
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.terminal.diff_output import TerminalContents

SEQUENCE = re.compile(
    r"\x1b\[(\d+);(\d+)H|\x1b\[([0-9;]*)m|\x1b\[[?0-9;]*[a-zA-Z]|\x1b[\]P].*?(?:\x07|\x1b\\)", re.S
)


class Terminal:
    """Cells as a terminal would show them: text and the style it was written with."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], tuple[str, str]] = {}

    def feed(self, data: str) -> None:
        x = y = place = 0
        style = ""
        while place < len(data):
            found = SEQUENCE.match(data, place)
            if found is not None:
                place = found.end()
                if found[1] is not None:
                    x, y = int(found[2]) - 1, int(found[1]) - 1
                elif found[3] is not None:
                    style = "" if found[3] in ("", "0") else style + found[3]
                continue
            character = data[place]
            place += 1
            if character == "\n":
                continue
            width = cell_len(character)
            if width == 0:  # a mark on the cell before
                text, was = self.cells[x - 1, y]
                self.cells[x - 1, y] = (text + character, was)
                continue
            self.cells[x, y] = (character, style)
            for more in range(1, width):
                self.cells[x + more, y] = ("", style)
            x += width

    def lines(self, size: Size) -> list[str]:
        return [
            "".join(self.cells.get((x, y), (" ", ""))[0] for x in range(size.width))
            for y in range(size.height)
        ]


class TerminalDriver(HeadlessDriver):
    """Composes and writes like a terminal's driver, to a `Terminal`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.terminal = Terminal()
        self.count = 0

    @property
    def is_headless(self) -> bool:
        return False

    def write(self, data: str) -> None:
        self.count += len(data)
        self.terminal.feed(data)


async def quiet(driver: TerminalDriver) -> None:
    """Until nothing has been written for a while."""
    last, still = -1, 0
    while still < 10:
        await asyncio.sleep(0.05)
        still = still + 1 if driver.count == last else 0
        last = driver.count


KEYS = [
    "down",
    "up",
    "left",
    "right",
    "enter",
    "escape",
    "tab",
    "1",
    "2",
    "3",
    "4",
    "h",
    "n",
    "z",
    "v",
    "V",
    "m",
    "a",
    "space",
    "b",
    "C",
    "question_mark",
    "K",
    "t",
    "x",
    "ctrl+l",
    "slash",
    "P",
    "A",
]


async def test_what_the_terminal_shows_is_what_the_app_shows() -> None:
    app = LookupsApp(CannedExplorer(hostile=False), theme="lookups-dark")
    app.driver_class = TerminalDriver
    task = asyncio.create_task(app.run_async(size=(100, 30)))
    while not isinstance(app._driver, TerminalDriver):
        await asyncio.sleep(0.02)
    driver = app._driver
    await asyncio.sleep(0.5)
    choose = random.Random(3)
    try:
        for number in range(60):
            app._driver.process_message(events.Key(choose.choice(KEYS), None))
            await asyncio.sleep(0.03)
            if number % 20 == 19:
                size = choose.choice([Size(80, 24), Size(130, 40), Size(100, 50)])
                driver._size = (size.width, size.height)
                app.post_message(events.Resize(size, size))
            if number % 6 == 5:
                await quiet(driver)
                shown = ["".join(s.text for s in strip) for strip in app.screen._compositor.render_strips()]
                assert driver.terminal.lines(app.size) == shown, number
    finally:
        app.exit()
        await task


async def test_nothing_is_sent_twice() -> None:
    app = LookupsApp(CannedExplorer(hostile=False), theme="lookups-dark")
    app.driver_class = TerminalDriver
    task = asyncio.create_task(app.run_async(size=(80, 24)))
    while not isinstance(app._driver, TerminalDriver):
        await asyncio.sleep(0.02)
    driver = app._driver
    await asyncio.sleep(0.5)
    try:
        await quiet(driver)
        driver.count = 0
        app.screen.refresh(layout=True)
        await quiet(driver)
        assert driver.count < 100, "a repaint of what is there needs no bytes"
        app.action_redraw()
        await quiet(driver)
        assert driver.count > 80 * 24, "after a redraw everything is sent"
    finally:
        app.exit()
        await task


def test_a_piece_takes_the_place_of_those_it_overlaps() -> None:
    sent = TerminalContents()
    assert sent.take(0, 0, 10, "one")
    assert not sent.take(0, 0, 10, "one")
    assert sent.take(10, 0, 5, "two")
    assert sent.take(8, 0, 4, "across")
    assert sent.take(0, 0, 10, "one"), "its end was written over"
    assert sent.take(10, 0, 5, "two")
    assert not sent.take(0, 0, 10, "one")
    assert sent.take(0, 1, 10, "one"), "another row"
    sent.forget()
    assert sent.take(10, 0, 5, "two")
