"""The palette: sentences with their keys, found by word, description, name or key; and what is not now."""

from __future__ import annotations

import pytest
from textual.command import CommandList

from tests.tui.canned import CannedExplorer
from tests.tui.driving import SMALL, press, running, type_text, until
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.keymap import actions
from tui_lookups.tui.palette_commands import entries
from tui_lookups.tui.text.action_search import match_action
from tui_lookups.tui.text.sentences import MOVES, SENTENCES

SENTENCE = "Open the heads of this prompt"


def score(typed: str, sentence: str = SENTENCE, beside: str = "", key: str = "enter") -> float:
    return match_action(typed, sentence, beside, (key,)).score


@pytest.mark.parametrize("typed", ["heads", "HEADS open", "prom", "hds", "enter", "eads"])
def test_an_action_is_found_by_words_their_parts_their_letters_and_its_key(typed: str) -> None:
    assert score(typed)


@pytest.mark.parametrize("typed", ["neuron", "heads neuron", "sdaeh", "h3ads"])
def test_an_action_is_not_found_by_what_is_not_in_it(typed: str) -> None:
    assert not score(typed)


def test_the_description_and_the_names_are_searched_too_and_count_less() -> None:
    assert score("attribution", beside="Attribution behind the peak prompts.open")
    assert score("prompts.open", beside="Attribution behind the peak prompts.open")
    assert score("heads") > score("heads", "Open them", beside="heads") > 0


def test_the_better_the_place_of_a_word_the_more_it_counts() -> None:
    assert score("h", key="h") > score("heads") > score("eads") > score("hds") > 0


def test_what_was_found_is_named_by_its_characters() -> None:
    found = match_action("hds open", SENTENCE, "", ())
    assert "".join(SENTENCE[at] for at in found.at) == "Openhds"


def test_sentences_are_of_actions_that_exist() -> None:
    assert set(SENTENCES) | MOVES <= set(actions(LookupsApp))


async def test_every_row_says_in_words_what_is_done_and_each_once() -> None:
    async with running(CannedExplorer()) as (app, pilot):
        for pane in "1234":
            await press(pilot, pane)
            sentences = [entry.sentence for entry in entries(app, app.screen)]
            assert len(set(sentences)) == len(sentences)
            assert [each for each in sentences if len(each.split()) < 2] == []


async def test_nearest_first_and_what_only_moves_a_cursor_after_it() -> None:
    async with running(CannedExplorer()) as (app, pilot):
        await press(pilot, "2")
        titles = [entry.title for entry in entries(app, app.screen)]
        assert titles[0] == "Open the heads of this prompt (enter)"
        assert titles.index("Quit the program (q)") < titles.index("Go to the next prompt (↑↓)")


async def test_what_would_do_nothing_here_says_why_and_comes_last() -> None:
    async with running(CannedExplorer(), SMALL) as (app, pilot):
        where = {entry.sentence: entry for entry in entries(app, app.screen)}
        assert where["Export what is marked as JSON"].about == "Not now: nothing is marked."
        assert "walk began" in where["Go back to the token and neuron before"].about
        assert list(where.values())[-1].not_now
        await press(pilot, "space")
        where = {entry.sentence: entry for entry in entries(app, app.screen)}
        assert where["Export what is marked as JSON"].not_now == ""


async def test_nothing_is_opened_yet() -> None:
    async with running(CannedExplorer(hold=True), SMALL) as (app, _):
        where = {entry.sentence: entry.not_now for entry in entries(app, app.screen)}
        assert where["Try this neuron on any text: the playground"] == "no neuron is open"
        assert where["Ablate this head: see its total effect"] == "no head is open"


async def test_a_row_is_found_by_its_description_and_run() -> None:
    async with running(CannedExplorer(), SMALL) as (app, pilot):
        await press(pilot, "ctrl+p")
        await type_text(pilot, "screen reader")
        rows = app.screen.query_one(CommandList)
        await until(lambda: rows.option_count == 1, pilot)
        await press(pilot, "enter")
        await until(lambda: app.plain, pilot)
