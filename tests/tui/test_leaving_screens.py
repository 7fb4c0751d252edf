"""q goes back from what lies over the walk, and leaves the app from the walk only."""

from __future__ import annotations

import gc

import pytest
from textual._styles_cache import StylesCache
from textual.command import CommandList

from tests.tui.canned import CannedExplorer
from tests.tui.driving import SMALL, press, rest, running


@pytest.mark.parametrize("keys", [("A",), ("A", "enter"), ("P", "a", "tab"), ("i",), ("3", "W"), ("b",)])
async def test_q_goes_back_to_the_walk(keys: tuple[str, ...]) -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, *keys)
        await rest(pilot)
        assert app.screen is not app.walk_screen
        await press(pilot, "q")
        assert app.is_running
        assert app.screen is app.walk_screen


async def test_q_is_a_letter_where_text_is_typed() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "P", "q")
        assert app.screen is not app.walk_screen
        assert app.screen.query_one("#text").value == "q"  # type: ignore[attr-defined]


async def test_q_leaves_the_app_from_the_walk() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "q")
        assert not app.is_running


async def test_a_page_key_before_the_palette_is_laid_out_is_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Textual looks up the line of a row that has none yet; found by the long fuzz run."""

    def not_laid_out(commands: CommandList) -> None:
        raise KeyError(0)

    async with running(CannedExplorer()) as (app, pilot):
        await press(pilot, "ctrl+p")
        monkeypatch.setattr(CommandList, "action_page_up", not_laid_out)
        await press(pilot, "pageup", "escape")
        assert app.screen is app.walk_screen


async def test_a_timer_that_is_due_when_the_app_has_closed_harms_nothing() -> None:
    async with running(CannedExplorer()) as (app, _):
        app._loading = None
    assert not app.screen_stack
    app.begin_loading()


async def test_nothing_painted_is_held_of_a_screen_that_was_left() -> None:
    async with running(CannedExplorer(), SMALL) as (app, pilot):

        async def painted() -> int:
            """Widgets whose painted lines are in memory, after a screen was opened and left."""
            await press(pilot, "question_mark", "escape")
            assert len(app.screen_stack) == 1
            gc.collect()
            return sum(type(each) is StylesCache for each in gc.get_objects())

        await painted()
        before = await painted()
        assert [await painted() for _ in range(3)] == [before] * 3
