"""Lists in another order: one key everywhere, the cursor stays on what it is on, and the title says which."""

from __future__ import annotations

from dataclasses import replace

from tests.tui.canned import BECAUSE, CannedExplorer
from tests.tui.driving import LARGE, SMALL, hints, press, rest, running
from tests.tui.views import texts
from tui_lookups.errors import LookupsError
from tui_lookups.ids import NeuronId
from tui_lookups.results import NeuronScore
from tui_lookups.tui.panes.pane import Pane
from tui_lookups.tui.screens.atlas import AtlasRows, LayerRows
from tui_lookups.tui.state.orders import NEURONS, low_rank_of_first, neurons_in
from tui_lookups.tui.widgets.head_grid import HeadGrid
from tui_lookups.tui.widgets.neurons_table import NeuronsTable
from tui_lookups.tui.widgets.prompt_list import PromptList
from tui_lookups.tui.widgets.text import WrappedText

HIGH = NeuronScore(NeuronId(3, 1), 3, 1, 2.0, 0.5, 1, BECAUSE, 2.0)
LOW = NeuronScore(NeuronId(1, 9), 1, 9, 1.0, 0.8, 40, BECAUSE, 1.0)
MIDDLE = NeuronScore(NeuronId(1, 2), 1, 2, 0.5, -0.9, 7, BECAUSE, 1.0)


def test_a_ranking_in_each_order() -> None:
    rows = (HIGH, LOW, MIDDLE)
    activity = {HIGH.neuron: 0.02, MIDDLE.neuron: 0.3}
    orders = {order: neurons_in(order, rows, activity) for order in NEURONS}
    assert orders == {
        "congruence": rows,
        "cosine": (MIDDLE, LOW, HIGH),
        "rank": (HIGH, MIDDLE, LOW),
        "layer": (MIDDLE, LOW, HIGH),
        "activity": (MIDDLE, HIGH, LOW),
    }


def test_first_rows_that_rank_the_token_low_are_told_with_whether_their_norm_leads() -> None:
    assert low_rank_of_first(()) is None
    assert low_rank_of_first((HIGH, MIDDLE, LOW)) is None
    large = [replace(LOW, congruence=9.0 - n, cosine=0.1, token_rank=426 + n) for n in range(5)]
    small = [replace(LOW, congruence=1.0, cosine=0.5, token_rank=2)] * 20
    assert low_rank_of_first([*large, *small]) == (426, True)
    alike = [replace(row, congruence=1.0, cosine=0.5) for row in large]
    assert low_rank_of_first([*alike, *small]) == (426, False)
    assert low_rank_of_first([*large[:2], *small]) is None, "most of the first five count"


async def test_neurons_go_round_their_orders_and_the_cursor_stays_on_its_neuron() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        table, pane = app.screen.query_one(NeuronsTable), app.screen.query_one("#neurons-pane", Pane)
        await press(pilot, "j", "j", "j")
        kept = table.under_cursor
        assert "S sort" in hints(app)
        for order in (*NEURONS[1:], NEURONS[0]):
            await press(pilot, "S")
            assert table.under_cursor == kept
            assert table.order == order
            assert pane.words.endswith(f", by {order}  200") == (order != "congruence")
            assert hints(app) == f"Neurons by {order}."
            if order == "activity":
                shares = [table.plain_row(n).split("active on ")[1] for n in range(3)]
                assert shares == sorted(shares, key=lambda text: -float(text.partition("%")[0]))
                assert any("act." in line for line in texts(app))
                assert "above zero" in app.screen.query_one("#ranking-note", WrappedText).text
        assert app.screen.query_one("#ranking-note", WrappedText).text == ""


async def test_why_activity_is_not_known_is_told_below_the_list() -> None:
    explorer = CannedExplorer(hostile=False)
    explorer.fail["stats"] = LookupsError("The scan has not begun.", "Wait.")
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "S", "S", "S", "S")
        assert app.screen.query_one("#ranking-note", WrappedText).text == "The scan has not begun. Wait."
        assert app.screen.query_one(NeuronsTable).row_count()
        explorer.fail.clear()
        await press(pilot, "S", "S", "S", "S", "S")
        said = app.screen.query_one("#ranking-note", WrappedText).text
        assert said.startswith("act.: on how many"), "it is asked for again"


async def test_a_ranking_led_by_neurons_of_large_norm_says_so() -> None:
    class Large(CannedExplorer):
        def neurons(self, *arguments: object, **more: object) -> object:  # type: ignore[override]
            found = super().neurons(*arguments, **more)  # type: ignore[arg-type]
            led = (replace(row, cosine=0.1, token_rank=426) for row in found.neurons[:5])
            return replace(found, neurons=(*led, *found.neurons[5:]))

    async with running(Large(hostile=False), SMALL) as (app, _pilot):
        said = "Led by neurons of large norm: ␣because ranks 426 for the first; S sorts by cosine."
        assert app.screen.query_one("#ranking-note", WrappedText).text == said
        assert said[:40] in " ".join(texts(app))


async def test_prompts_by_length_and_by_their_place_in_the_corpus() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "2", "j", "j")
        prompts, pane = app.screen.query_one(PromptList), app.screen.query_one("#prompts-pane", Pane)
        kept, ranked = prompts.current, prompts.prompts
        await press(pilot, "S")
        lengths = [len(prompt.tokens) for prompt in prompts.prompts]
        assert lengths == sorted(lengths, reverse=True)
        assert "the longest first" in pane.words
        await press(pilot, "S")
        numbers = [prompt.prompt_id for prompt in prompts.prompts]
        assert numbers == sorted(numbers)
        await press(pilot, "S")
        assert prompts.prompts == ranked
        assert prompts.current == kept


async def test_heads_stand_in_a_list_by_size_then_by_layer() -> None:
    async with running(CannedExplorer(hostile=False), LARGE) as (app, pilot):
        await press(pilot, "3")
        await rest(pilot)
        grid = app.screen.query_one(HeadGrid)
        await press(pilot, "S")
        assert (grid.listed, grid.order) == (True, "size")
        sizes = [float(line.split("attribution ")[1].split(",")[0]) for line in grid.plain_lines()]
        assert [abs(size) for size in sizes] == sorted((abs(size) for size in sizes), reverse=True)
        kept = grid.head
        await press(pilot, "S")
        assert grid.plain_lines()[0].split(". ")[1].startswith("L0.H0,")
        assert grid.head == kept
        assert hints(app) == "Heads by layer; v: the grid."


async def test_the_atlas_by_each_column_and_as_it_was_left() -> None:
    async with running(CannedExplorer(hostile=False), LARGE) as (app, pilot):
        await press(pilot, "A")
        layers = app.screen.query_one(LayerRows)
        here = layers.found[layers.cursor]
        await press(pilot, "S")
        assert layers.found[layers.cursor] == here
        counts = [layer.best_of_tokens for layer in layers.found]
        assert counts == sorted(counts, reverse=True)
        assert any("best for tokens▾" in line for line in texts(app))
        await press(pilot, "enter", "j", "S")
        rows = app.screen.query_one(AtlasRows)
        assert [n.neuron.index for n in rows.neurons] == sorted(n.neuron.index for n in rows.neurons)
        await press(pilot, "S", "escape", "A")
        layers, rows = app.screen.query_one(LayerRows), app.screen.query_one(AtlasRows)
        assert (layers.order, rows.order) == ("tokens", "token")
        words = [found.top_token.text.strip().casefold() for found in rows.neurons]
        assert words == sorted(words)
