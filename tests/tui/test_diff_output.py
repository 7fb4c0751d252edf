"""A terminal that is sent only what changed shows what the app shows."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import COLOR_SYSTEMS
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.drivers.headless_driver import HeadlessDriver
from textual.geometry import Size
from textual.strip import Strip

from tests.tui.canned import CannedExplorer
from tests.tui.idleness import pass_idle
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.terminal.diff_output import ONE_CELL, Cell, Part, TerminalContents, runs_of
from tui_lookups.visible import visible

SEQUENCE = re.compile(
    r"\x1b\[(\d+);(\d+)H|\x1b\[([0-9;]*)m|\x1b\[[?0-9;]*[a-zA-Z]|\x1b[\]P].*?(?:\x07|\x1b\\)", re.S
)


class Seen(NamedTuple):
    """How a cell was written, as codes of SGR."""

    attributes: frozenset[str]
    front: str
    back: str


PLAIN = Seen(frozenset(), "39", "49")
COLORS = re.compile(r"(?:[34]8;(?:5;\d+|2;\d+;\d+;\d+))|\d+")


def after(style: Seen, codes: str) -> Seen:
    """The style that codes of SGR leave."""
    for code in COLORS.findall(codes or "0"):
        if code == "0":
            style = PLAIN
        elif code.startswith(("3", "9")) and code != "3" and code != "9":
            style = style._replace(front=code)
        elif code.startswith(("4", "10")) and code != "4":
            style = style._replace(back=code)
        else:
            style = style._replace(attributes=style.attributes | {code})
    return style


class Terminal:
    """Cells as a terminal would show them: text, and its attributes, colour and ground."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], tuple[str, Seen]] = {}

    def feed(self, data: str) -> None:
        x = y = place = 0
        style = PLAIN
        while place < len(data):
            found = SEQUENCE.match(data, place)
            if found is not None:
                place = found.end()
                if found[1] is not None:
                    x, y = int(found[2]) - 1, int(found[1]) - 1
                elif found[3] is not None:
                    style = after(style, found[3])
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

    def seen(self) -> dict[tuple[int, int], tuple[str, Seen]]:
        """The cells; of a blank only what can be seen of it."""
        bare = {
            place: (text, Seen(frozenset(), "39", style.back))
            for place, (text, style) in self.cells.items()
            if text == " " and not style.attributes & {"4", "7", "9", "21", "53"}
        }
        return self.cells | bare


def drawn(app: LookupsApp) -> Terminal:
    """A terminal that was sent every line as it is composed, with all codes."""
    terminal = Terminal()
    for y, strip in enumerate(app.screen._compositor.render_strips(), 1):
        system = COLOR_SYSTEMS[app.console.color_system or "truecolor"]
        codes = (fresh(style).render(text, color_system=system) for text, style, _ in strip)
        terminal.feed(f"\x1b[{y};1H{''.join(codes)}")
    return terminal


def fresh(style: Style | None) -> Style:
    """The same style without the codes that Rich remembers of it, whatever console they were for."""
    names = ("color", "bgcolor", "bold", "dim", "italic", "underline", "reverse", "strike")
    return Style(**{name: getattr(style, name) for name in names}) if style is not None else Style.null()


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
        self.count += len(data.encode())
        self.terminal.feed(data)


async def quiet(driver: TerminalDriver) -> None:
    """Until nothing has been written for a while: for half a second by the app's clock."""
    last = -1
    while driver.count != last:
        last = driver.count
        await pass_idle(0.5)


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


@asynccontextmanager
async def on_a_terminal(width: int, height: int) -> AsyncIterator[tuple[LookupsApp, TerminalDriver]]:
    app = LookupsApp(CannedExplorer(hostile=False), theme="lookups-dark")
    app.driver_class = TerminalDriver
    task = asyncio.create_task(app.run_async(size=(width, height)))
    while not isinstance(app._driver, TerminalDriver):
        await asyncio.sleep(0)
    await quiet(app._driver)
    try:
        yield app, app._driver
    finally:
        app.exit()
        await task


async def test_what_the_terminal_shows_is_what_the_app_shows() -> None:
    choose = random.Random(3)
    async with on_a_terminal(100, 30) as (app, driver):
        for number in range(60):
            driver.process_message(events.Key(choose.choice(KEYS), None))
            await asyncio.sleep(0.03)
            if number % 20 == 19:
                size = choose.choice([Size(80, 24), Size(130, 40), Size(100, 50)])
                driver._size = (size.width, size.height)
                app.post_message(events.Resize(size, size))
            if number % 6 == 5:
                await quiet(driver)
                shown = ["".join(s.text for s in strip) for strip in app.screen._compositor.render_strips()]
                assert driver.terminal.lines(app.size) == shown, number
                looks, inside = drawn(app).seen(), app.screen.region
                found = {p: cell for p, cell in driver.terminal.seen().items() if inside.contains(*p)}
                assert {p: (found.get(p), cell) for p, cell in looks.items() if found.get(p) != cell} == {}


async def test_nothing_is_sent_twice() -> None:
    async with on_a_terminal(80, 24) as (app, driver):
        await quiet(driver)
        driver.count = 0
        app.screen.refresh(layout=True)
        await quiet(driver)
        assert driver.count < 100, "a repaint of what is there needs no bytes"
        app.action_redraw()
        await quiet(driver)
        assert driver.count > 80 * 24, "after a redraw everything is sent"


def piece(text: str, style: str = "default") -> list[Cell]:
    runs = runs_of(Strip([Segment(text, Style.parse(style))]), ColorSystem.TRUECOLOR)
    return [(character, look) for text, look in runs for character in text]


def parts(text: str, width: int) -> list[Cell]:
    runs = runs_of(Strip([Segment(text)]), ColorSystem.TRUECOLOR)
    return [Part(runs, place, width) for place in range(width)]


def test_only_cells_that_are_not_shown_so_are_sent() -> None:
    sent = TerminalContents()
    assert sent.take(0, 0, piece("one two three four five")) == [range(23)]
    assert sent.take(0, 0, piece("one two three four five")) == []
    assert sent.take(4, 0, piece("Two")) == [range(1)]
    assert sent.take(0, 0, piece("one two three four Five")) == [range(4, 5), range(19, 20)]
    assert sent.take(0, 0, piece("One two Three four Five")) == [range(9)], "going past 7 costs as much"
    assert sent.take(0, 0, piece("One", "red")) == [range(3)]
    assert sent.take(0, 1, piece("     ", "red")) == [range(5)]
    assert sent.take(0, 1, piece("     ", "bold blue")) == [], "of a blank only the ground is seen"
    assert sent.take(0, 1, piece("     ", "underline")) == [range(5)]
    sent.forget()
    assert sent.take(0, 1, piece("     ", "underline")) == [range(5)]


def test_what_may_be_drawn_in_another_width_is_sent_whole_and_forgotten_whole() -> None:
    sent = TerminalContents()
    assert sent.take(0, 0, parts("in 漢字", 7))
    assert not sent.take(0, 0, parts("in 漢字", 7))
    assert sent.take(5, 0, piece("across"))
    assert sent.take(0, 0, piece("in ")), "it may have been shifted"


def test_every_terminal_draws_a_cell_for_each_character_that_is_sent_by_itself() -> None:
    known = [chr(code) for code in range(0x10000) if ONE_CELL.fullmatch(chr(code))]
    assert len(known) > 900
    assert {character for character in known if cell_len(character) != 1} == set()
    assert all(visible(character) == character for character in known)


async def test_opening_a_screen_sends_at_most_25_kilobytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    sent = {}
    async with on_a_terminal(160, 45) as (app, driver):
        for key in ("w", "escape", "r", "escape", "A"):
            await quiet(driver)
            driver.count = 0
            driver.process_message(events.Key(key, None))
            await quiet(driver)
            sent[type(app.screen).__name__] = driver.count
    assert set(sent) == {"WhyScreen", "TraceScreen", "AtlasScreen", "WalkScreen"}
    assert max(sent.values()) <= 25_000, sent
    assert app.console.color_system == "truecolor", "each colour takes its most bytes"
