"""Notes on what is marked: written, shown, kept, taken back, and there again."""

from __future__ import annotations

import pytest

from tests.tui.canned import CannedExplorer
from tests.tui.driving import LARGE, SMALL, hints, press, running, settle, type_text
from tests.tui.views import texts
from tui_lookups.errors import CacheError
from tui_lookups.results import Note, SelectedNeuron, Selection
from tui_lookups.tui.screens.basket import BasketRows, BasketScreen
from tui_lookups.tui.screens.one_line import OneLineScreen
from tui_lookups.tui.state import basket


@pytest.mark.parametrize("size", [(60, 16), SMALL])
async def test_a_note_is_written_where_things_are_marked(size: tuple[int, int]) -> None:
    explorer = CannedExplorer(hostile=False)
    async with running(explorer, size) as (app, pilot):
        await press(pilot, "1", "comma")
        assert isinstance(app.screen, OneLineScreen)
        await type_text(pilot, "fires on causes")
        await press(pilot, "enter")
        (item,), (note,) = app.selection.items, app.selection.notes
        assert isinstance(item, SelectedNeuron)
        assert (note.neuron, note.text) == (item.neuron, "fires on causes")
        assert explorer.written == {note.subject: note}
        await press(pilot, "b")
        assert "“fires on causes”" in " ".join(app.screen.query_one(BasketRows).plain_lines())
        assert "fires on causes" in texts(app)[-1] or "fires on causes" in " ".join(texts(app))


async def test_a_note_is_changed_taken_away_and_taken_back() -> None:
    explorer = CannedExplorer(hostile=False)
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "1", "comma", "a", "enter", "b", "n", "b", "enter")
        assert isinstance(app.screen, BasketScreen)
        assert [note.text for note in app.selection.notes] == ["ab"]
        await press(pilot, "n", "backspace", "backspace", "enter")
        assert (len(app.selection), app.selection.notes) == (1, ())
        assert [note.text for note in explorer.written.values()] == [""], "the cache knows that it is gone"
        await press(pilot, "u")
        assert [note.text for note in app.selection.notes] == ["ab"]
        assert [note.text for note in explorer.written.values()] == ["ab"]
        await press(pilot, "n", "x", "escape")
        assert [note.text for note in app.selection.notes] == ["ab"]
        await press(pilot, "c")
        assert app.selection == Selection()
        await press(pilot, "escape", "u")
        assert [note.text for note in app.selection.notes] == ["ab"]
        assert hints(app).startswith("Undone: unmarked neuron L")
        await press(pilot, "asterisk")
        assert app.selection == Selection()
        assert hints(app).startswith("Done again: unmarked neuron L")
        await press(pilot, "asterisk")
        assert hints(app) == "Nothing to do again in the basket."


async def test_what_is_marked_again_has_its_note() -> None:
    explorer = CannedExplorer(hostile=False)
    neuron = explorer.first_view().neuron
    note = Note(neuron, "from last week", "2026-11-23T07:00:00+00:00")
    explorer.written[note.subject] = note
    async with running(explorer, LARGE) as (app, pilot):
        app.begin_loading()
        await settle(pilot)
        app.selection = basket.add(app.selection, SelectedNeuron(neuron))
        assert app.selection.notes == (note,)
        app.selection = basket.with_note(app.selection, SelectedNeuron(neuron), "", note.written)
        assert app.selection.notes == (), "what is taken away stays away"


async def test_a_note_that_cannot_be_kept_is_said_and_stays_in_the_basket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    explorer = CannedExplorer(hostile=False)

    def full(note: Note) -> None:
        raise CacheError("The disk is full.", "Make room.")

    monkeypatch.setattr(explorer, "keep_note", full)
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "1", "comma", "a", "enter")
        assert hints(app) == "The disk is full. Make room."
        assert [note.text for note in app.selection.notes] == ["a"]
