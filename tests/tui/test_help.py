"""The help screen at 80x24: everything on it can be read, and a page is a page."""

from __future__ import annotations

import pytest

from tests.tui.canned import CannedExplorer
from tests.tui.driving import SMALL, press, running
from tests.tui.views import texts
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.screens.help import HelpScreen, KeyRows


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
