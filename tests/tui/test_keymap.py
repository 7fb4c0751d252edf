"""Keys of one's own, and that no key is one that terminals keep."""

from __future__ import annotations

import pytest

from tests.tui.bound_keys import default_keys
from tests.tui.canned import CannedExplorer
from tests.tui.driving import hints, press, settle, type_text
from tui_lookups.errors import SettingsError
from tui_lookups.settings import describe_settings, load_settings
from tui_lookups.tui import keymap
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.palette_commands import entries
from tui_lookups.tui.screens.help import HelpScreen
from tui_lookups.tui.state.options import Options, options_of
from tui_lookups.tui.widgets.neurons_table import NeuronsTable


def test_no_default_key_is_one_that_terminals_keep() -> None:
    keys = list(default_keys())
    assert len(keys) > 120
    assert [(action, key) for action, key in keys if keymap.reason_eaten(key)] == []


@pytest.mark.parametrize(
    "key", ["ctrl+s", "ctrl+q", "ctrl+z", "ctrl+i", "ctrl+h", "ctrl+m", "ctrl+j", "alt+x"]
)
def test_keys_that_terminals_keep_are_refused(key: str) -> None:
    with pytest.raises(SettingsError, match=r"walk\.heads cannot be on"):
        keymap.checked_keymap({"walk.heads": key}, LookupsApp)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"walk.haeds": "f5"}, r"no action 'walk.haeds'.*Did you mean walk.heads"),
        ({"nothing.like-it": "f5"}, r"Actions are .*walk.heads"),
        ({"walk.heads": "contrl+x"}, r"'contrl\+x', which is not a valid key"),
        ({"walk.heads": " "}, r"walk.heads has no key"),
        ({"walk.mark": "m"}, r"walk.mark and prompts.peak would both be on m"),
        ({"prompts.more": "?"}, r"prompts.more and app.help would both be on question_mark"),
        ({"walk.heads": "f5", "app.theme": "f5"}, r"would both be on f5"),
        ({"token.enter": "a"}, r"which is typed there"),
    ],
)
def test_what_cannot_be_is_said(keys: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        keymap.checked_keymap(keys, LookupsApp)


def test_two_actions_may_change_places_and_shadow_as_before() -> None:
    assert keymap.checked_keymap({"app.theme": "b", "app.basket": "C"}, LookupsApp) == {
        "app.theme": "b",
        "app.basket": "C",
    }
    # / filters the neurons from anywhere on the walk and finds in the prompts by design
    assert keymap.checked_keymap({"walk.filter": "/,f5"}, LookupsApp) == {"walk.filter": "slash,f5"}


async def test_a_key_of_ones_own_works_and_is_shown_everywhere() -> None:
    app = LookupsApp(CannedExplorer(), options=Options(keys={"walk.heads": "f5", "walk.mark": "Q"}))
    async with app.run_test(size=(160, 45)) as pilot:
        await settle(pilot)
        assert "f5 heads" in hints(app)
        assert "Q mark" in hints(app)
        await press(pilot, "H")
        assert app.walk_screen.focused_pane == "neurons", "its old key is free"
        await press(pilot, "Q")
        assert len(app.selection.neurons) == 1
        await press(pilot, "f5")
        assert app.walk_screen.focused_pane == "heads"
        assert "Open the heads of the neuron (f5)" in {entry.title for entry in entries(app, app.screen)}
        await press(pilot, "question_mark")
        assert isinstance(app.screen, HelpScreen)
        assert ("f5", "The heads, from the neurons") in app.screen.rows()


async def test_a_letter_that_is_typed_is_no_action() -> None:
    app = LookupsApp(CannedExplorer(), options=Options(keys={"walk.mark": "Q"}))
    async with app.run_test(size=(160, 45)) as pilot:
        await settle(pilot)
        await press(pilot, "t")
        await type_text(pilot, "Q")
        assert len(app.selection.neurons) == 0
        assert app.screen.query_one("#token-input").value == "Q"  # type: ignore[attr-defined]
        await press(pilot, "escape")
        assert app.focused is app.screen.query_one(NeuronsTable)


def test_a_theme_that_does_not_exist_is_named() -> None:
    with pytest.raises(SettingsError, match=r"no theme 'moody'.*lookups-dark"):
        LookupsApp(CannedExplorer(), options=Options(theme="moody"))


def test_the_settings_say_it(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    config = tmp_path / "config.toml"
    monkeypatch.setenv("LOOKUPS_CONFIG", str(config))
    config.write_text('low_bandwidth = true\n[keys]\nwalk.heads = "f5"\n"app.theme" = ["C", "f6"]\n')
    wanted = Options(None, {"walk.heads": "f5", "app.theme": "C,f6"}, plain=False, low_bandwidth=True)
    assert options_of(load_settings()) == wanted
    said = {row.name: row.value for row in describe_settings()}["keys"]
    assert said == "walk.heads=f5 app.theme=C,f6"
    config.unlink()
    monkeypatch.delenv("LOOKUPS_CONFIG")
    monkeypatch.setenv("LOOKUPS_KEYS", str(said))
    assert options_of(load_settings()).keys == wanted.keys
    monkeypatch.setenv("LOOKUPS_KEYS", "walk.heads")
    with pytest.raises(SettingsError, match=r"keys cannot be 'walk\.heads'"):
        load_settings()
