"""Keys that arrive all at once do what they do one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual import events
from textual.keys import _character_to_key
from textual.pilot import Pilot
from textual.widgets import Input

from tests.tui.canned import CannedExplorer
from tests.tui.driving import SMALL, press, rest, running, until
from tui_lookups.errors import ExportError
from tui_lookups.exports import writing
from tui_lookups.exports.document import ExportDocument
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.screens.basket import BasketScreen
from tui_lookups.tui.screens.export import ExportScreen
from tui_lookups.tui.screens.help import HelpScreen
from tui_lookups.tui.widgets.neurons_table import NeuronsTable
from tui_lookups.tui.widgets.prompt_list import PromptList
from tui_lookups.tui.widgets.text import WrappedText


async def at_once(app: LookupsApp, pilot: Pilot[None], text: str) -> None:
    """As one packet: nothing runs between two keys."""
    for character in text:
        key = {"\r": "enter", "\x1b": "escape"}.get(character) or _character_to_key(character)
        app.post_message(events.Key(key, character))
    await rest(pilot)


async def test_what_is_typed_behind_the_key_of_a_line_is_on_the_line() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await at_once(app, pilot, "t because")
        assert app.screen.query_one("#token-input", Input).value == " because"
        assert not len(app.selection), "the space is no mark"
        await at_once(app, pilot, "\r")
        assert app.walk_screen.walk.token is not None
        assert app.walk_screen.walk.token.text == " because"
        await at_once(app, pilot, "/L5\r")
        assert app.walk_screen.query_one(NeuronsTable).needle == "L5"
        assert isinstance(app.focused, NeuronsTable)


async def test_what_is_typed_behind_the_key_of_a_dialog_is_in_the_dialog() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await at_once(app, pilot, " xqb")
        assert isinstance(app.screen, ExportScreen)
        assert app.screen.query_one("#path", Input).value.endswith("qb")
        await press(pilot, "escape")
        await at_once(app, pilot, "b\x1b?")
        assert isinstance(app.screen, HelpScreen)
        await at_once(app, pilot, "\x1bb")
        assert isinstance(app.screen, BasketScreen)


async def test_what_is_typed_while_a_dialog_works_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(document: ExportDocument, path: Path, overwrite: bool) -> Path:
        raise ExportError("The disk is full.", "Make room.")

    explorer = CannedExplorer(hostile=False)
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "space", "x")
        line = app.screen.query_one("#path", Input)
        line.value = given = str(tmp_path / "walk")
        await until(lambda: ("load_session", None) in explorer.calls, pilot)
        explorer.held = []
        with monkeypatch.context() as patch:
            patch.setattr(writing, "write_export", full)
            for key in ("enter", "z", "enter", "backspace"):
                await pilot.press(key)
            assert len(explorer.held) == 1
            explorer.release()
            await rest(pilot)
        assert line.value == given
        assert "The disk is full" in app.screen.query_one("#problem", WrappedText).text
        await press(pilot, "end", "backspace", "enter")
        assert [str(path) for path in tmp_path.iterdir()] == [given[:-1]]
        assert not isinstance(app.screen, ExportScreen)


async def test_a_dialog_that_works_can_be_left(tmp_path: Path) -> None:
    explorer = CannedExplorer(hostile=False)
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "space", "x")
        app.screen.query_one("#path", Input).value = str(tmp_path / "a.json")
        explorer.held = []
        await press(pilot, "enter", "escape")
        assert not isinstance(app.screen, ExportScreen)
        explorer.release()
        await rest(pilot)
        assert app.is_running


@pytest.mark.parametrize("many", [200])
async def test_a_key_that_is_held_down_does_not_fall_behind(many: int) -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await at_once(app, pilot, "j" * many)
        table = app.screen.query_one(NeuronsTable)
        await until(lambda: table.cursor == min(many, table.row_count() - 1), pilot)


async def test_a_widget_that_goes_while_it_has_a_key_keeps_no_other_waiting() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "b")
        await at_once(app, pilot, "\x1b\x1b\x1bt")
        assert isinstance(app.focused, Input)


async def test_a_key_behind_enter_finds_what_enter_did() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        table = app.walk_screen.query_one(NeuronsTable)
        await at_once(app, pilot, "/L\rj")
        assert (table.needle, table.cursor) == ("L", 1)
        await at_once(app, pilot, "2/but\rn")
        prompts = app.walk_screen.query_one(PromptList)
        assert prompts.found.needle == "but"
        assert app.walk_screen.query_one("#find", Input).value == "but"
        await at_once(app, pilot, "1t river\ro")
        walk = app.walk_screen.walk
        assert walk.token is not None
        assert walk.token.text == " river"
        assert walk.own_only


async def test_keys_behind_enter_wait_for_what_is_looked_up() -> None:
    explorer = CannedExplorer(hostile=False, threads=True)
    async with running(explorer, SMALL) as (app, pilot):
        await rest(pilot)
        walk = app.walk_screen.walk
        explorer.held = []
        await at_once(app, pilot, "t river\ro")
        line = app.walk_screen.query_one("#token-input", Input)
        assert line.value == " river", "the key is no letter of the token"
        await at_once(app, pilot, "f")
        assert line.value == " river"
        explorer.release()
        await rest(pilot)
        assert walk.token is not None
        assert walk.token.text == " river"
        assert (walk.own_only, walk.layer) == (True, 0)


async def test_escape_gives_up_what_is_looked_up_for_ever() -> None:
    explorer = CannedExplorer(hostile=False)
    async with running(explorer, SMALL) as (app, pilot):
        token = app.walk_screen.walk.token
        explorer.held = []
        await at_once(app, pilot, "t river\r")
        await at_once(app, pilot, "\x1b")
        assert isinstance(app.focused, NeuronsTable)
        await at_once(app, pilot, "j")
        assert app.walk_screen.query_one(NeuronsTable).cursor == 1
        explorer.release()
        await rest(pilot)
        assert app.walk_screen.walk.token == token


async def test_an_enter_from_before_the_terminal_was_ours_is_an_enter() -> None:
    """Until the app takes the terminal over, that makes a line feed of it: ctrl+j."""
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await at_once(app, pilot, "t river")
        await pilot.press("ctrl+j")
        await rest(pilot)
        assert app.walk_screen.walk.token is not None
        assert app.walk_screen.walk.token.text == " river"


async def test_keys_that_an_app_that_closes_did_not_get_to_are_dropped() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "2")
        keys = app.key_queue
        for _ in range(3):
            app.post_message(events.Key("j", "j"))
        await pilot.pause()
    assert not app._screen_stack
    await keys.take(events.Key("j", "j"))
    await keys.take()
    keys._settle(keys._turn, 0)
    bubbled = events.Key("x", "x")
    bubbled._set_forwarded()
    await app.on_event(bubbled)  # it comes back from a widget that did not take it
