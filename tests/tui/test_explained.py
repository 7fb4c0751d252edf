"""The list of everything explained so far: searched, opened, narrowed to the basket."""

from __future__ import annotations

from tests.tui.canned import CannedExplorer
from tests.tui.driving import FEW_SIZES, press, rest, running, type_text, until
from tests.tui.head_words import HEAD, NEURON, asked, dialog, panel
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import SelectedHead, SelectedNeuron, SelectedPrompt, Selection
from tui_lookups.tui.screens.explained import ExplainedRows, ExplainedScreen, in_basket
from tui_lookups.tui.state import basket
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.text import TextLines


@FEW_SIZES
async def test_the_list_of_explanations_is_searched_and_opened(size: tuple[int, int]) -> None:
    explorer = CannedExplorer()
    explorer.explaining.write(NeuronId(2, 9), HeadId(1, 1), "begins a [red]sentence")
    explorer.explaining.write(NeuronId(3, 3), HeadId(2, 2), "after a reason")
    async with running(explorer, size) as (app, pilot):
        await press(pilot, "i")
        assert isinstance(app.screen, ExplainedScreen)
        rows = app.screen.query_one(ExplainedRows)
        assert rows.row_count() == 2
        assert "after a reason\nwritten by hand" in dialog(app)
        await press(pilot, "slash")
        words = "sentence begins"
        await type_text(pilot, words)
        await until(lambda: asked(explorer, "explanations")[-1] == words, pilot)
        assert len(asked(explorer, "explanations")) < len(words), "not a question for every key"
        assert rows.row_count() == 1
        await press(pilot, "escape")
        await until(lambda: rows.row_count() == 2, pilot)
        await press(pilot, "down", "enter")
        await rest(pilot)
        assert app.walk_screen.walk.neuron == NeuronId(2, 9)
        assert app.walk_screen.walk.head == HeadId(1, 1)
        assert "[red]sentence" in panel(app)


async def test_an_empty_list_says_how_to_fill_it() -> None:
    async with running(CannedExplorer()) as (app, pilot):
        await press(pilot, "i")
        assert app.screen.query_one(ExplainedRows).empty.startswith("Nothing is explained yet.")
        await press(pilot, "enter", "y", "escape")
        assert app.screen is app.walk_screen


@FEW_SIZES
async def test_the_list_can_be_narrowed_to_the_basket_and_searched_there(size: tuple[int, int]) -> None:
    explorer = CannedExplorer()
    explorer.explaining.write(NEURON, HEAD, "after a reason")
    explorer.explaining.write(NeuronId(2, 9), HeadId(1, 1), "begins a sentence")
    async with running(explorer, size) as (app, pilot):
        await press(pilot, "i", "a")
        rows = app.screen.query_one(ExplainedRows)
        assert rows.row_count() == 0
        assert rows.empty.startswith("No neuron or head in the basket is explained.")
        app.selection = Selection(heads=(SelectedHead(NEURON, HEAD, 3),))
        await press(pilot, "a", "a")
        assert [e.explanation.explanation for e in rows.explained] == ["after a reason"]
        title = app.screen.query_one("#explained-title", TextLines)
        assert title.text == " Explained of what is in the basket: 1"
        await press(pilot, "slash")
        await type_text(pilot, "sentence")
        await until(lambda: rows.row_count() == 0, pilot)
        assert rows.empty == "Nothing of what is in the basket has all these words.\n" + (
            "esc clears the search, a shows all."
        )
        await press(pilot, "enter", "a")
        assert rows.row_count() == 1, "the search holds in the other scope"
        assert title.text == " Explained so far with sentence: 1"
        await press(pilot, "a", "escape")
        await until(lambda: title.text == " Explained of what is in the basket: 1", pilot)
        assert rows.row_count() == 1
        assert "a all/basket" in app.screen.query_one(Hints).text


def test_in_the_basket_are_marked_heads_and_all_heads_of_marked_neurons_of_this_model() -> None:
    explorer = CannedExplorer()
    for neuron, head in ((NEURON, HEAD), (NEURON, HeadId(0, 0)), (NeuronId(2, 9), HeadId(1, 1))):
        explorer.explaining.write(neuron, head, f"{head} of {neuron}")
    everything = explorer.explanations().explained
    ours = explorer.model.fingerprint

    def texts(*things: SelectedNeuron | SelectedHead | SelectedPrompt, model: str | None = ours) -> set[str]:
        selection = Selection()
        for thing in things:
            selection = basket.add(selection, thing)
        return {entry.explanation.explanation for entry in in_basket(everything, selection, model)}

    assert texts() == set()
    assert texts(SelectedHead(NEURON, HEAD)) == {"L3.H2 of L5.N371"}
    assert texts(SelectedHead(NeuronId(1, 1), HEAD)) == set()
    assert texts(SelectedPrompt(NEURON, 3)) == set()
    assert texts(SelectedNeuron(NEURON), SelectedHead(NEURON, HEAD)) == {
        "L3.H2 of L5.N371",
        "L0.H0 of L5.N371",
    }
    assert texts(SelectedNeuron(NEURON), model="another") == set()
    assert texts(SelectedNeuron(NEURON), model=None) == set()
