"""Plain text for screen readers, and as few bytes as possible."""

from __future__ import annotations

import re

from tests.tui.canned import CannedExplorer
from tests.tui.driving import FEW_SIZES, LARGE, SMALL, press, rest, settle, type_text
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.state.options import Options
from tui_lookups.tui.widgets.head_grid import HeadGrid
from tui_lookups.tui.widgets.neurons_table import NeuronsTable
from tui_lookups.tui.widgets.status_line import LOW_SECONDS, StatusLine
from tui_lookups.tui.widgets.token_box import CandidateList

DRAWN = re.compile("[\u2500-\u259f▸▾●]")
"""Boxes, blocks and marks."""


def screen_lines(app: LookupsApp) -> list[str]:
    """What is on the screen, line by line."""
    return ["".join(s.text for s in strip) for strip in app.screen._compositor.render_strips()]


@FEW_SIZES
async def test_plain_panes_are_words_without_boxes_bars_or_colour(size: tuple[int, int]) -> None:
    app = LookupsApp(CannedExplorer(hostile=False), options=Options(plain=True))
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        for keys, said in (
            ((), "> L5.N371, congruence 6.12, cosine 0.71, rank 1, top token"),
            (("enter",), '> prompt 1, activation 4.31 at " but"'),
            (("enter",), "> 1. L3.H2, attribution +1.92, active"),
            (("enter",), "> attribution "),
            (("b",), ""),
        ):
            await press(pilot, *keys)
            await rest(pilot)
            lines = screen_lines(app)
            text = "\n".join(line for line in lines if "│" not in line)
            assert not DRAWN.search(text), DRAWN.findall(text)
            assert any(line.startswith(said) for line in lines), lines
        assert app.animation_level == "none"
        assert app.palette.depth == "words"
        assert len(set(app.palette.scale)) == 1


async def test_the_terminals_cursor_is_on_the_row() -> None:
    app = LookupsApp(CannedExplorer(), options=Options(plain=True))
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        await press(pilot, "down", "down")
        assert screen_lines(app)[app.cursor_position.y].startswith("> ")


async def test_a_key_switches_to_plain_text_and_back_in_place() -> None:
    app = LookupsApp(CannedExplorer())
    async with app.run_test(size=LARGE) as pilot:
        await settle(pilot)
        before = screen_lines(app)
        await press(pilot, "3")
        await rest(pilot)
        head = app.screen.query_one(HeadGrid).head
        await press(pilot, "V")
        assert app.walk_screen.size_class == "narrow"
        assert app.screen.query_one(HeadGrid).head == head, "the cursor stays"
        await press(pilot, "down")
        assert app.screen.query_one(HeadGrid).head != head
        await press(pilot, "V", "1")
        await pilot.pause(0.3)
        assert app.walk_screen.size_class == "wide"
        assert [line[:48] for line in screen_lines(app)[5:20]] == [line[:48] for line in before[5:20]]


async def test_a_list_is_copied_as_a_table() -> None:
    app = LookupsApp(CannedExplorer())
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        await press(pilot, "Y")
        lines = app.clipboard.splitlines()
        assert len(lines) - 1 == app.screen.query_one(NeuronsTable).row_count()
        assert lines[1].startswith("L5.N371\t6.12\t0.71\t1\t because\t")
        await press(pilot, "H")
        await rest(pilot)
        await press(pilot, "Y")
        assert app.clipboard.startswith(
            "head\tattribution\tactive\tattention\tattends_to\nL3.H2\t1.92\t1\t0.66"
        )


async def test_low_bandwidth_draws_ascii_and_few_shades() -> None:
    app = LookupsApp(CannedExplorer(hostile=False), options=Options(low_bandwidth=True))
    async with app.run_test(size=LARGE) as pilot:
        await press(pilot, "2", "enter")
        await rest(pilot)
        text = "\n".join(screen_lines(app))
        assert not re.search("[\u2500-\u2501\u2503-\u250f\u2550-\u259e]", text.replace("│", "")), text
        assert "+++" in text
        assert len(set(app.palette.scale)) == 3
        assert all(style.color is None and style.bgcolor is None for style in app.palette.scale)


async def test_low_bandwidth_follows_the_scan_only_now_and_then() -> None:
    now = [100.0]
    explorer = CannedExplorer(scanned=100)
    app = LookupsApp(explorer, options=Options(low_bandwidth=True))
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        bar = app.screen.query_one(StatusLine)
        app.walk_screen.query_one(StatusLine).clock = lambda: now[0]
        now[0] += 1e6
        app.walk_screen.poll_status()
        said = bar._said
        explorer.scanned = 200
        now[0] += LOW_SECONDS - 1
        app.walk_screen.poll_status()
        assert bar._said == said
        now[0] += 2
        app.walk_screen.poll_status()
        assert bar._said != said
        explorer.scanned = 506
        app.walk_screen.poll_status()
        assert bar._said[1] == "scan done", "that it is done is said at once"


async def test_the_token_box_says_its_cursor_and_what_to_do_in_words() -> None:
    app = LookupsApp(CannedExplorer(), options=Options(plain=True))
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        await press(pilot, "t")
        await type_text(pilot, "time")
        rows = app.screen.query_one(CandidateList)
        first, second = rows.plain_lines()[:2]
        assert "both exist and differ" in first
        assert not first.startswith(">")
        await press(pilot, "down")
        assert rows.plain_lines()[rows.cursor].startswith("> ")
        assert second
