"""The help screen at 80x24: everything on it can be read, a page is a page, and typing narrows it."""

from __future__ import annotations

import pytest

from tests.tui.canned import CannedExplorer
from tests.tui.driving import SMALL, press, running, settle, type_text
from tests.tui.views import texts
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.screens.help import HelpLine, HelpScreen, KeyRows, narrowed
from tui_lookups.tui.state.options import Options


async def test_a_page_down_scrolls_at_once_and_back() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "2", "question_mark")
        rows = app.screen.query_one(KeyRows)
        await press(pilot, "pagedown")
        assert rows.scroll_offset.y > rows.size.height // 2
        await press(pilot, *["pagedown"] * 9)
        assert rows.scroll_offset.y == rows.max_scroll_y
        assert rows.cursor == rows.row_count() - 1
        await press(pilot, "pageup")
        assert rows.scroll_offset.y < rows.max_scroll_y
        await press(pilot, *["pageup"] * 9)
        assert rows.scroll_offset.y == 0
        assert rows.cursor == 0


async def everything(app: LookupsApp, pilot: object) -> str:
    """All that can be scrolled to, as one text."""
    rows = app.screen.query_one(KeyRows)
    lines: list[str] = []
    for top in range(0, rows.row_count(), rows.size.height):
        rows.scroll_to(y=top, animate=False, immediate=True, force=True)
        await press(pilot)  # type: ignore[arg-type]
        region = rows.region
        lines += [line[region.x : region.right] for line in texts(app)[region.y : region.bottom]]
    return " ".join(" ".join(lines).split())


@pytest.mark.parametrize("pane", "1234")
async def test_no_tooltip_is_cut(pane: str) -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, pane, "question_mark")
        assert isinstance(app.screen, HelpScreen)
        assert "…" not in await everything(app, pilot)
        assert "..." not in await everything(app, pilot)


async def test_h_is_said_to_work_where_it_does() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "question_mark")
        assert isinstance(app.screen, HelpScreen)
        assert "from the neurons" in dict(app.screen.rows())["H"]
        assert "from any pane" in dict(app.screen.rows())["3"]


ROWS = (
    ("", "Prompts", ""),
    ("enter", "The heads behind this prompt's peak", "prompts.open"),
    ("S", "Prompts by their peak", "list.sort"),
    ("", "Anywhere", ""),
    ("s y", "Copy what is under the cursor", "walk.copy"),
    ("q", "Leave; the scan is checkpointed", "app.quit"),
)


@pytest.mark.parametrize(
    ("typed", "left"),
    [
        ("peak", ["", "enter", "S"]),
        ("PEAK heads", ["", "enter"]),
        ("enter", ["", "enter"]),
        ("list.sort", ["", "S"]),
        ("quit", ["", "q"]),
        ("s", ["", "s y", "", "enter", "S", "", "q"]),
        ("zebra", []),
        ("", [keys for keys, _, _ in ROWS]),
    ],
)
def test_rows_are_narrowed_by_key_name_and_description(typed: str, left: list[str]) -> None:
    assert [keys for keys, _, _ in narrowed(ROWS, typed)] == left


async def test_typing_narrows_and_escape_clears_then_closes() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "2", "question_mark")
        rows = app.screen.query_one(KeyRows)
        everything = rows.row_count()
        await type_text(pilot, "quit")
        assert rows.row_count() == 2
        await press(pilot, "question_mark")
        assert "No key is for that" in " ".join(texts(app))
        await press(pilot, "escape")
        assert rows.row_count() == everything
        await press(pilot, "escape")
        assert app.screen is app.walk_screen


async def test_the_key_that_opens_it_closes_it_while_nothing_is_typed() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "question_mark", "question_mark")
        assert app.screen is app.walk_screen


async def test_plain_text_begins_at_the_rows_and_what_is_typed_there_narrows_them() -> None:
    app = LookupsApp(CannedExplorer(hostile=False), options=Options(plain=True))
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        await press(pilot, "question_mark", "down")
        rows = app.screen.query_one(KeyRows)
        assert rows.has_focus
        await type_text(pilot, "plain")
        assert app.screen.query_one(HelpLine).value == "plain"
        assert 0 < rows.row_count() < 20
