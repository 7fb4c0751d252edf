"""What does not load is said in the app, with a way on: again, another model or corpus, or out."""

from __future__ import annotations

import pytest
from textual.widgets import Input

from tests.tui.canned import BECAUSE, CannedExplorer
from tests.tui.driving import press, settle, type_text
from tui_lookups.errors import SettingsError
from tui_lookups.explorer import Explorer
from tui_lookups.results import SelectedNeuron, Selection
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.palette_commands import entries
from tui_lookups.tui.screens.load_problem import LoadProblemScreen, Ways
from tui_lookups.tui.state.opening import Opening
from tui_lookups.tui.widgets.text import WrappedText

FAILURE = ("There is no model at 'x'.", "Give demo, or a folder.")


class Openings:
    """Notes what is opened; opens canned explorers."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.made: list[CannedExplorer] = []

    def open(self, model: str, corpus: str) -> Explorer:
        self.asked.append((model, corpus))
        if model == "bad":
            raise SettingsError("model cannot be 'bad'.", "Allowed: others.")
        self.made.append(CannedExplorer())
        return self.made[-1]


def failing() -> CannedExplorer:
    explorer = CannedExplorer(hold=True)
    explorer.failure = FAILURE
    return explorer


def an_app(explorer: CannedExplorer) -> tuple[LookupsApp, Openings]:
    openings = Openings()
    opening = Opening("x", "texts", openings.open)
    return LookupsApp(explorer, theme="lookups-dark", opening=opening), openings


def problem(app: LookupsApp) -> str:
    return app.screen.query_one("#problem", WrappedText).text


@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_the_problem_and_the_ways_on_fit_the_screen(size: tuple[int, int]) -> None:
    app, _ = an_app(failing())
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        assert isinstance(app.screen, LoadProblemScreen)
        assert problem(app) == " ".join(FAILURE)
        rows = app.screen.query_one(Ways)
        assert [row[0] for row in rows.rows] == [
            "Try again", "Open demo", "Open smollm2", "Take the packaged passages", "Quit",
        ]  # fmt: skip
        for widget in app.screen.query("#problem, #ways, #model, #corpus"):
            assert app.screen.region.contains_region(widget.region)
            assert widget.size.height


async def test_another_model_starts_a_new_walk_and_ends_the_old_one() -> None:
    explorer = failing()
    app, openings = an_app(explorer)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        before = app.walk_screen
        app.selection = Selection((SelectedNeuron(CannedExplorer().first_view().neuron),))
        await press(pilot, "down", "enter")
        await pilot.pause(0.2)
        await settle(pilot)
        assert openings.asked == [("demo", "texts")]
        assert app.explorer is openings.made[0]
        assert explorer.closed == 1
        assert app.walk_screen is not before
        assert not before.is_attached
        assert app.screen is app.walk_screen
        assert app.walk_screen.walk.token == BECAUSE
        assert openings.made[0].started == 1
        assert not len(app.selection), "what was marked is of another model"
        await press(pilot, "down", "enter")  # the new walk has the keys
        assert app.walk_screen.focused_pane == "prompts"
    assert openings.made[0].closed == 0, "closing it is for whoever runs the app"


async def test_the_packaged_passages_are_a_way_on_where_the_corpus_is_missing() -> None:
    app, openings = an_app(failing())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "down", "down", "down", "enter")
        await pilot.pause(0.2)
        await settle(pilot)
        assert openings.asked == [("x", "demo")]
    app, _ = an_app(failing())
    app.opening = Opening("x", "demo", openings.open)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "packaged" not in " ".join(row[0] for row in app.screen.query_one(Ways).rows), "it is taken"


async def test_a_typed_model_and_corpus_are_opened() -> None:
    app, openings = an_app(failing())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "tab")
        app.screen.query_one("#model", Input).value = ""
        await type_text(pilot, "gpt")
        await press(pilot, "tab")
        app.screen.query_one("#corpus", Input).value = "mine.txt"
        await press(pilot, "enter")
        assert openings.asked == [("gpt", "mine.txt")]


async def test_a_setting_that_is_refused_is_said_and_asked_again() -> None:
    app, openings = an_app(failing())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app.screen.query_one("#model", Input).value = "bad"
        await press(pilot, "tab", "enter")
        assert openings.asked == [("bad", "texts")]
        assert isinstance(app.screen, LoadProblemScreen)
        assert "model cannot be 'bad'" in problem(app)
        assert app.explorer is not None


async def test_the_same_again_that_fails_again_is_said_again() -> None:
    app, openings = an_app(failing())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        made = failing()
        openings.open = lambda model, corpus: made  # type: ignore[method-assign]
        app.opening = Opening("x", "texts", openings.open)
        await press(pilot, "escape")
        assert app.screen is app.walk_screen
        await pilot.pause(0.6)
        assert app.screen is app.walk_screen, "once per explorer"
        app.open_another()
        await settle(pilot)
        app.screen.query_one("#model", Input).value = "x"
        await press(pilot, "tab", "enter")
        await pilot.pause(0.4)
        assert app.explorer is made
        assert isinstance(app.screen, LoadProblemScreen)


async def test_q_goes_back_from_the_list_and_is_a_letter_on_the_lines() -> None:
    app, _ = an_app(failing())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "tab", "end", "q")
        assert app.screen.query_one("#model", Input).value.endswith("q")
        await press(pilot, "shift+tab", "q")
        assert app.screen is app.walk_screen


async def test_quit_leaves() -> None:
    app, _ = an_app(failing())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "end", "enter")
        await pilot.pause()
    assert not app.is_running
    assert app.return_code == 0


async def test_another_model_can_be_opened_any_time() -> None:
    app, openings = an_app(CannedExplorer())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "Open another model" in [entry.title for entry in entries(app, app.screen)]
        app.open_another()
        await settle(pilot)
        assert isinstance(app.screen, LoadProblemScreen)
        assert [row[0] for row in app.screen.query_one(Ways).rows] == ["Open demo", "Open smollm2"]
        await press(pilot, "down", "enter")
        assert openings.asked == [("smollm2", "texts")]
