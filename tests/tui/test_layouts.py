"""Which panes a size shows."""

from __future__ import annotations

import pytest
from textual import events
from textual.drivers.headless_driver import HeadlessDriver
from textual.geometry import Size

from tests.tui.canned import CannedExplorer
from tests.tui.driving import LARGE, SMALL, press, running, settle, until
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.state.layouts import PANES, PaneName, layout_for, lines_of_closed, pages
from tui_lookups.tui.widgets.prompt_list import PromptList


@pytest.mark.parametrize(
    ("size", "layout"),
    [
        ((59, 40), "small"),
        ((80, 15), "small"),
        ((60, 16), "narrow"),
        ((80, 24), "narrow"),
        ((119, 43), "narrow"),
        ((100, 50), "tall"),
        ((120, 29), "columns"),
        ((120, 30), "wide"),
        ((160, 45), "wide"),
    ],
)
def test_layout(size: tuple[int, int], layout: str) -> None:
    assert layout_for(*size) == layout


@pytest.mark.parametrize("pane", PANES)
def test_the_focused_pane_is_always_shown(pane: PaneName) -> None:
    for width in range(40, 200, 7):
        for height in range(10, 60, 3):
            assert pane in pages(layout_for(width, height), pane)


async def test_a_new_size_is_taken_over_when_textuals_timer_for_it_is_lost() -> None:
    """Textual drops a timer whose task starts after it is due, and waits for it with later sizes, too."""
    app = LookupsApp(CannedExplorer(hostile=False))
    async with app.run_test(size=LARGE) as pilot:
        await settle(pilot)
        assert app.walk_screen.size_class == "wide"
        app._resize_timer = app.set_timer(3600, lambda: None)  # one that is not due any more
        driver = app._driver
        assert isinstance(driver, HeadlessDriver)
        driver._size = SMALL
        size = Size(*SMALL)
        app.post_message(events.Resize(size, size))
        await until(lambda: app.walk_screen.size_class == "narrow", pilot)


async def test_a_large_terminal_shows_the_text_of_several_prompts_until_a_key_says_otherwise() -> None:
    async with running(CannedExplorer(hostile=False), (300, 80)) as (app, pilot):
        prompts = app.screen.query_one(PromptList)
        await press(pilot, "2")
        assert prompts._locate(prompts._open_height() + 4)[0] == 2, "each takes four lines"
        await press(pilot, "z")
        assert prompts._locate(prompts._open_height() + 4)[0] == 5, "each takes one"
        await pilot.resize_terminal(280, 80)
        await settle(pilot)
        assert prompts._locate(prompts._open_height() + 4)[0] == 5, "as it was chosen"
    assert lines_of_closed(200, 69) == lines_of_closed(199, 80) == lines_of_closed(300, 80, plain=True) == 1
