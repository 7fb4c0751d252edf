"""A terminal that is sent only what changed shows what the app shows."""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any

import pytest
from rich.cells import cell_len
from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.drivers.headless_driver import HeadlessDriver
from textual.geometry import Size
from textual.strip import Strip

from tests.tui.canned import CannedExplorer
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.terminal.diff_output import TerminalContents, cells_of
from tui_lookups.tui.terminal.pens import NEW, change, pen_of

SEQUENCE = re.compile(
    r"\x1b\[(\d+)(?:;(\d+))?H|\x1b\[([0-9;]*)m|\x1b\[(\d+)C|\x1b\[[?0-9;]*[a-zA-Z]|\x1b[\]P].*?(?:\x07|\x1b\\)",
    re.S,
)
_OFF = {22: (1, 2), 23: (3,), 24: (4, 21), 25: (5, 6), 27: (7,), 28: (8,), 29: (9,)}


class Pen:
    """What SGR sequences have set."""

    def __init__(self) -> None:
        self.on: set[int] = set()
        self.front = self.back = ""

    def take(self, codes: str) -> None:
        numbers = [int(code or 0) for code in codes.split(";")]
        while numbers:
            code = numbers.pop(0)
            if code == 0:
                self.__init__()  # type: ignore[misc]
            elif code in (38, 48):
                count = 4 if numbers[0] == 2 else 2
                color, numbers = f"{code - 8}:{numbers[:count]}", numbers[count:]
                self._color(code, color)
            elif 30 <= code <= 49 or 90 <= code <= 107:
                self._color(code, "" if code in (39, 49) else str(code))
            elif code in _OFF:
                self.on -= set(_OFF[code])
            else:
                self.on.add(code)

    def _color(self, code: int, color: str) -> None:
        if 40 <= code <= 49 or code >= 100:
            self.back = color
        else:
            self.front = color

    def on_cell(self, text: str) -> tuple[object, ...]:
        """What is seen of it: an empty cell has no foreground, and is neither bold nor slanted."""
        if text != " " or self.on - {1, 2, 3, 8}:
            return (frozenset(self.on), self.front, self.back)
        return (self.back,)


class Terminal:
    """Cells as a terminal would show them: text, and what is seen of the pen it was written with."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], tuple[str, tuple[object, ...]]] = {}
        self._pen = Pen()

    def feed(self, data: str) -> None:
        x = y = place = 0
        while place < len(data):
            found = SEQUENCE.match(data, place)
            if found is not None:
                place = found.end()
                if found[1] is not None:
                    x, y = int(found[2] or 1) - 1, int(found[1]) - 1
                elif found[3] is not None:
                    self._pen.take(found[3])
                elif found[4] is not None:
                    x += int(found[4])
                continue
            character = data[place]
            place += 1
            if character == "\n":
                continue
            width, style = cell_len(character), self._pen.on_cell(character)
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


def as_composed(app: LookupsApp) -> Terminal:
    """A terminal that is sent every line of the screen, each word with its style and a reset."""
    terminal = Terminal()
    for y, strip in enumerate(app.screen._compositor.render_strips()):
        terminal.feed(f"\x1b[{y + 1};1H" + strip.render(app.console))
    return terminal


@pytest.mark.parametrize("theme", ["lookups-dark", "ansi-dark"])
async def test_what_the_terminal_shows_is_what_the_app_shows(theme: str) -> None:
    app = LookupsApp(CannedExplorer(hostile=False), theme=theme)
    app.driver_class = TerminalDriver
    task = asyncio.create_task(app.run_async(size=(100, 30)))
    while not isinstance(app._driver, TerminalDriver):
        await asyncio.sleep(0.02)
    driver = app._driver
    await asyncio.sleep(0.5)
    choose = random.Random(3)
    try:
        for number in range(48):
            app._driver.process_message(events.Key(choose.choice(KEYS), None))
            await asyncio.sleep(0.03)
            if number % 16 == 15:
                size = choose.choice([Size(80, 24), Size(130, 40), Size(100, 50)])
                driver._size = (size.width, size.height)
                app.post_message(events.Resize(size, size))
            if number % 6 == 5:
                await quiet(driver)
                shown = as_composed(app)
                assert driver.terminal.lines(app.size) == shown.lines(app.size), number
                cells = ((x, y) for y in range(app.size.height) for x in range(app.size.width))
                wrong = [at for at in cells if driver.terminal.cells.get(at) != shown.cells[at]]
                assert not wrong, (
                    number,
                    wrong[0],
                    driver.terminal.cells.get(wrong[0]),
                    shown.cells[wrong[0]],
                )
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


def taken(sent: TerminalContents, x: int, y: int, text: str, bold: bool = False) -> list[tuple[int, str]]:
    """The runs of a text that are sent at a place."""
    strip = Strip([Segment(text, Style(bold=True) if bold else None)])
    runs = sent.take(x, y, cells_of(strip, ColorSystem.TRUECOLOR))
    return [(start, "".join(letter for letter, _ in cells)) for start, cells in runs]


def test_of_a_piece_the_cells_that_are_others_are_sent() -> None:
    sent = TerminalContents()
    assert taken(sent, 0, 0, "one two three") == [(0, "one two three")]
    assert taken(sent, 0, 0, "one two three") == []
    assert taken(sent, 0, 0, "one two threw") == [(12, "w")]
    assert taken(sent, 2, 0, "E TWO") == [(2, "E TWO")], "across what two pieces left"
    assert taken(sent, 0, 0, "on. two threw!") == [(2, ". two"), (13, "!")], "near changes go together"
    assert taken(sent, 0, 0, "on. two threw!", bold=True) == [(0, "on. two threw!")], "in another style"
    assert taken(sent, 0, 1, "on") == [(0, "on")], "another row"
    sent.forget()
    assert taken(sent, 0, 1, "on") == [(0, "on")]


def test_text_that_is_wider_than_its_letters_goes_with_its_row() -> None:
    sent = TerminalContents()
    assert taken(sent, 0, 0, "ab漢字cd") == [(0, "ab漢字cd")]
    assert taken(sent, 0, 0, "ab漢字cd") == []
    assert taken(sent, 0, 0, "ab漢字ce") == [(0, "ab漢字ce")], "nobody knows where a terminal has the e"
    assert taken(sent, 3, 0, "xxxxx") == [(3, "xxxxx")]
    assert taken(sent, 0, 0, "ab漢") == [(0, "ab漢")], "the half that was left of it is gone"


def codes(*styles: str) -> list[str]:
    """What is written to go from each of these styles to the next, the first from none."""
    pen, found = NEW, []
    for style in styles:
        written, pen = change(pen, pen_of(Style.parse(style), ColorSystem.TRUECOLOR))
        found.append(written)
    return found


def test_from_one_style_to_the_next_only_what_differs_is_written() -> None:
    assert codes("bold red on blue", "red on blue", "green on blue", "underline green", "") == [
        "\x1b[1;31;44m",
        "\x1b[22m",
        "\x1b[32m",
        "\x1b[4;49m",
        "\x1b[24;39m",
    ]
    assert codes("bold", "dim", "bold italic") == ["\x1b[1m", "\x1b[22;2m", "\x1b[22;1;3m"]
    blank = pen_of(Style.parse("bold red on blue"), ColorSystem.TRUECOLOR).on_blanks()
    assert change(NEW, blank)[0] == "\x1b[44m", "of a blank only the background is seen"
    drawn = pen_of(Style.parse("underline red"), ColorSystem.TRUECOLOR)
    assert change(drawn, NEW.on_blanks())[0] == "\x1b[24m", "no line below what follows"
    assert drawn.on_blanks() == drawn
