"""What the fuzz found: keys typed ahead, paths that cannot be, prompts that do not move the neuron."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.widgets import Input

from tests.tui.canned import CannedExplorer
from tests.tui.driving import SMALL, hints, line, press, rest, running, settle
from tui_lookups.ids import NeuronId
from tui_lookups.results import Prompt
from tui_lookups.tui.screens.playground import PlaygroundScreen
from tui_lookups.tui.widgets.paragraphs import Paragraphs
from tui_lookups.tui.widgets.text import WrappedText

# --- keys typed ahead ---


@pytest.mark.parametrize(
    "keys", [("O", "escape"), ("b", "escape"), ("question_mark", "escape"), ("3", "d", "escape")]
)
async def test_a_screen_that_is_left_twice_takes_no_other_with_it(keys: tuple[str, ...]) -> None:
    async with running(CannedExplorer()) as (app, pilot):
        await press(pilot, "A")
        below = app.screen
        await press(pilot, "escape")
        below.dismiss(None)
        assert app.screen is app.walk_screen
        await press(pilot, *keys[:-1])
        dialog = app.screen
        assert dialog is not app.walk_screen
        dialog.dismiss(None)
        dialog.dismiss(None)
        await settle(pilot)
        assert app.screen is app.walk_screen


async def test_the_palette_is_left_once() -> None:
    async with running(CannedExplorer()) as (app, pilot):
        await press(pilot, "P", "ctrl+p")
        palette = app.screen
        palette.dismiss(None)
        palette.dismiss(None)
        await settle(pilot)
        assert isinstance(app.screen, PlaygroundScreen)


# --- paths ---


@pytest.mark.parametrize("path", ["~nobody-of-that-name/x.json", "x" * 300])
@pytest.mark.parametrize("key", ["x", "O"])
async def test_a_path_that_cannot_be_is_said_in_the_dialog(key: str, path: str) -> None:
    async with running(CannedExplorer()) as (app, pilot):
        await press(pilot, "space", key)
        app.screen.query_one("#path", Input).value = path
        await press(pilot, "enter")
        problem = app.screen.query_one("#problem", WrappedText).text
        assert problem.startswith("That path does not work: ")


async def test_a_prompt_that_does_not_move_the_neuron_is_walked_through() -> None:
    explorer = CannedExplorer()
    prompt = explorer.prompt

    def still_prompt(neuron: NeuronId, n: int) -> Prompt:
        found = prompt(neuron, n)
        peak = replace(found.peak, activation=0.0)
        return replace(found, activations=(0.0,) * len(found.tokens), peak=peak)

    explorer.prompt = still_prompt  # type: ignore[method-assign]
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "2", "right", "right", "enter", "left")
        await rest(pilot)
        assert "of the peak" not in line(app, "#token-under")


async def test_words_that_are_longer_than_their_place_are_moved_through() -> None:
    async with running(CannedExplorer(), SMALL) as (app, pilot):
        await press(pilot, "3", "W", "s", "enter")
        words = app.screen.query_one("#all-heads-words", Paragraphs)

        def seen() -> list[str]:
            return [words.render_line(y).text.strip() for y in range(words.size.height)]

        first = seen()
        assert first[-1].endswith("more lines: > and < move in them")
        await press(pilot, "greater_than_sign", "greater_than_sign")
        assert seen()[-1] in words.text.replace("\n", " "), "the end of the text"
        assert "more lines" not in seen()[-1]
        await press(pilot, "greater_than_sign")
        assert "All of the text is on screen." in hints(app)
        await press(pilot, "less_than_sign", "less_than_sign", "less_than_sign")
        assert seen() == first
