"""The tour: five steps from a token to a source token, skippable, unasked at most once."""

from __future__ import annotations

import pytest

from tests.tui.canned import CannedExplorer
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.text.tour import STEPS
from tui_lookups.tui.widgets.text import WrappedText

SIZES = [(80, 24), (160, 45)]


async def _settle(pilot) -> None:  # type: ignore[no-untyped-def]
    for _ in range(8):
        await pilot.pause()


@pytest.mark.parametrize("size", SIZES)
async def test_five_steps_walk_from_the_token_to_a_source_token(size: tuple[int, int]) -> None:
    explorer = CannedExplorer()
    app = LookupsApp(explorer)
    async with app.run_test(size=size) as pilot:
        await _settle(pilot)
        screen = app.walk_screen
        said = []
        for pane in STEPS:
            await pilot.press("T")
            await _settle(pilot)
            assert screen.focused_pane == pane
            assert screen.query_one("#notice", WrappedText).has_class("-shown")
            said.append(screen.tour_text)
        assert [text.split(":")[0] for text in said] == [f"Tour {n}/5" for n in range(1, 6)]
        walk = screen.walk
        assert walk.token is not None
        assert walk.neuron is not None
        assert walk.sources is not None
        source = max(walk.sources.sources, key=lambda s: s.attribution)
        assert str(walk.neuron) in said[1]
        assert f"{walk.prompts.prompts[0].peak.activation:.2f}" in said[2]
        assert str(max(walk.heads.heads, key=lambda s: s.attribution).head) in said[3]
        assert f"{source.attribution:+.2f}" in said[4]
        await pilot.press("T")
        await _settle(pilot)
        assert screen.tour_text == ""


async def test_escape_leaves_the_tour_and_only_the_tour() -> None:
    app = LookupsApp(CannedExplorer())
    async with app.run_test(size=(80, 24)) as pilot:
        await _settle(pilot)
        for _ in range(3):
            await pilot.press("T")
            await _settle(pilot)
        await pilot.press("escape")
        await _settle(pilot)
        assert app.walk_screen.tour_text == ""
        assert app.walk_screen.focused_pane == "prompts"
        await pilot.press("escape")
        assert app.walk_screen.focused_pane == "neurons"


async def test_the_tour_begins_unasked_where_nobody_saw_it() -> None:
    explorer = CannedExplorer()
    explorer.tour_unseen = True
    for begins in (True, False):
        app = LookupsApp(explorer)
        async with app.run_test(size=(80, 24)) as pilot:
            await _settle(pilot)
            assert app.walk_screen.tour_text.startswith("Tour 1/5") is begins


async def test_a_step_before_its_answer_says_what_it_waits_for() -> None:
    explorer = CannedExplorer()
    app = LookupsApp(explorer, token=" nothing like it")
    async with app.run_test(size=(80, 24)) as pilot:
        await _settle(pilot)
        await pilot.press("escape")  # out of the token box, which takes letters
        for _ in range(5):
            await pilot.press("T")
            await _settle(pilot)
            assert app.walk_screen.tour_text.startswith("Tour ")
