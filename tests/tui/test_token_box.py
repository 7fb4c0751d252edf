"""The token box: what its list says and when, and what enter makes of it."""

from __future__ import annotations

import pytest

from tests.tui.canned import NEURONS, CannedExplorer
from tests.tui.driving import LARGE, SMALL, press, running, type_text
from tests.tui.views import texts
from tui_lookups.ids import HeadId
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.screens.served_by import ServedByScreen
from tui_lookups.tui.widgets.token_box import CandidateList


def below_the_line(app: LookupsApp) -> str:
    """What the list under the token box shows, as it is on the screen."""
    region = app.screen.query_one(CandidateList).region
    lines = texts(app)[region.y : region.bottom]
    return " ".join(" ".join(line[region.x : region.right] for line in lines).split())


@pytest.mark.parametrize(
    ("typed", "says"),
    [("#999999", "#999999 is no token id. They run from 0 to"), ('""', "no such token")],
)
async def test_a_note_without_rows_is_shown_whole(typed: str, says: str) -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "t")
        app.screen.query_one("#token-input").value = typed  # type: ignore[attr-defined]
        await press(pilot)
        assert says in below_the_line(app)


async def test_a_long_note_without_rows_is_wrapped() -> None:
    explorer = CannedExplorer(hostile=False)
    async with running(explorer, SMALL) as (app, pilot):
        words = " ".join(f"word{n}" for n in range(20))
        explorer.fail["resolve_token"] = ValueError(words)
        await press(pilot, "t", "x")
        assert "word19" in below_the_line(app)


async def test_what_is_being_looked_up_is_said() -> None:
    explorer = CannedExplorer(hostile=False)
    async with running(explorer, SMALL) as (app, pilot):
        explorer.held = []
        await press(pilot, "t", "x")
        assert "looking it up" in below_the_line(app)


async def test_an_empty_line_has_no_list_and_opens_nothing() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        token = app.walk_screen.walk.token
        await press(pilot, "t")
        app.screen.query_one("#token-input").value = "because"  # type: ignore[attr-defined]
        await press(pilot, "enter")
        rows = app.screen.query_one(CandidateList)
        assert rows.display
        await press(pilot, "ctrl+u")
        assert not rows.display
        assert rows.accept() is None
        await press(pilot, "enter")
        assert app.walk_screen.walk.token == token


async def test_an_answer_for_a_line_that_was_emptied_is_dropped() -> None:
    explorer = CannedExplorer(hostile=False)
    async with running(explorer, SMALL) as (app, pilot):
        explorer.held = []
        await press(pilot, "t", "x", "ctrl+u")
        explorer.release()
        await press(pilot)
        assert not app.screen.query_one(CandidateList).display


async def test_a_neuron_or_head_that_does_not_exist_is_refused() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        before = app.walk_screen.places.here()
        for name, of_them in (
            ("5.9999", f"{NEURONS} neurons"),
            ("77.1", f"{NEURONS} neurons"),
            ("L99.H1", "6 heads"),
        ):
            await press(pilot, "t")
            await type_text(pilot, name)
            rows = app.screen.query_one(CandidateList)
            said = " ".join(rows.empty.split())
            assert f"does not exist: the model has 6 layers of {of_them}." in said
            assert not rows.found.rows, "it is no choice"
            await press(pilot, "enter")
            assert rows.display, "what was typed can be mended"
            assert app.walk_screen.places.here() == before
            await press(pilot, "escape")
        await press(pilot, "t")
        await type_text(pilot, "5.767")
        await press(pilot, "enter")
        assert str(app.walk_screen.walk.neuron) == "L5.N767"


async def test_a_typed_head_opens_what_it_serves() -> None:
    async with running(CannedExplorer(), LARGE) as (app, pilot):
        await press(pilot, "t")
        await type_text(pilot, "L4.H4")
        await press(pilot, "enter")
        assert isinstance(app.screen, ServedByScreen)
        assert app.screen.place.head == HeadId(4, 4)
