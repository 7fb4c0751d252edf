"""What is pasted: a text of several lines keeps them where they count, and loses none elsewhere."""

from __future__ import annotations

import pytest
from textual import events
from textual.widgets import Input

from tests.tui.canned import CannedExplorer
from tests.tui.driving import SMALL, hints, press, rest, running, type_text
from tests.tui.views import texts
from tui_lookups.tui.widgets.token_box import CandidateList

LINES = "one two\r\nthree\n\nfour\rfive\n"


async def test_the_playground_keeps_line_breaks() -> None:
    explorer = CannedExplorer(hostile=False)
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "P")
        app.post_message(events.Paste(LINES))
        await rest(pilot)
        wanted = "one two\nthree\n\nfour\nfive"
        assert app.screen.query_one("#text", Input).value == wanted
        assert ("activations", wanted) in explorer.calls


@pytest.mark.parametrize(("keys", "line"), [(("t",), "#token-input"), (("slash",), "#filter")])
async def test_other_lines_put_a_space_between(keys: tuple[str, ...], line: str) -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, *keys)
        box = app.screen.query_one(line, Input)
        box.value = ""
        app.post_message(events.Paste(LINES))
        await press(pilot)
        assert box.value == "one two three four five"


async def test_what_is_pasted_replaces_what_is_selected() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "P", *"abc")
        box = app.screen.query_one("#text", Input)
        box.select_all()
        app.post_message(events.Paste("x\ny"))
        await press(pilot)
        assert box.value == "x\ny"
        app.post_message(events.Paste("\n"))
        app.post_message(events.Paste(""))
        await press(pilot)
        assert box.value == "x\ny\n", "a line break alone is what was copied"


PASSAGE = "She asked why.\r\nHe said so because"


@pytest.mark.parametrize(
    ("key", "screen", "line"), [("ctrl+y", "WhyScreen", "#why-text"), ("ctrl+o", "PlaygroundScreen", "#text")]
)
async def test_a_text_pasted_as_a_token_goes_on_to_where_texts_are_asked_about(
    key: str, screen: str, line: str
) -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "t")
        assert "^y why" not in hints(app), "a word is no text"
        app.post_message(events.Paste(PASSAGE))
        await rest(pilot)
        assert "^y why" in hints(app)
        assert "^o playground" in " ".join(texts(app))
        await press(pilot, key)
        assert type(app.screen).__name__ == screen
        assert app.screen.query_one(line, Input).value == "She asked why.\nHe said so because", (
            "line breaks stay"
        )
        assert not app.walk_screen.query_one(CandidateList).display


async def test_a_text_that_was_changed_after_the_paste_is_as_it_was_typed() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "t", "ctrl+u")
        await type_text(pilot, '"not so"')
        await press(pilot, "ctrl+y")
        assert app.screen.query_one("#why-text", Input).value == "not so", "without its quotes"
