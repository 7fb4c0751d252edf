"""A picture of every screen at 80 x 24, compared as text; and the screen measured, there and elsewhere.

1. The SVG Textual exports is stripped of what differs without a difference: generated ids, font addresses.
2. It must equal the one in `snapshots/`. Where it does not, the new one is written to pytest's temporary
   folder. `LOOKUPS_ACCEPT_SNAPSHOTS=1 pytest tests/tui/test_snapshots.py` takes the new ones over: look at
   them before they are committed.
"""

from __future__ import annotations

import difflib
import html
import os
import re
from pathlib import Path

import pytest
from textual.screen import Screen

from tests.tui.measuring import change, check_everything, check_far_too_small
from tests.tui.views import VIEWS, shown
from tui_lookups.tui import keymap
from tui_lookups.tui.app import LookupsApp

FOLDER = Path(__file__).parent / "snapshots"
ACCEPT = "LOOKUPS_ACCEPT_SNAPSHOTS"
ELSEWHERE = (
    ("lookups-light", (80, 24)),
    ("ansi-dark", (160, 45)),
    ("lookups-dark", (160, 45)),
    ("ansi-dark", (80, 24)),
    ("lookups-light", (160, 45)),
)
"""Where a screen is measured besides, in turn; test_contrast measures each at all of them."""
_MOST_LINES = 20


def normalised(svg: str) -> str:
    """An SVG without generated ids, fonts from the net, and trailing spaces."""
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"terminal-\d+-", "t-", svg)
    return "".join(line.rstrip() + "\n" for line in svg.splitlines() if line.strip())


def words(svg: str) -> list[str]:
    """What an SVG says, one entry a run of text: what a person wants to see of a difference."""
    return [html.unescape(text).replace("\xa0", " ") for text in re.findall(r">([^<>]+)</text>", svg)]


def difference(old: str, new: str) -> str:
    """The first changed texts, or colours and places where the texts agree."""
    pairs = (words(old), words(new))
    if pairs[0] == pairs[1]:
        pairs = (old.splitlines(), new.splitlines())
    changed = list(difflib.unified_diff(*pairs, "kept", "now", lineterm="", n=0))
    more = len(changed) - _MOST_LINES
    return "\n".join(changed[:_MOST_LINES] + ([f"... and {more} more"] if more > 0 else []))


@pytest.mark.parametrize("name", VIEWS)
async def test_a_screen_looks_as_it_did_and_can_be_read(name: str, tmp_path: Path) -> None:
    async with shown(name, (80, 24)) as (app, pilot):
        found = normalised(app.export_screenshot(title=name))
        check_everything(app, name)
        number = list(VIEWS).index(name)
        await change(app, pilot, *ELSEWHERE[number % len(ELSEWHERE)])
        check_everything(app, name)
        if number % 3 == 0:
            await check_far_too_small(app, pilot)
    kept = FOLDER / f"{name}.svg"
    if os.environ.get(ACCEPT):
        FOLDER.mkdir(exist_ok=True)
        kept.write_text(found, encoding="utf-8")
        return
    before = kept.read_text(encoding="utf-8") if kept.is_file() else ""
    if found != before:
        now = tmp_path / kept.name
        now.write_text(found, encoding="utf-8")
        pytest.fail(
            f"{name} looks different: see {now} beside {kept}.\n{difference(before, found)}\n"
            f"Where that is meant, run this again with {ACCEPT}=1.",
            pytrace=False,
        )


def test_every_screen_has_a_picture_and_every_picture_a_screen() -> None:
    kinds = {kind for chain in keymap.places(LookupsApp) for kind in chain if issubclass(kind, Screen)}
    named = {kind.__name__ for kind in kinds if kind.__name__.endswith("Screen")} - {"QueryScreen"}
    assert named == {view.screen for view in VIEWS.values()}
    assert {path.stem for path in FOLDER.glob("*.svg")} == set(VIEWS)


def test_pictures_are_small_and_tell_nothing_of_a_machine() -> None:
    pictures = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.svg")}
    assert sum(map(len, pictures.values())) < 45_000 * len(pictures)
    for name, svg in pictures.items():
        assert str(Path.home()) not in svg, name
        assert str(Path(__file__).parents[2]) not in svg, name
        assert "https:" not in svg, name


def test_a_difference_is_shown_in_words_first() -> None:
    one = '<text x="0">L5.N371&#160;fires</text><text x="9">same</text>'
    assert difference(one, one.replace("371", "372")).splitlines()[-2:] == [
        "-L5.N371 fires",
        "+L5.N372 fires",
    ]
    assert 'x="9"' in difference(one, one.replace('x="9"', 'x="8"'))
