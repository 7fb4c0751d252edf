"""What the cache could not keep, and what of the corpus was left out, is said in the app, once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.tui.canned import CORPUS, CannedExplorer
from tests.tui.driving import hints, running, settle
from tests.tui.idleness import let_pass
from tui_lookups.results import Status
from tui_lookups.tui.state.problems import Problems


def test_each_is_told_once_and_stays_a_while() -> None:
    now = [0.0]
    problems = Problems(lambda: now[0])
    assert problems.to_tell(()) is None
    assert problems.to_tell(("a", "b")) == "a"
    assert problems.to_tell(("a", "b")) is None
    now[0] = 6.0
    assert problems.to_tell(("a", "b")) == "b"
    now[0] = 12.0
    assert problems.to_tell(("a", "b")) is None


async def test_the_app_says_what_was_not_kept() -> None:
    explorer = CannedExplorer()
    async with running(explorer) as (app, pilot):
        explorer.problems = ("A result was not kept: the disk is full [red].",)
        await let_pass(pilot, 0.4)
        await settle(pilot)
        assert hints(app) == explorer.problems[0]
        app.show_message("Something else.")
        await let_pass(pilot, 0.4)
        assert hints(app) == "Something else."


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({"left_out": 3}, "3 records without a text were left out."),
        ({"special_tokens": 1}, "1 special token is spelled out in the texts."),
    ],
)
async def test_the_app_says_what_there_is_to_know_of_the_corpus(what: dict[str, Any], said: str) -> None:
    class LeavesOut(CannedExplorer):
        def status(self) -> Status:
            return replace(super().status(), corpus=replace(CORPUS, **what))

    async with running(LeavesOut()) as (app, pilot):
        await let_pass(pilot, 0.4)
        await settle(pilot)
        assert hints(app) == said
