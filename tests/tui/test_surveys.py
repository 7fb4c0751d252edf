"""A head's side and the survey: what they show, where their keys lead; how work grows, stops and goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import Input

from tests.tui.canned import BECAUSE, CannedExplorer
from tests.tui.driving import LARGE, SMALL, hints, press, rest, running, settle, until
from tests.tui.head_words import asked
from tests.tui.test_hostile import check_widgets
from tui_lookups.errors import LookupsError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import Survey, SurveyedPair, SurveyProgress
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.paint.shading import plain_palette
from tui_lookups.tui.screens.served_by import ServedByScreen
from tui_lookups.tui.screens.survey import SurveyScreen
from tui_lookups.tui.state.orders import pairs_in
from tui_lookups.tui.text.survey import folded_words, layers_wanted, progress_words, share_text, time_left
from tui_lookups.tui.widgets.pair_rows import ServedRows, SurveyRows
from tui_lookups.tui.widgets.paragraphs import Paragraphs
from tui_lookups.tui.widgets.serves_grid import ServesGrid
from tui_lookups.tui.widgets.text import PackedText, TextLines

HEAD = HeadId(3, 1)
"""One that serves neurons, left of the one that the canned walk opens on."""


def said(app: LookupsApp, selector: str) -> str:
    widget = app.screen.query_one(selector)
    return " ".join(widget.parts) if isinstance(widget, PackedText) else cast("TextLines", widget).text


@contextmanager
def held(explorer: CannedExplorer, first: int) -> Iterator[threading.Semaphore]:
    """Surveys wait before a neuron once `first` are worked out; each release lets one more through."""
    gate = threading.Semaphore(first)
    explorer.before_neuron = lambda done: None if done < explorer.surveyed else gate.acquire()  # type: ignore
    yield gate
    gate.release(10_000)


# --- a head's side ---


async def test_a_heads_side_is_sorted_copied_gone_on_from_and_left_as_it_was() -> None:
    explorer = CannedExplorer()
    expected = explorer.served_by(HEAD)
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "3")
        await rest(pilot)
        await press(pilot, "left", "D")
        screen = app.screen
        assert isinstance(screen, ServedByScreen)
        assert asked(explorer, "served_by")[-1] == (HEAD, 20, None)
        rows = screen.query_one(ServedRows)
        assert rows.pairs == expected.pairs
        row = expected.head
        title = f" {HEAD} serves {row.serves} of the {row.reaches} neurons it reaches; carries "
        assert said(app, "#served-title").startswith(title)
        assert not app.screen.query_one("#served-progress").display
        assert check_widgets(screen) > 15

        await until(lambda: asked(explorer, "head_reads"), pilot)
        assert asked(explorer, "head_reads") == [(rows.pairs[0].neuron, HEAD)], "that under the cursor only"
        assert '" although"' in rows.plain_row(0)
        assert "+" in screen.query_one(Paragraphs).text
        assert "reads" not in rows.plain_row(1)

        await press(pilot, "S", "S", "S", "down")
        assert rows.order == "neuron"
        assert [pair.neuron for pair in rows.pairs] == sorted(
            (pair.neuron for pair in expected.pairs), key=lambda neuron: neuron.layer
        )
        chosen = rows.current
        assert chosen is not None
        await press(pilot, "y")
        assert app.clipboard == str(chosen.neuron)
        await press(pilot, "Y")
        assert len(app.clipboard.splitlines()) == len(expected.pairs) + 1
        await press(pilot, "exclamation_mark")
        assert app.clipboard == f"lookups-tui served-by {HEAD} --per-layer 20"
        await press(pilot, "percent_sign")
        assert "explorer.served_by(HeadId(3, 1), per_layer=20)" in app.clipboard

        await press(pilot, "enter")
        walk = app.walk_screen.walk
        assert app.screen is app.walk_screen
        assert (walk.token, walk.neuron, walk.head) == (chosen.token, chosen.neuron, HEAD)
        assert app.walk_screen.focused_pane == "detail"
        before = len(asked(explorer, "served_by"))
        await press(pilot, "escape")
        rows = app.screen.query_one(ServedRows)
        assert (rows.order, rows.current) == ("neuron", chosen)
        assert len(asked(explorer, "served_by")) == before, "nothing is asked twice"
        assert '" although"' in rows.plain_row(
            next(n for n, p in enumerate(rows.pairs) if p == expected.pairs[0])
        )
        await press(pilot, "escape")
        assert app.screen is app.walk_screen
        assert walk.neuron == NeuronId(5, 371), "and the walk is where it was left"


async def test_what_it_reads_is_asked_for_every_neuron_by_a_key() -> None:
    explorer = CannedExplorer(n_prompts=3)
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "3")
        await rest(pilot)
        await press(pilot, "left", "D")
        rows = app.screen.query_one(ServedRows)
        await until(lambda: asked(explorer, "head_reads"), pilot)
        assert "r read all" in hints(app)
        await press(pilot, "r")
        assert sorted(asked(explorer, "head_reads")) == sorted((pair.neuron, HEAD) for pair in rows.pairs)
        assert all("reads most" in rows.plain_row(n) for n in range(rows.row_count()))
        assert "r read all" not in hints(app)


async def open_side(app: LookupsApp, pilot: Pilot[None]) -> ServedRows:
    """A head's side, as a typed head opens it."""
    app.walk_screen.other_screens.open("served_by", HEAD)
    await settle(pilot)
    return app.screen.query_one(ServedRows)


async def test_a_heads_side_grows_stops_and_goes_on() -> None:
    explorer = CannedExplorer(threads=True)
    with held(explorer, 27) as gate:
        async with running(explorer, SMALL) as (app, pilot):
            rows = await open_side(app, pilot)
            await until(lambda: "27 of 36 neurons, 18 s left" in said(app, "#served-progress"), pilot)
            first = rows.row_count()
            assert first > 0
            assert "c stop" in hints(app)
            await press(pilot, "c")
            assert said(app, "#served-progress").startswith("Stopped: ")
            assert "c stop" not in hints(app)
            await press(pilot, "escape")
            rows = await open_side(app, pilot)
            gate.release(100)
            await until(lambda: not app.screen.query_one("#served-progress").display, pilot)
            assert rows.row_count() > first


@pytest.mark.parametrize("name", ["served_by", "head_reads"])
async def test_why_there_is_nothing_is_said(name: str) -> None:
    explorer = CannedExplorer()
    explorer.fail[name] = LookupsError("No sum closes.", "Leave it [out].")
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "D")
        assert app.screen is app.walk_screen
        assert hints(app).startswith("Choose a head first: 3 shows")
        rows = await open_side(app, pilot)
        await until(lambda: asked(explorer, name), pilot)
        if name == "served_by":
            assert rows.empty == "No sum closes.\nLeave it [out]."
        else:
            assert hints(app).startswith("No sum closes. Leave it [out].")


# --- the survey ---


async def test_the_survey_is_planned_run_looked_at_and_left_as_it_was() -> None:
    explorer = CannedExplorer()
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "M")
        screen = app.screen
        assert isinstance(screen, SurveyScreen)
        assert asked(explorer, "survey_plan") == [(20, None)]
        plan = said(app, "#survey-plan")
        assert "36 neurons, 0 of them in the cache 756 pairs" in plan
        assert "at most 720 texts to run, for 36 neurons of 20 prompts each r starts it" in plan
        assert asked(explorer, "survey") == [], "what costs begins by a key"
        await press(pilot, "r")
        expected = CannedExplorer().survey()
        rows, grid = screen.query_one(SurveyRows), screen.query_one(ServesGrid)
        assert rows.pairs == expected.pairs
        assert (
            said(app, "#survey-title")
            == f" Survey: 36 neurons; {len(expected.pairs)} pairs worth explaining (full)"
        )
        assert check_widgets(screen) > 15
        await press(pilot, "S", "home", "down")
        chosen = rows.current
        assert chosen == pairs_in("attribution", expected.pairs)[1]
        await press(pilot, "y")
        assert app.clipboard == f"{chosen.neuron} {chosen.head}"
        await press(pilot, "percent_sign")
        assert "explorer.survey(per_layer=20)" in app.clipboard

        await press(pilot, "v", "m", "down", "down")
        assert grid.has_focus
        assert grid.head == HeadId(2, 0)
        await press(pilot, "right", "enter")
        assert isinstance(app.screen, ServedByScreen)
        assert app.screen.place.head == HeadId(2, 1)
        await press(pilot, "escape")
        assert isinstance(app.screen, SurveyScreen), "back where the head was opened"
        grid = app.screen.query_one(ServesGrid)
        assert (grid.has_focus, grid.measure, grid.head) == (True, "carries", HeadId(2, 1))
        await press(pilot, "v")
        rows = app.screen.query_one(SurveyRows)
        assert rows.current == chosen
        await press(pilot, "D")
        assert cast("ServedByScreen", app.screen).place.head == chosen.head
        await press(pilot, "escape", "enter")
        walk = app.walk_screen.walk
        assert (walk.neuron, walk.head) == (chosen.neuron, chosen.head)
        await press(pilot, "escape")
        assert app.screen.query_one(SurveyRows).current == chosen
        assert len(asked(explorer, "survey_plan")) == 1
        await press(pilot, "escape")
        assert app.screen is app.walk_screen


async def test_it_grows_while_nobody_looks_stops_and_goes_on() -> None:
    explorer = CannedExplorer(threads=True)
    with held(explorer, 2) as gate:
        async with running(explorer, LARGE) as (app, pilot):
            await press(pilot, "M")
            await until(lambda: "starts it" in said(app, "#survey-plan"), pilot)
            await press(pilot, "r")
            await until(lambda: "2 of 36 neurons, 1 min left" in said(app, "#survey-plan"), pilot)
            rows, grid = app.screen.query_one(SurveyRows), app.screen.query_one(ServesGrid)
            await until(lambda: {pair.neuron.index for pair in rows.pairs} == {0, 7}, pilot)
            assert grid.head is not None, "the picture grows beside it"
            assert "r run" not in hints(app)
            await press(pilot, "escape")
            gate.release()
            run = app.walk_screen.other_screens._surveys.run
            await until(lambda: run.progress is not None and run.progress.done == 3, pilot)
            await press(pilot, "M")
            assert "3 of 36" in said(app, "#survey-plan")
            await press(pilot, "c")
            assert "Stopped; r goes on" in hints(app)
            await until(lambda: "36 neurons, 3 of them in the cache" in said(app, "#survey-plan"), pilot)
            assert app.screen.query_one(SurveyRows).row_count(), "what is there stays"
            explorer.surveyed = 36
            await press(pilot, "r")
            await until(lambda: run.whole, pilot)
            assert hints(app).startswith("Surveyed: 36 neurons, ")


async def test_what_is_in_the_cache_is_there_at_once() -> None:
    explorer = CannedExplorer()
    explorer.surveyed = 1000
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "M")
        assert app.screen.query_one(SurveyRows).row_count()
        assert "all 36 neurons are worked out" in said(app, "#survey-plan")


async def test_layers_and_neurons_are_chosen() -> None:
    explorer = CannedExplorer()
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "M", "e", "ctrl+u", *"4-x", "enter")
        assert hints(app).startswith("'4-x' is neither a layer nor a range of layers: give all, or layers")
        layers, count = (app.screen.query_one(name, Input) for name in ("#survey-layers", "#survey-count"))
        layers.value, count.value = "4-5", "0"
        await press(pilot, "enter")
        assert hints(app).startswith("Give a whole number of neurons a layer")
        count.value = "3"
        await press(pilot, "enter")
        assert asked(explorer, "survey_plan")[1:] == [(3, (4, 5))]
        assert "layers 4-5: 6 neurons" in said(app, "#survey-plan")
        await press(pilot, "r")
        assert asked(explorer, "survey") == [(3, (4, 5))]
        await press(pilot, "exclamation_mark")
        assert app.clipboard == "lookups-tui survey --per-layer 3 --layers 4-5"
        await press(pilot, "escape")
        await open_side(app, pilot)
        assert asked(explorer, "served_by") == [(HEAD, 3, (4, 5))], "a head's side is of the same neurons"


@pytest.mark.parametrize("name", ["survey_plan", "survey"])
async def test_why_there_is_no_survey_is_said(name: str) -> None:
    explorer = CannedExplorer()
    explorer.fail[name] = LookupsError("No sum closes.", "Leave it [out].")
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "M", "r", "enter", "D", "c", "v", "enter")
        assert app.screen.query_one(SurveyRows).empty == "No sum closes.\nLeave it [out]."
        assert "No sum closes. Leave it [out]." in said(app, "#survey-plan")
        del explorer.fail[name]
        await press(pilot, "e", "enter")
        assert "36 neurons" in said(app, "#survey-plan"), "entered again, it is asked again"


# --- the picture ---


class Shell(App[None]):
    palette = plain_palette()

    def compose(self) -> ComposeResult:
        yield ServesGrid("serves", id="grid")


@pytest.fixture(scope="module")
def survey() -> Survey:
    return CannedExplorer().survey(per_layer=5)


async def test_the_picture_has_the_figures_of_the_surveys_table(survey: Survey) -> None:
    async with Shell().run_test(size=(80, 20)) as pilot:
        grid = pilot.app.query_one(ServesGrid)
        grid.show_survey(survey)
        names, *rows = grid.table()
        assert tuple(names) == ("head", "serves", "reaches", "mean_attribution", "carries")
        assert [tuple(row) for row in rows] == [
            (str(row.head), row.serves, row.reaches, row.mean_attribution, row.carries)
            for row in survey.heads
        ]
        for _ in range(2):
            shown = _cells(grid)
            for row in survey.heads:
                counted = str(row.serves) if row.serves else "."
                assert shown[row.head] == (counted if grid.measure == "serves" else share_text(row.carries))
            await pilot.press("m")
        assert grid.measure == "serves"


def _cells(grid: ServesGrid) -> dict[HeadId, str]:
    """What stands in each cell of the grid."""
    found = {}
    for layer in range(grid._n_layers):
        row = "".join(segment.text for segment in grid._row(layer))
        for index in range(grid._n_heads):
            found[HeadId(layer, index)] = row[grid.cell * index :][: grid.cell].strip(" []")
    return found


async def test_where_cells_are_narrow_shares_lose_their_decimal(survey: Survey) -> None:
    async with Shell().run_test(size=(44, 20)) as pilot:
        grid = pilot.app.query_one(ServesGrid)
        grid.show_survey(survey)
        await pilot.press("m")
        texts = _cells(grid).values()
        assert max(map(len, texts)) <= grid.cell - 2
        assert all(text.endswith("%") for text in texts)


def test_layers_in_which_no_head_stands_out_share_a_row_that_says_so(survey: Survey) -> None:
    few = [
        replace(row, serves=n, carries=n / 1000) for n, row in enumerate(survey.heads) if row.head.layer < 2
    ]
    assert folded_words(range(2), few, "serves") == f"L0-L1: {sum(range(len(few)))} together"
    assert (
        folded_words(range(2), few, "carries") == f"L0-L1: at most {share_text((len(few) - 1) / 1000)} each"
    )


# --- words and orders ---


def test_pairs_go_by_each_column() -> None:
    def pair(layer: int, head: int, mean: float, active: float, share: float | None) -> SurveyedPair:
        return SurveyedPair(NeuronId(layer, 0), BECAUSE, 1.0, HeadId(0, head), mean, active, share)

    first, second, third = pair(2, 1, 0.5, 0.3, None), pair(1, 2, 0.7, 0.5, 0.1), pair(1, 0, -0.9, 0.4, 0.2)
    given = (first, second, third)
    assert pairs_in("neuron", given) == (second, third, first)
    assert pairs_in("attribution", given) == (second, first, third)
    assert pairs_in("share", given) == (third, second, first)
    assert pairs_in("active", given) == (second, third, first)
    assert pairs_in("head", given) == (third, first, second)
    assert pairs_in("token", given) == given


def test_a_survey_says_that_it_waits_for_the_scan() -> None:
    progress, scan = SurveyProgress(0, 36, 0.0, None), CannedExplorer(scanned=253).status().scan
    assert progress_words(progress, scan) == "first the scan: 253 of 506 prompts, 7 s left"
    assert progress_words(progress, CannedExplorer().status().scan) == "0 of 36 neurons"
    assert progress_words(None, None) == "Looking at the neurons…"


def test_shares_and_times_in_words() -> None:
    assert [share_text(value) for value in (None, -0.0001, 0.0213, -0.04, 0.0999, 0.5)] == [
        "–", "0.0%", "2.1%", "-4.0%", "10%", "50%",
    ]  # fmt: skip
    assert [time_left(seconds) for seconds in (None, 12.2, 100.0, 3700.0)] == [
        "", ", 12 s left", ", 2 min left", ", 1 h 2 min left",
    ]  # fmt: skip


def test_layers_are_typed_as_settings_have_them() -> None:
    assert layers_wanted(" All ") is layers_wanted("") is None
    assert layers_wanted("0, 4-5") == (0, 4, 5)
