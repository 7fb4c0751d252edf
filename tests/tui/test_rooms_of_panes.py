"""One pane alone, panes made larger and remembered, and nothing that jumps when the focus moves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tui.canned import CannedExplorer
from tests.tui.driving import LARGE, SMALL, hints, press, rest, running, until
from tests.tui.views import texts
from tui_lookups.results import Selection, SessionState
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.state.layouts import PANES, PaneName, pages
from tui_lookups.tui.state.rooms import Rooms, divider_of, moved


def regions(app: LookupsApp) -> dict[str, tuple[int, int]]:
    """Width and height of each pane that is on screen."""
    panes = app.walk_screen.panes.by_name
    return {name: tuple(pane.region.size) for name, pane in panes.items() if pane.region.size.area}


@pytest.mark.parametrize("pane", PANES)
def test_a_zoomed_pane_is_alone(pane: str) -> None:
    assert pages("wide", pane, zoomed=True) == (pane,)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(60, 16), (120, 26), (100, 50), LARGE])
async def test_zoom_gives_one_pane_the_screen_and_gives_it_back(size: tuple[int, int]) -> None:
    async with running(CannedExplorer(hostile=False), size) as (app, pilot):
        await press(pilot, "3", "enter")
        await rest(pilot)
        before = regions(app)
        await press(pilot, "Z")
        for key, name in zip("4321", reversed(PANES), strict=True):
            await press(pilot, key)
            assert set(regions(app)) == {name}
            width, height = regions(app)[name]
            assert width == size[0]
            assert height >= size[1] - 7, "the path, the keys and what is told stay"
        await press(pilot, "3", "4", "Z")
        assert regions(app) == before


def test_each_pane_has_a_divider_that_makes_it_larger() -> None:
    assert divider_of("neurons", "wide") == ("column", 1)
    assert divider_of("prompts", "columns") == ("column", -1)
    assert divider_of("heads", "narrow") == ("below", -1)
    assert divider_of("neurons", "narrow") is None
    assert moved(Rooms(), "lower", -1) == Rooms(lower=-1)
    assert moved(Rooms(lower=20), "lower", 1) == Rooms(lower=20), "steps end"


@pytest.mark.parametrize(
    ("size", "sides"),
    [
        (LARGE, {"neurons": 0, "prompts": 1, "heads": 1, "detail": 0}),
        ((120, 26), {"neurons": 0, "heads": 1}),
        ((100, 50), {"prompts": 1}),
        (SMALL, {"detail": 1}),
    ],
)
async def test_plus_makes_a_pane_larger_minus_smaller_and_nought_puts_all_back(
    size: tuple[int, int], sides: dict[PaneName, int]
) -> None:
    async with running(CannedExplorer(hostile=False), size) as (app, pilot):
        for name, side in sides.items():
            await press(pilot, str(PANES.index(name) + 1))
            before = regions(app)
            await press(pilot, "plus")
            assert regions(app)[name][side] > before[name][side], name
            await press(pilot, "minus", "minus")
            assert regions(app)[name][side] < before[name][side], name
            await press(pilot, "0")
            assert regions(app) == before, name


async def test_where_a_pane_has_all_the_room_it_says_so() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "plus")
        assert hints(app) == "This pane has all the room there is."


async def test_rooms_are_remembered_and_the_place_that_was_left_is_kept() -> None:
    explorer = CannedExplorer(hostile=False)
    neuron = explorer.neurons(1).neurons[3].neuron
    explorer.session = left = SessionState(None, neuron, None, None, Selection())
    async with running(explorer, LARGE) as (app, pilot):
        app.begin_loading()
        await press(pilot, "plus", "plus")
        widened = regions(app)
        assert app.walk_screen.session.save() == ""
        assert explorer.session == replace(left, rooms=(2, 0, 0, 0))
    async with running(explorer, LARGE) as (app, pilot):
        app.begin_loading()
        await until(lambda: regions(app) == widened, pilot)
        assert app.walk_screen.session.state() is None, "there is nothing new to keep"


@pytest.mark.parametrize("size", [(60, 16), SMALL, (120, 26), LARGE])
async def test_no_line_appears_or_goes_between_heads_and_head(size: tuple[int, int]) -> None:
    async with running(CannedExplorer(hostile=False), size) as (app, pilot):
        await press(pilot, "3", "enter")
        await rest(pilot)
        there = regions(app)
        await press(pilot, "h")
        assert app.walk_screen.focused_pane == "heads"
        assert regions(app) == there
        await press(pilot, "4")
        assert regions(app) == there


async def test_h_and_l_move_and_what_was_on_them_is_elsewhere() -> None:
    async with running(CannedExplorer(hostile=False), LARGE) as (app, pilot):
        await press(pilot, "l")
        assert app.walk_screen.focused_pane == "prompts"
        position = app.walk_screen.panes.prompts.position
        await press(pilot, "h")
        assert app.walk_screen.panes.prompts.position == position - 1
        await press(pilot, "1", "f")
        assert app.walk_screen.walk.layer == 0
        await press(pilot, "F", "H")
        assert app.walk_screen.walk.layer is None
        assert app.walk_screen.focused_pane == "heads"


async def test_a_click_on_the_path_or_on_a_key_does_what_it_names() -> None:
    async with running(CannedExplorer(hostile=False), LARGE) as (app, pilot):
        await press(pilot, "3", "enter")
        await rest(pilot)
        lines = texts(app)
        row = next(n for n, text in enumerate(lines) if "› prompt 1 ›" in text)
        for words, pane in (
            ("prompt 1", "heads"),
            ("L5.N371", "prompts"),
            ("␣because", "neurons"),
            ("L3.H2", "detail"),
        ):
            await pilot.click(offset=(lines[row].index(words) + 1, row))
            await press(pilot)
            assert app.walk_screen.focused_pane == pane
        await press(pilot, "3")
        bottom = texts(app)[-1]
        await pilot.click(offset=(bottom.index(" v list") + 2, len(lines) - 1))
        assert app.walk_screen.panes.heads.body.listed  # type: ignore[attr-defined]
        await pilot.click(offset=(texts(app)[-1].index("? help"), len(lines) - 1))
        assert type(app.screen).__name__ == "HelpScreen"


async def test_brackets_say_when_there_is_nothing() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "left_square_bracket")
        assert hints(app) == "This is where the walk began."
        await press(pilot, "right_square_bracket")
        assert hints(app) == "There is nothing to go forward to."


async def test_the_list_of_prompts_does_not_jump_while_the_cursor_moves_in_it() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "2", "l")
        await rest(pilot)
        prompts = app.walk_screen.panes.prompts.body
        before, expects = prompts.region, [text for text in texts(app) if " expects " in text]
        assert expects
        await press(pilot, "l")
        assert prompts.region == before, "what is expected there is not known yet"
        await rest(pilot)
        assert prompts.region == before


async def test_in_two_columns_the_story_stays_where_the_focus_goes() -> None:
    async with running(CannedExplorer(hostile=False), (120, 26)) as (app, pilot):
        before = app.screen.query_one("#panes").region
        for pane in "2341":
            await press(pilot, pane)
            assert app.screen.query_one("#panes").region == before
