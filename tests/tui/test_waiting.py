"""Every wait tells what it is for, for how long, and which key stops what can be stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.tui.canned import CannedExplorer
from tests.tui.driving import LARGE, SMALL, line, press, running, settle, until
from tests.tui.views import texts
from tui_lookups.explorer import Question
from tui_lookups.model_thread import CancelToken
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.panes.pane import Pane
from tui_lookups.tui.state import queries
from tui_lookups.tui.state.options import Options


@pytest.mark.parametrize("size", [(60, 16), SMALL, LARGE])
async def test_a_token_that_was_given_waits_for_the_weights(size: tuple[int, int]) -> None:
    explorer = CannedExplorer(hold=True)
    async with running(explorer, size, token=" because") as (app, pilot):
        shown = texts(app)
        assert sum("␣because: waiting for the weights" in text for text in shown) == 2, (
            "above and in the pane"
        )
        assert not any("type a token" in text for text in shown)
        explorer.release()
        await settle(pilot)
        await settle(pilot)
        assert "waiting" not in " ".join(texts(app))
        assert "␣because  #1" in line(app, "#token-facts")


async def test_a_wait_says_its_stage_and_its_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(queries, "monotonic", lambda: clock[0])
    async with running(CannedExplorer(hold=True), SMALL, token="time") as (app, pilot):
        shown = " ".join(texts(app))
        assert "weights" in shown
        assert " s " not in shown, "the first second is no wait"
        app.walk_screen.steps.tokens.open_token(app.explorer.first_view().token)
        clock[0] += 7
        await until(lambda: "weights, 7 s" in " ".join(texts(app)), pilot)
        clock[0] += 1
        await until(lambda: "weights, 8 s" in " ".join(texts(app)), pilot)


async def test_where_every_byte_counts_seconds_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(queries, "monotonic", lambda: clock[0])
    app = LookupsApp(CannedExplorer(hold=True), token="time", options=Options(low_bandwidth=True))
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        before = texts(app)
        clock[0] += 30
        app.walk_screen.poll_status()
        await settle(pilot)
        assert texts(app) == before


async def test_all_prompts_can_be_given_up_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = CannedExplorer(hostile=False)
    async with running(explorer, LARGE) as (app, pilot):
        await press(pilot, "3")
        held: list[Callable[[], object]] = []
        answer = explorer.ask

        def hold(*asked: Any) -> Question:
            held.append(lambda: answer(*asked))
            return Question(CancelToken())

        monkeypatch.setattr(explorer, "ask", hold)
        await press(pilot, "a")
        assert "Attributing all its prompts to the heads…" in " ".join(texts(app))
        assert "esc stops it" in " ".join(texts(app))
        await press(pilot, "escape")
        assert not app.walk_screen.walk.over_all
        assert app.walk_screen.focused_pane == "heads"
        assert app.walk_screen.walk.shown_heads is not None
        for late in held:
            late()
        await settle(pilot)
        assert app.walk_screen.walk.overview is None, "what was given up is dropped"
        await press(pilot, "escape")
        assert app.walk_screen.focused_pane == "prompts"


async def test_the_first_prompts_of_a_list_say_how_many_of_it_they_are() -> None:
    async with running(CannedExplorer(hostile=False), LARGE) as (app, pilot):
        walk = app.walk_screen.walk
        assert walk.prompts is not None
        walk.prompts, walk.prompts_whole = replace(walk.prompts, prompts=walk.prompts.prompts[:4]), False
        app.walk_screen.panes.show("prompts")
        await settle(pilot)
        assert app.screen.query_one("#prompts-pane", Pane).words.endswith("  the first 4 of 20")
