"""Every screen at every size and in every theme, held to what `measuring` says.

The default run measures each screen where its picture is taken (test_snapshots) and in one more theme and
size; here all of them are.
"""

from __future__ import annotations

from itertools import product

import pytest
from rich.segment import Segment
from rich.style import Style
from textual.color import Color as Shade
from textual.theme import BUILTIN_THEMES, Theme

from tests.tui.canned import CannedExplorer
from tests.tui.measuring import (
    BLACK,
    DIM,
    LARGE,
    SMALL,
    TEXT,
    WHITE,
    change,
    check_everything,
    check_far_too_small,
    contrast,
    legibility,
)
from tests.tui.views import VIEWS, shown
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.paint.themes import DARK, LIGHT, frame_color, palette_for

LINE = 3.0
THEMES = ("lookups-dark", "lookups-light", "ansi-dark")


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast(BLACK, WHITE) == pytest.approx(21)
    assert contrast(Shade.parse("#767676"), WHITE) == pytest.approx(4.54, abs=0.01)
    assert contrast(Shade.parse("#777777"), WHITE) < TEXT


@pytest.mark.parametrize(
    ("style", "readable"),
    [
        ("#d8dde3 on #12161b", True),
        ("#555555 on #12161b", False),
        ("reverse #d8dde3 on #12161b", True),
        ("black on yellow", True),
        ("white on yellow", False),
        ("red", True),
        ("blue on black", False),
        ("", True),
    ],
)
def test_what_is_readable(style: str, readable: bool) -> None:
    app = LookupsApp(CannedExplorer(), theme="ansi-dark")
    ratio, wanted = legibility(Segment("text", Style.parse(style)), app)
    assert (ratio >= wanted) is readable
    assert wanted in (TEXT, DIM)
    assert legibility(Segment("───", Style.parse(style)), app)[1] == 0, "a frame is not read"


@pytest.mark.parametrize(
    "theme", [DARK, LIGHT, *(t for t in BUILTIN_THEMES.values() if not t.ansi)], ids=lambda theme: theme.name
)
def test_frames_and_bars_are_seen_on_what_is_behind_them(theme: Theme) -> None:
    paper = Shade.parse(theme.to_color_system().generate()["background"])
    frame, bar = Shade.parse(frame_color(theme)), palette_for(theme, ansi=False, no_color=False).bar
    assert contrast(frame, paper) >= LINE
    assert bar.color is not None
    assert contrast(Shade.from_rich_color(bar.color), paper) >= LINE
    assert contrast(frame, paper) < 5, "a frame stands back"


@pytest.mark.parametrize("theme", ["lookups-dark", "lookups-light"])
async def test_the_frames_on_screen_have_that_colour(theme: str) -> None:
    app = LookupsApp(CannedExplorer(), theme=theme)
    async with app.run_test(size=LARGE):
        of_pane = app.walk_screen.query_one("#prompts-pane").styles.border_top[1]
        assert of_pane == Shade.parse(frame_color(app.current_theme))


@pytest.mark.slow
@pytest.mark.parametrize("name", VIEWS)
async def test_a_screen_can_be_read_at_every_size_and_colour(name: str) -> None:
    async with shown(name, SMALL) as (app, pilot):
        for theme, size in product(THEMES, (SMALL, LARGE)):
            await change(app, pilot, theme, size)
            check_everything(app, name)
        await check_far_too_small(app, pilot)
