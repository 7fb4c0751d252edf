"""Sessions by name: opened at the start, saved, listed, deleted, and shared with another process."""

from __future__ import annotations

import pytest

from tests.tui.canned import CannedExplorer
from tests.tui.driving import SMALL, hints, press, running, settle, type_text
from tests.tui.views import texts
from tui_lookups.results import SelectedNeuron, Selection, SessionState
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.screens.sessions import SessionRows, SessionsScreen
from tui_lookups.tui.state.options import Options

NEURON = CannedExplorer().first_view().neuron
LEFT = SessionState(None, NEURON, None, None, Selection((SelectedNeuron(NEURON),)))


async def test_a_session_that_was_named_goes_on_and_is_kept_on_leaving() -> None:
    explorer = CannedExplorer(hostile=False)
    explorer.named = {"causes": LEFT}
    app = LookupsApp(explorer, options=Options(session="causes"))
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        app.begin_loading()
        await settle(pilot)
        assert hints(app) == "Session “causes” goes on where it was left."
        assert app.selection == LEFT.basket
        assert app.walk_screen.walk.neuron == NEURON
        app.selection = Selection()
        assert app.walk_screen.session.save() == ""
    assert explorer.named["causes"].basket == Selection()
    assert "" not in explorer.named, "the last session is another one"


async def test_a_session_that_another_process_has_open_is_said_and_nothing_is_lost() -> None:
    explorer = CannedExplorer(hostile=False)
    explorer.named, explorer.elsewhere = {"causes": LEFT}, ("causes",)
    app = LookupsApp(explorer, options=Options(session="causes"))
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        app.begin_loading()
        await settle(pilot)
        assert "is open in another process" in hints(app)
        assert app.walk_screen.session.save() == (
            "Session “causes” is open in another process: yours was kept as “causes-2”."
        )
    assert explorer.named["causes"] == LEFT


@pytest.mark.parametrize("size", [(60, 16), SMALL])
async def test_sessions_are_saved_opened_and_deleted_in_a_dialog(size: tuple[int, int]) -> None:
    explorer = CannedExplorer(hostile=False)
    async with running(explorer, size) as (app, pilot):
        await press(pilot, "space", "L")
        assert "No session of this model is saved yet." in app.screen.query_one(SessionRows).empty
        await press(pilot, "s")
        await type_text(pilot, "one")
        await press(pilot, "enter")
        assert hints(app).startswith("Session “one” is kept")
        await press(pilot, "L", "s", "backspace")
        await type_text(pilot, "two")
        await press(pilot, "enter")
        assert list(explorer.named) == ["one", "ontwo"]
        await press(pilot, "L", "s", *["backspace"] * 3, "e", "enter")
        assert hints(app) == "There is a session “one” already. Take another name, or delete it."
        await press(pilot, "space", "L", "enter")
        assert app.walk_screen.session.name == "one"
        assert len(app.selection) == 1, "as it was when it was saved"
        assert len(explorer.named["ontwo"].basket) == 0, "what was open is kept first"
        await press(pilot, "L", "down", "d")
        assert "once more deletes “ontwo”" in " ".join(texts(app))
        await press(pilot, "up", "down", "d")
        assert list(explorer.named) == ["one", "ontwo"], "moving away asks anew"
        await press(pilot, "d")
        assert list(explorer.named) == ["one"]
        assert isinstance(app.screen, SessionsScreen)
