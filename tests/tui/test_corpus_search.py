"""The whole corpus searched from the line of the prompts: what is said, and a hit as a door."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.widgets import Input

from tests.tui.canned import CannedExplorer
from tests.tui.driving import SMALL, hints, press, running, type_text
from tests.tui.views import texts
from tui_lookups.errors import LookupsError
from tui_lookups.results import CorpusHits
from tui_lookups.tui.screens.corpus_search import CorpusSearchScreen
from tui_lookups.tui.state.given_text import GIVEN
from tui_lookups.tui.text.corpus_search import search_title
from tui_lookups.tui.widgets.hit_list import HitList
from tui_lookups.tui.widgets.prompt_list import PromptList

ALL = CannedExplorer(hostile=False).search_corpus(" road")
TWO = replace(ALL, hits=ALL.hits[:2])
assert len(TWO.hits) == 2


@pytest.mark.parametrize(
    ("found", "stop", "title", "empty"),
    [
        (None, "esc", "Opening the corpus…; esc stops it", ""),
        (None, "", "The texts of the corpus", "Type a text:\nenter searches"),
        (replace(ALL, looked=10), "esc", "so far: looked at 10 of 40 (25%); esc stops it", ""),
        (replace(ALL, hits=()), "", "0 prompts hold “ road”, of all 40 of", "No text of the corpus"),
        (replace(ALL, hits=ALL.hits[:1]), "", "1 prompt holds “ road”, of all 40", ""),
        (replace(TWO, most=2, looked=9), "", "The first 2 prompts hold “ road”: looked at 9 of 40", ""),
        (replace(TWO, hits=(), looked=9, note="But."), "", "stopped after 9 of 40", "was stopped.\nBut."),
    ],
)  # fmt: skip
def test_what_is_said(found: CorpusHits | None, stop: str, title: str, empty: str) -> None:
    said = search_title(found, stop, "enter")
    assert title in said[0]
    assert empty in said[1]


async def test_the_line_says_what_it_searches_and_takes_the_text_to_the_whole_corpus_and_back() -> None:
    explorer = CannedExplorer(hostile=False)
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "2", "slash")
        assert "searching these 20 prompts" in " ".join(texts(app))
        assert "^g whole corpus" in hints(app)
        await type_text(pilot, "road")
        await press(pilot, "ctrl+g")
        assert isinstance(app.screen, CorpusSearchScreen)
        assert ("search_corpus", "road") in explorer.calls
        rows = app.screen.query_one(HitList)
        assert rows.has_focus
        assert f"{len(rows.hits)} prompts hold “road”, of all 40" in texts(app)[0]
        await press(pilot, "down")
        hit = rows.under_cursor
        assert hit is not None
        await press(pilot, "enter")
        walk, prompts = app.walk_screen.walk, app.screen.query_one(PromptList)
        assert app.focused is prompts
        assert walk.prompt_id == GIVEN
        assert walk.given is not None
        assert walk.given.tokens == hit.tokens[1:], "the whole text"
        assert prompts.position == hit.spans[0][1], "at the place where it was found"
        assert prompts.current is not None
        assert prompts.current.peak.activation == prompts.current.activations[prompts.position]
        await press(pilot, "escape")
        assert isinstance(app.screen, CorpusSearchScreen)
        assert app.screen.query_one(HitList).under_cursor == hit, "as it was left"
        await press(pilot, "escape")
        assert app.walk_screen.is_current
        assert walk.prompt_id != GIVEN


async def test_escape_stops_a_search_and_keeps_what_it_found(monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = CannedExplorer(hostile=False)
    async with running(explorer, SMALL) as (app, pilot):
        explorer.held = []
        await press(pilot, "ctrl+g")
        await type_text(pilot, "road")
        await press(pilot, "enter")
        assert "esc stops it" in texts(app)[0]
        await press(pilot, "escape")
        assert "esc stops it" not in texts(app)[0]
        assert isinstance(app.screen, CorpusSearchScreen)
        explorer.release()
        await press(pilot)
        assert app.screen.query_one(HitList).hits == (), "a late answer is dropped"
        monkeypatch.setattr(
            explorer, "search_corpus", lambda *_, **__: replace(ALL, note="There may be more.")
        )
        await press(pilot, "slash", "enter")
        assert app.screen.query_one(HitList).hits
        assert hints(app).startswith("There may be more.")


async def test_an_error_is_said_and_an_empty_line_searches_for_nothing() -> None:
    explorer = CannedExplorer(hostile=False)
    async with running(explorer, SMALL) as (app, pilot):
        explorer.fail["search_corpus"] = LookupsError("[The] corpus is gone.", "Name another.")
        await press(pilot, "ctrl+g", "enter")
        assert not [call for call in explorer.calls if call[0] == "search_corpus"]
        app.screen.query_one("#search-text", Input).value = "x"
        await press(pilot, "enter")
        assert "[The] corpus is gone." in " ".join(texts(app))


async def test_a_text_needs_a_neuron() -> None:
    explorer = CannedExplorer(hostile=False)
    async with running(explorer, SMALL) as (app, pilot):
        app.walk_screen.steps.neurons.close_neuron()
        await press(pilot, "ctrl+g")
        await type_text(pilot, "road")
        await press(pilot, "enter", "enter")
        assert "Open a neuron first" in hints(app)
