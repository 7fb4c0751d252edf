"""All heads worth explaining: the table, the run that fills it, and how it is stopped."""

from __future__ import annotations

from dataclasses import replace

from tests.tui.canned import CannedExplorer
from tests.tui.canned_explanations import WORTH
from tests.tui.driving import FEW_SIZES, LARGE, SMALL, hints, press, rest, running, settle
from tests.tui.head_words import NEURON, asked, dialog, panel
from tests.tui.views import texts
from tui_lookups.errors import LookupsError
from tui_lookups.tui.screens.head_run import HeadRunRows, HeadRunScreen
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.paragraphs import Paragraphs


def summary(app: object) -> str:
    return app.screen.query_one("#all-heads-summary", Paragraphs).text  # type: ignore[attr-defined, no-any-return]


@FEW_SIZES
async def test_all_heads_are_explained_and_scored(size: tuple[int, int]) -> None:
    explorer = CannedExplorer()
    async with running(explorer, size) as (app, pilot):
        await press(pilot, "3", "W")
        assert isinstance(app.screen, HeadRunScreen)
        rows = app.screen.query_one(HeadRunRows)
        assert [entry.head for entry in rows.heads] == list(WORTH)
        assert "Nothing is scored yet" in summary(app)
        await press(pilot, "e")
        assert str(app.screen.query_one(".dialog").border_title) == "Explain 3 heads of L5.N371"
        assert "3 calls to small-1" in dialog(app)
        assert not asked(explorer, "explain_all"), "nothing is sent before it is agreed to"
        await press(pilot, "escape")
        assert not asked(explorer, "explain_all")
        await press(pilot, "e", "enter")
        assert asked(explorer, "explain_all") == [NEURON]
        assert rows.heads[0].explained is not None
        assert "this time 2 calls, about 1,704 tokens, cost 0.0123, 1 cached" in summary(app)
        assert hints(app) == "2 heads of L5.N371 are explained."
        await press(pilot, "s")
        assert "123 calls" in dialog(app)
        await press(pilot, "enter")
        assert asked(explorer, "score_all") == [NEURON]
        assert "head explanation score 0.75 ± 0.00 over 2" in summary(app)
        words = app.screen.query_one("#all-heads-words", Paragraphs)
        assert "score 0.75 on 10 active and 10 inactive held-out prompts" in words.text
        await press(pilot, "end")
        assert words.text == "[It] is active on none of the 20 prompts used to explain L5.N371."
        await press(pilot, "home", "down", "enter")
        await rest(pilot)
        assert app.screen is app.walk_screen
        assert app.walk_screen.walk.head == WORTH[1]
        assert "score 0.75" in panel(app)


async def test_a_run_goes_on_when_its_screen_is_closed_and_c_stops_it() -> None:
    explorer = CannedExplorer()
    async with running(explorer, LARGE) as (app, pilot):
        await press(pilot, "3", "W", "s")
        explorer.held = []
        await press(pilot, "enter")
        run = app.walk_screen.head_run
        assert "explaining and scoring; c stops it" in summary(app)
        await press(pilot, "s")
        assert "One run at a time" in app.screen.query_one(Hints).text
        await press(pilot, "escape")
        assert run.running
        await press(pilot, "e")
        assert "a run over all heads of L5.N371 is in progress" in hints(app)
        await press(pilot, "1", "down", "enter", "W")
        assert run.neuron == NEURON, "the run's own table is shown"
        await press(pilot, "c")
        assert not run.running
        explorer.release()
        await settle(pilot)
        assert "Stopped; e or s resumes." in app.screen.query_one(Hints).text
        assert run.used is None, "what comes late is dropped"
        await press(pilot, "c")
        assert "No run is in progress." in app.screen.query_one(Hints).text


async def test_a_run_tells_how_far_it_is_and_ends_on_the_walk() -> None:
    explorer = CannedExplorer(threads=False)
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "3", "W")
        seen: list[str] = []
        run = app.walk_screen.head_run
        shown = run.listener

        def watch() -> None:
            shown()
            seen.append(summary(app))

        run.listener = watch
        await press(pilot, "s", "enter")
        assert any(
            "explaining and scoring ###------- 1 of 3 answered (33%), 0:02 left; c stops it" in text
            for text in seen
        )
        assert any("#####----- 10 of 20 answered (50%), 1 failed, 0:01 left" in text for text in seen)


async def test_a_run_that_fails_says_why_and_keeps_its_table() -> None:
    explorer = CannedExplorer()
    explorer.fail["score_all"] = LookupsError("The [budget] is spent.", "Raise it.")
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "3", "W", "s", "enter")
        assert summary(app).startswith("The [budget] is spent.\nRaise it.")
        rows = app.screen.query_one(HeadRunRows)
        assert rows.heads[0].explained is not None, "what was explained before it failed is there"
        explorer.fail = {"so_far": LookupsError("No.", "Why.")}
        await press(pilot, "escape", "1", "down", "enter", "W")
        assert summary(app) == "No.\nWhy."
        await press(pilot, "s")
        assert "There is no head to ask about." in app.screen.query_one(Hints).text


async def test_before_a_run_the_table_says_how_often_each_head_is_active() -> None:
    explorer = CannedExplorer()
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "3", "W")
        rows = app.screen.query_one(HeadRunRows)
        overview = explorer.heads_overview(NEURON, trimmed=True)
        for index, head in enumerate(WORTH):
            mean = next(mean for mean in overview.heads if mean.head == head)
            assert rows.plain_row(index).startswith(f"{head} {round(mean.active_fraction * 20)}/20")
        await press(pilot, "e", "enter")
        assert rows.plain_row(0).startswith(f"{WORTH[0]} 8/20"), "those that the explainer was shown"


async def test_a_table_without_its_overview_stands() -> None:
    explorer = CannedExplorer()
    explorer.fail["heads_overview"] = LookupsError("No.", "Why.")
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "3", "W")
        assert app.screen.query_one(HeadRunRows).plain_row(0) == str(WORTH[0])
        assert "No." not in summary(app)


async def test_where_no_head_is_worth_explaining_it_says_what_to_do_and_offers_nothing_else() -> None:
    explorer = CannedExplorer()
    found = explorer.head_scores.so_far(NEURON)
    explorer.head_scores.so_far = lambda neuron: replace(found, heads=())  # type: ignore[method-assign]
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "3", "W")
        shown = " ".join(texts(app))
        assert "Any head can still be explained: e on it." in shown
        assert hints(app).split("  ")[0] == "esc back"
        assert not [
            word for word in ("to the head", "explain all", "score all", "stop") if word in hints(app)
        ]
        await press(pilot, "enter", "e", "s", "c", "y")
        assert isinstance(app.screen, HeadRunScreen)
        await press(pilot, "escape", "e")
        assert "Explain L3.H2" in str(app.screen.query_one(".dialog").border_title)


async def test_the_way_back_is_on_the_bottom_line_at_80_columns() -> None:
    async with running(CannedExplorer(), SMALL) as (app, pilot):
        await press(pilot, "3", "W")
        assert " esc back " in texts(app)[-1]


async def test_all_heads_of_no_neuron() -> None:
    explorer = CannedExplorer()
    explorer.fail["first_view"] = LookupsError("No.", "")
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "W")
        assert hints(app) == "Open a neuron first (enter)."
