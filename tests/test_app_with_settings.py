"""The app on the real Explorer where the settings are not the usual ones: what canned answers never say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.tui.driving import until
from tui_lookups.explorer import Explorer
from tui_lookups.exports.reading import read_export
from tui_lookups.settings import load_settings
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.screens.export import ExportScreen
from tui_lookups.tui.screens.path_dialog import PathDialog

pytestmark = pytest.mark.usefixtures("once_loaded", "quick_waits")


async def fewer_prompts(app: LookupsApp, pilot: Pilot[None], folder: Path) -> None:
    """The lists are as long as the setting says, those that are no highest ones too."""
    walk = app.walk_screen.walk
    assert walk.prompts is not None
    assert len(walk.prompts.prompts) == 5
    await until(lambda: walk.figures is not None, pilot)
    app.walk_screen.steps.neurons.cycle_kind()
    await until(lambda: walk.prompts is not None and walk.figures is not None, pilot)
    assert len(walk.prompts.prompts) == 5


async def some_layers(app: LookupsApp, pilot: Pilot[None], folder: Path) -> None:
    """`l` goes through the layers that are scanned, and no others."""
    walk = app.walk_screen.walk
    seen = []
    for _ in range(3):
        await pilot.press("1", "f")
        await until(lambda: walk.ranking is not None, pilot)
        assert walk.ranking is not None
        assert walk.ranking.neurons
        seen.append(walk.layer)
    assert seen == [4, 5, None]
    assert {row.layer for row in walk.ranking.neurons} == {4, 5}


async def an_export_that_exists(app: LookupsApp, pilot: Pilot[None], folder: Path) -> None:
    """Enter says that the file is there, and enter again replaces it."""
    path = folder / "out.json"
    path.write_text("mine", encoding="utf-8")
    await pilot.press("1", "space", "x")
    await until(lambda: isinstance(app.screen, ExportScreen), pilot)
    app.screen.query_one("#path", Input).value = str(path)
    await pilot.press("enter")
    await pilot.pause()
    assert path.read_text(encoding="utf-8") == "mine"
    await pilot.press("enter")
    await until(lambda: not isinstance(app.screen, PathDialog), pilot)
    assert read_export(path).selection() == app.selection


@pytest.mark.parametrize(
    ("settings", "check"),
    [({"top": 5}, fewer_prompts), ({"layers": "4-5"}, some_layers), ({}, an_export_that_exists)],
    ids=["top=5", "layers=4-5", "an export that exists"],
)
async def test_the_app_does_as_the_settings_say(
    settings: dict[str, Any], check: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    explorer = Explorer(
        load_settings(cache_dir=tmp_path / "cache", max_documents=12, device="cpu", threads=1, **settings)
    )
    app = LookupsApp(explorer, theme="lookups-dark")
    try:
        async with app.run_test(size=(120, 40)) as pilot:
            walk = app.walk_screen.walk

            def complete() -> bool:
                assert not walk.errors
                return walk.prompts is not None and walk.prompts.complete

            await until(complete, pilot)
            await check(app, pilot, tmp_path)
            assert not walk.errors
            await pilot.press("escape", "q")
    finally:
        explorer.close()
