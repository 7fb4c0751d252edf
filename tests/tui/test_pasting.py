"""What is pasted: a text of several lines keeps them where they count, and loses none elsewhere."""

from __future__ import annotations

import pytest
from textual import events
from textual.widgets import Input

from tests.tui.canned import CannedExplorer
from tests.tui.driving import SMALL, press, rest, running

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
