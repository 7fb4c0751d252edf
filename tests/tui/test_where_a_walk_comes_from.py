"""What was opened by name, and what a token led to: the path, the figures, and what is said of twins."""

from __future__ import annotations

import threading

from tests.tui.canned import BECAUSE, CannedExplorer
from tests.tui.driving import LARGE, SMALL, hints, line, press, running, settle, type_text, until
from tui_lookups.errors import CacheError
from tui_lookups.ids import NeuronId
from tui_lookups.tui.widgets.neurons_table import NeuronsTable
from tui_lookups.tui.widgets.token_box import CandidateList


async def test_figures_at_the_peaks_are_of_the_token_the_walk_came_from() -> None:
    async with running(CannedExplorer(hostile=False), LARGE) as (app, pilot):
        walk = app.walk_screen.walk
        assert walk.ranked is not None
        assert walk.figures.token == walk.token == BECAUSE
        await press(pilot, "t")
        await type_text(pilot, '" time"')
        await press(pilot, "enter")
        await until(lambda: walk.figures is not None and walk.figures.token == walk.token, pilot)
        assert walk.token.text == " time"


async def test_a_neuron_opened_by_name_stands_beside_the_token_that_did_not_lead_to_it() -> None:
    async with running(CannedExplorer(hostile=False), LARGE) as (app, pilot):
        assert "#1 › L5.N371 › prompt 1" in line(app, "#token-facts")
        walk = app.walk_screen.walk
        ranked = {row.neuron for row in walk.ranking.neurons}
        other = next(n for n in (NeuronId(0, i) for i in range(700)) if n not in ranked)
        await press(pilot, "t")
        await type_text(pilot, str(other))
        await press(pilot, "enter")
        assert f"#1 · {other} › prompt 1" in line(app, "#token-facts")


async def test_a_neuron_given_at_the_start_brings_its_tokens_neurons() -> None:
    async with running(CannedExplorer(hostile=False), LARGE, token="5.371") as (app, pilot):
        await settle(pilot)
        walk = app.walk_screen.walk
        assert walk.neuron == NeuronId(5, 371)
        assert walk.token.id == walk.promoted.tokens[0].id
        assert app.screen.query_one(NeuronsTable).row_count() > 0


async def test_while_a_new_token_is_ranked_the_old_path_is_gone() -> None:
    explorer = CannedExplorer(hostile=False)
    async with running(explorer, LARGE) as (app, pilot):
        ranked, rank = threading.Event(), explorer.neurons
        explorer.threads = True

        def slowly(*given: object, **named: object) -> object:
            ranked.wait(60)
            return rank(*given, **named)

        explorer.neurons = slowly  # type: ignore[method-assign, assignment]
        try:
            await press(pilot, "t")
            await type_text(pilot, '" time"')
            await until(lambda: app.screen.query_one(CandidateList).found.exact == 1, pilot)
            await press(pilot, "enter")
            assert app.walk_screen.walk.waiting("neurons")
            assert "L5.N371" not in line(app, "#token-facts")
            ranked.set()
            await until(lambda: "›" in line(app, "#token-facts"), pilot)
        finally:
            ranked.set()


async def test_the_twin_of_a_token_given_at_the_start_is_named() -> None:
    async with running(CannedExplorer(hostile=False), SMALL, token="time") as (app, _):
        token = app.walk_screen.walk.token
        assert token.text == "time"
        assert "␣time #" in hints(app)
        assert "is another token: t chooses." in hints(app)


async def test_a_token_that_cannot_be_looked_up_at_the_start_opens_no_box() -> None:
    explorer = CannedExplorer()
    explorer.fail["resolve_token"] = CacheError("The cache is in use.", "Wait a moment.")
    async with running(explorer, SMALL, token="time") as (app, _):
        assert not app.screen.query_one(CandidateList).display
        assert "The cache is in use. Wait a moment." in hints(app)


async def test_the_path_is_as_long_as_a_terminal_that_grows_has_room_for() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        before = line(app, "#token-facts")
        assert "› L5.N371 › prompt 1" in before
        for size in ((120, 40), (30, 8), SMALL):
            await pilot.resize_terminal(*size)
            await settle(pilot)
        after = line(app, "#token-facts")
        assert "› L5.N371 › prompt 1" in after
