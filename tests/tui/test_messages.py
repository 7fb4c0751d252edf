"""Messages on the bottom line speak of what is there, and go when it goes."""

from __future__ import annotations

from pathlib import Path

from textual.widgets import Input

from tests.tui.canned import CannedExplorer
from tests.tui.driving import SMALL, hints, line, press, rest, running, type_text
from tests.tui.test_load_problem import an_app, failing
from tests.tui.views import texts
from tui_lookups.tui.screens.load_problem import LoadProblemScreen
from tui_lookups.tui.widgets.neurons_table import NeuronsTable
from tui_lookups.tui.widgets.prompt_list import PromptList
from tui_lookups.tui.widgets.text import WrappedText


async def test_the_count_of_a_search_is_of_the_prompts_that_are_shown() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "2", "slash")
        await type_text(pilot, "house")
        await press(pilot, "enter")
        first = line(app, "#find-count")
        await press(pilot, "1", "down", "enter")
        prompts = app.screen.query_one(PromptList)
        now = prompts.found.words(len(prompts.prompts))
        assert now != first, "the canned prompts of two neurons differ"
        assert line(app, "#find-count") == now
        await press(pilot, "K")
        assert line(app, "#find-count") == prompts.found.words(len(prompts.prompts))


async def test_a_message_about_a_search_ends_with_it() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "2", "slash")
        await type_text(pilot, "but")
        await press(pilot, "enter")
        assert "ends it" in hints(app)
        await press(pilot, "escape")
        assert "ends it" not in hints(app)


async def test_a_line_that_opens_shows_its_keys() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        for key in ("slash", "t"):
            await press(pilot, "x")
            assert "Nothing is marked" in hints(app)
            await press(pilot, key)
            assert "Nothing is marked" not in hints(app)
            assert "enter" in hints(app)
            await press(pilot, "escape")


async def test_a_message_goes_when_the_line_it_is_about_is_changed() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "P", "enter")
        assert "Type a text first" in hints(app)
        await press(pilot, "a")
        assert "Type a text first" not in hints(app)


async def test_what_is_wrong_with_a_path_goes_when_another_is_typed(tmp_path: Path) -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "space", "x")
        app.screen.query_one("#path", Input).value = "~nobody-of-this-name/x.json"
        await press(pilot, "enter")
        problem = app.screen.query_one("#problem", WrappedText)
        assert "does not work" in problem.text
        await press(pilot, "a")
        assert not problem.text
        taken = tmp_path / "a.json"
        taken.write_text("mine", encoding="utf-8")
        app.screen.query_one("#path", Input).value = str(taken)
        await press(pilot, "enter")
        assert "exists" in problem.text
        await press(pilot, "b")
        assert not problem.text


async def test_heads_that_are_still_worked_out_are_said_to_be() -> None:
    explorer = CannedExplorer(hostile=False)
    async with running(explorer, SMALL) as (app, pilot):
        ask, explorer.held = explorer.status, []
        explorer.status = lambda: ask()  # type: ignore[method-assign]
        await press(pilot, "3")
        for key in ("e", "d", "s", "E"):
            await press(pilot, key)
            assert "still being worked out" in hints(app)
        explorer.release()
        await rest(pilot)


async def test_heads_that_are_not_shown_are_reached_by_a_key_that_works_there() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "2", "e")
        assert "Choose a head first: 3 shows" in hints(app)
        await press(pilot, "3")
        assert app.walk_screen.focused_pane == "heads"


async def test_a_problem_that_was_put_away_says_how_to_come_back() -> None:
    app, _ = an_app(failing())
    async with app.run_test(size=SMALL) as pilot:
        await rest(pilot)
        assert isinstance(app.screen, LoadProblemScreen)
        await press(pilot, "escape")
        assert app.screen is app.walk_screen
        assert "^p" in hints(app)
        assert "Open another model" in hints(app)
        app.show_message("")
        assert "Open another model" in "\n".join(texts(app)), "also once the message has gone"


async def test_another_model_that_was_not_opened_after_all_needs_no_words() -> None:
    app, _ = an_app(CannedExplorer(hostile=False))
    async with app.run_test(size=SMALL) as pilot:
        await rest(pilot)
        app.open_another()
        await press(pilot)
        assert isinstance(app.screen, LoadProblemScreen)
        await press(pilot, "escape")
        assert "Open another model" not in hints(app)
        assert isinstance(app.focused, NeuronsTable)
