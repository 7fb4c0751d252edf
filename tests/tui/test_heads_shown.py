"""Which heads are shown - of which text, over which prompts - and that figures beside them are of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.binding import Binding
from textual.pilot import Pilot

from tests.tui.canned import MODEL, CannedExplorer
from tests.tui.driving import FEW_SIZES, LARGE, SMALL, hints, line, press, rest, running, settle
from tests.tui.head_words import HEAD, NEURON
from tests.tui.views import texts
from tui_lookups.results import SelectedHead, Selection
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.panes.pane import Pane
from tui_lookups.tui.screens.basket import describe
from tui_lookups.tui.text.attribution import head_facts, overview_facts
from tui_lookups.tui.widgets.head_detail import HeadDetail
from tui_lookups.tui.widgets.head_grid import HeadGrid
from tui_lookups.tui.widgets.text import PackedText, TextLines


def facts(app: LookupsApp) -> tuple[str, ...]:
    return app.screen.query_one("#head-facts", PackedText).parts


def title(app: LookupsApp) -> str:
    return app.screen.query_one("#heads-pane", Pane).words


def tab(app: LookupsApp) -> str:
    return line(app, "#tabs")


def decomposition(app: LookupsApp) -> str:
    return "  ".join(app.screen.query_one("#decomposition", PackedText).parts)


# --- the total effect ---


async def test_the_total_effect_is_of_the_text_whose_heads_are_shown() -> None:
    async with running(CannedExplorer()) as (app, pilot):
        await press(pilot, "3", "c", "d", "escape")
        assert facts(app)[1].endswith("without it, total effect")
        assert facts(app)[2] == "(zero ablation at the peak, trimmed prompt)"
        await press(pilot, "c")
        assert not any("total effect" in fact for fact in facts(app)), "that of the full window is not known"
        await press(pilot, "d", "escape")
        assert facts(app)[2] == "(zero ablation at the peak, full window)"
        await press(pilot, "c")
        assert facts(app)[2] == "(zero ablation at the peak, trimmed prompt)", "both are kept"
        await press(pilot, "a")
        assert facts(app)[2] == "(zero ablation at the peak, trimmed prompts)"


# --- which heads are shown ---


async def test_at_80_columns_the_tab_says_which_heads_are_shown() -> None:
    async with running(CannedExplorer(model=replace(MODEL, gated=True)), SMALL) as (app, pilot):
        await press(pilot, "3")
        assert "3 Heads, prompt 1 " in tab(app)
        await press(pilot, "c")
        assert "3 Heads, prompt 1 trimmed " in tab(app)
        await press(pilot, "g")
        assert "3 Heads, prompt 1 trimmed gate " in tab(app)
        await press(pilot, "g")
        assert "3 Heads, prompt 1 trimmed up " in tab(app)
        assert len(tab(app)) <= 80, "the tabs behind it are on screen, too"
        assert "L3.H2" in tab(app)
        await press(pilot, "g", "a")
        assert "3 Heads, all 20 trimmed " in tab(app)
        await press(pilot, "c")
        assert "3 Heads, all 20  " in tab(app)


@FEW_SIZES
async def test_the_title_over_all_prompts_says_of_which_text(size: tuple[int, int]) -> None:
    async with running(CannedExplorer(), size) as (app, pilot):
        await press(pilot, "3", "a")
        assert title(app).endswith("over its 20 prompts, direct, full windows")
        await press(pilot, "c")
        assert title(app).endswith("over its 20 prompts, direct, trimmed prompts")


GATED = replace(MODEL, gated=True)


async def test_g_goes_by_the_model_not_by_what_is_open() -> None:
    async with running(CannedExplorer(model=GATED), SMALL) as (app, pilot):
        walk = app.walk_screen.walk
        assert walk.heads is None
        app.walk_screen.query_one(HeadGrid).action_direction()
        await settle(pilot)
        assert "not gated" not in hints(app)
        assert walk.direction == "gate"
        assert "gate" in tab(app)
    async with running(CannedExplorer(), SMALL) as (app, pilot):
        app.walk_screen.query_one(HeadGrid).action_direction()
        await settle(pilot)
        assert "not gated" in hints(app)
    async with running(CannedExplorer(hold=True), SMALL) as (app, pilot):
        await press(pilot, "3", "g")
        assert hints(app) == "Open a prompt first (enter): the model is not known yet."
        assert app.walk_screen.walk.direction == "both"


async def test_g_over_all_prompts_changes_nothing_and_says_how_to_go_on() -> None:
    async with running(CannedExplorer(model=GATED), SMALL) as (app, pilot):
        await press(pilot, "3", "a", "g")
        assert hints(app).endswith("of both directions; a: one prompt again.")
        assert app.walk_screen.walk.direction == "both"
        await press(pilot, "a", "g", "a")
        assert "gate" not in tab(app), "the means are of both"
        assert "by gate" not in decomposition(app)


@pytest.mark.parametrize("size", [(60, 16), SMALL, (120, 26), (100, 50), LARGE])
async def test_in_one_direction_everything_says_of_which_it_is(size: tuple[int, int]) -> None:
    async with running(CannedExplorer(model=GATED), size) as (app, pilot):
        await press(pilot, "3")
        assert "grid: by" not in decomposition(app)
        for direction in ("gate", "up"):
            await press(pilot, "g")
            await rest(pilot)
            assert f"grid: by {direction}, heads " in decomposition(app)
            assert "* active by both  both directions:  heads +3.50" in decomposition(app)
            assert app.screen.query_one("#detail-pane", Pane).words == "Head L3.H2, both directions"
            first = " ".join(texts(app))
            assert f"1, by {direction}" in first or f"prompt 1 {direction}" in first
        await press(pilot, "g")
        assert "by both" not in decomposition(app)


# --- worth explaining ---


async def test_worth_explaining_says_on_which_text() -> None:
    async with running(CannedExplorer(), SMALL) as (app, pilot):
        await press(pilot, "3", "a")
        assert "* worth explaining, on full windows" in decomposition(app)
        assert "W and e go by the trimmed ones" in decomposition(app)
        await press(pilot, "c")
        assert "* worth explaining, on the trimmed prompts that explanations use" in decomposition(app)
        assert "W and e" not in decomposition(app)


async def test_the_table_of_all_heads_says_that_it_goes_by_trimmed_prompts() -> None:
    async with running(CannedExplorer(), SMALL) as (app, pilot):
        await press(pilot, "3", "W")
        title = app.screen.query_one("#all-heads-title", TextLines).text
        assert "worth explaining for L5.N371, on its trimmed prompts: 3" in title


def test_facts_over_all_prompts_say_of_which_text() -> None:
    explorer = CannedExplorer()
    worth = next(mean.head for mean in explorer.heads_overview(NEURON).heads if mean.worth_explaining)
    for trimmed, text in ((False, "full windows"), (True, "trimmed prompts")):
        overview = explorer.heads_overview(NEURON, trimmed=trimmed)
        assert f"worth explaining, on {text}" in overview_facts(worth, overview)
        heads = explorer.heads(NEURON, prompt=1, trimmed=trimmed)
        assert f"worth explaining, on {text}" in head_facts(worth, heads, overview)


def test_the_mean_is_told_once_and_as_the_mean_over_all() -> None:
    explorer = CannedExplorer()
    overview = explorer.heads_overview(NEURON)
    mean = next(mean for mean in overview.heads if mean.head == HEAD)
    count = round(mean.active_fraction * overview.prompts)
    assert overview_facts(HEAD, overview)[:2] == (
        f"mean {mean.mean_attribution:+.2f}, direct", f"active in {count} of 20",
    )  # fmt: skip
    on_one = head_facts(HEAD, explorer.heads(NEURON, prompt=1), overview)
    assert f"active in {count} of 20, mean over all {mean.mean_attribution:+.2f}" in on_one


@FEW_SIZES
async def test_the_star_has_one_meaning_on_a_screen(size: tuple[int, int]) -> None:
    async with running(CannedExplorer(), size) as (app, pilot):
        await press(pilot, "3")
        assert sum(text.count("* active") for text in texts(app)) == 1
        await press(pilot, "a")
        assert not any("* active" in text for text in texts(app))
        assert any("* worth explaining" in text for text in texts(app))
        rows = app.screen.query_one(HeadGrid).plain_lines()
        assert any(row.endswith("of the prompts") and ", worth explaining, " in row for row in rows)
        assert any(", not worth explaining, " in row for row in rows)
        await press(pilot, "a")
        assert any(", active" in row for row in app.screen.query_one(HeadGrid).plain_lines())


async def test_what_a_head_reads_has_no_minus_on_what_rounds_to_nothing() -> None:
    async with running(CannedExplorer(), SMALL) as (app, pilot):
        await press(pilot, "3")
        await rest(pilot)
        detail = app.screen.query_one(HeadDetail)
        source = detail.source
        assert source is not None
        detail.show_sources((replace(source, attribution=-0.001),))
        for said in (detail.plain_row(0), "".join(segment.text for segment in detail.row(0, 80))):
            assert "+0.00" in said
            assert "-0.00" not in said


# --- the keys of the heads, and their room ---


@pytest.mark.parametrize("size", [SMALL, (100, 30)])
async def test_the_views_of_the_heads_are_on_the_bottom_line(size: tuple[int, int]) -> None:
    async with running(CannedExplorer(), size) as (app, pilot):
        await press(pilot, "3")
        await rest(pilot)
        bottom = texts(app)[-1]
        for hint in ("d ablate", "e explain", "a all prompts", "c trim", "v list"):
            assert f" {hint} " in bottom
        ids = [each.id for each in HeadGrid.BINDINGS if isinstance(each, Binding)]
        for view in ("heads.all", "heads.context", "heads.view"):
            assert ids.index(view) < min(ids.index(f"head.{key}") for key in ("score", "write", "all_heads"))


@pytest.mark.parametrize("size", [(60, 16), SMALL, (100, 24), (120, 26)])
async def test_the_grid_keeps_half_of_its_rows_beside_an_explanation(size: tuple[int, int]) -> None:
    explorer = CannedExplorer()
    long = " ".join(["after a reason was asked for and the sentence goes on"] * 12)
    async with running(explorer, size) as (app, pilot):
        await press(pilot, "3")
        await rest(pilot)
        grid = app.screen.query_one(HeadGrid)
        before = grid.size.height
        explorer.explaining.write(NEURON, HEAD, long)
        app.walk_screen.look_at_words()
        await press(pilot, "4")
        await rest(pilot)
        assert app.walk_screen.query_one("#detail-pane").has_class("-words")
        assert any("explained: after a reason" in text for text in texts(app))
        assert grid.size.height >= max(3, before / 2)
        shown = texts(app)
        assert any("[+++" in text or "[+1.92" in text for text in shown), (
            "the head that is explained is in sight"
        )
        assert any("move in them" in text for text in shown), "the way to the rest of the text"


# --- the overview and its detail ---


async def test_a_in_the_detail_pane_goes_back_to_one_prompt_as_it_says() -> None:
    async with running(CannedExplorer(), SMALL) as (app, pilot):
        await press(pilot, "3", "a", "enter")
        assert isinstance(app.focused, HeadDetail)
        assert "a: one prompt again" in app.focused.empty
        assert "to the token" not in hints(app), "there is no row to go from"
        await press(pilot, "a")
        assert not app.walk_screen.walk.over_all
        await rest(pilot)
        assert app.focused.row_count()
        assert "to the token" in hints(app)
        await press(pilot, "a")
        assert app.walk_screen.walk.over_all


@FEW_SIZES
async def test_the_overview_of_another_neuron_is_filled_and_rests_on_its_strongest_head(
    size: tuple[int, int],
) -> None:
    async with running(CannedExplorer(), size) as (app, pilot):
        await press(pilot, "3", "a", "1", "down", "enter")
        await press(pilot, "3")
        await rest(pilot)
        walk, grid = app.walk_screen.walk, app.screen.query_one(HeadGrid)
        assert walk.over_all
        assert walk.overview is not None
        assert walk.overview.neuron == walk.neuron
        strongest = max(walk.overview.heads, key=lambda mean: abs(mean.mean_attribution)).head
        assert walk.head == grid.head == strongest
        assert f"Head {strongest}" == app.screen.query_one("#detail-pane", Pane).words
        assert facts(app)[0].startswith("mean ")


# --- the terminal grows ---


async def _heads_of(pilot: Pilot[None], app: LookupsApp, size: tuple[int, int]) -> int:
    await pilot.resize_terminal(*size)
    await rest(pilot)
    return len(app.screen.query_one(HeadGrid).plain_lines())


@pytest.mark.parametrize("size", [LARGE, (100, 50)])
async def test_a_terminal_that_grows_fills_the_panes_it_gains(size: tuple[int, int]) -> None:
    async with running(CannedExplorer(), SMALL) as (app, pilot):
        await press(pilot, "2")
        assert app.walk_screen.walk.heads is None
        assert await _heads_of(pilot, app, size) == 36
        await settle(pilot)
        assert app.screen.query_one(HeadDetail).row_count()


# --- what is marked ---


async def test_a_head_is_marked_on_the_texts_that_are_shown() -> None:
    async with running(CannedExplorer(), SMALL) as (app, pilot):
        await press(pilot, "3", "c", "space")
        first = SelectedHead(NEURON, HEAD, 1000, "trimmed")
        assert app.selection.heads == (first,)
        grid = app.screen.query_one(HeadGrid)
        assert any("●" in text for text in texts(app))
        await press(pilot, "c")
        assert not any("●" in text for text in texts(app)), "on the full window it is not"
        await press(pilot, "space", "a", "c", "space")
        assert grid.head == HEAD
        assert app.selection.heads == (
            first, replace(first, context="full"), SelectedHead(NEURON, HEAD, None, "trimmed"),
        )  # fmt: skip
        assert describe(first) == ("head", "L3.H2 of L5.N371 on corpus prompt 1000, trimmed")


async def test_a_head_of_an_old_session_is_unmarked_where_it_is_shown() -> None:
    async with running(CannedExplorer(), SMALL) as (app, pilot):
        app.selection = Selection(heads=(SelectedHead(NEURON, HEAD, 1000),))
        await press(pilot, "3", "space")
        assert not app.selection.heads
