"""The grid of heads: figures where there is room, layers without a head of any size in one row; the sum."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tui.canned import MODEL, CannedExplorer
from tests.tui.driving import LARGE, SMALL, press, rest, running
from tests.tui.test_head_grid import Shell, lines
from tests.tui.views import texts
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import HeadAttributions, SourceToken, Target
from tui_lookups.tui.paint.head_cells import CELL, FIGURE_CELL, WIDE_CELL, cell_text, cell_width, rows_of
from tui_lookups.tui.paint.head_rows import Cell
from tui_lookups.tui.state.walk import raises_most
from tui_lookups.tui.text.attribution import decomposition, overview_facts
from tui_lookups.tui.widgets.head_detail import HeadDetail
from tui_lookups.tui.widgets.head_grid import HeadGrid
from tui_lookups.tui.widgets.text import PackedText
from tui_lookups.visible import visible_token

NEURON = NeuronId(5, 371)


def test_a_cell_is_as_wide_as_lets_all_heads_stand_side_by_side() -> None:
    assert [cell_width(74, heads) for heads in (6, 7, 9, 10, 64)] == [
        WIDE_CELL,
        FIGURE_CELL,
        FIGURE_CELL,
        CELL,
        CELL,
    ]


@pytest.mark.parametrize(
    ("value", "said"),
    [(1.924, "+1.92*"), (-0.001, "+0.00*"), (12.34, "+12.3*"), (-123.4, " -123*"), (-12.34, "-12.3*")],
)
def test_a_cell_with_room_for_a_figure_has_it_with_its_sign(value: float, said: str) -> None:
    assert cell_text(Cell(value, True), 9.0, FIGURE_CELL) == said
    assert cell_text(Cell(value, True), 9.0, FIGURE_CELL, marked=True) == said.replace("*", "●")


def quiet_but(*loud: int, layers: int = 12) -> dict[HeadId, Cell]:
    return {
        HeadId(layer, n): Cell(5.0 if layer in loud and n == 1 else -0.01, False)
        for layer in range(layers)
        for n in range(3)
    }


def test_neighbouring_layers_without_a_head_of_any_size_share_a_row() -> None:
    cells = quiet_but(9, 11)
    assert rows_of(cells, 5.0, ()) == (range(9), range(9, 10), range(10, 11), range(11, 12))
    opened = rows_of(cells, 5.0, range(9))
    assert opened == tuple(range(layer, layer + 1) for layer in range(12))
    assert rows_of({}, 0.0, ()) == ()


async def test_the_shared_row_says_what_it_comes_to_and_opens_where_the_cursor_goes_in() -> None:
    async with Shell().run_test(size=(80, 20)) as pilot:
        grid = pilot.app.query_one(HeadGrid)
        grid.show_heads(12, 3, quiet_but(9, 11))
        grid.go_to(HeadId(9, 1))
        grid.focus()
        await pilot.pause()
        assert lines(grid)[1].strip() == "L0-L8: -0.27"
        assert lines(grid)[2].startswith("L9 ")
        await pilot.press("up")
        assert grid.head == HeadId(8, 1)
        assert [line.split()[0] for line in lines(grid)[1:13]] == [f"L{layer}" for layer in range(12)]
        await pilot.press("down", "down")
        assert grid.head == HeadId(10, 1)
        grid.show_heads(12, 3, quiet_but(8, 11))
        assert lines(grid)[1].strip() == "L0-L7: -0.24", "of other heads they are folded again"
        await pilot.click(HeadGrid, offset=(7, 1))
        assert grid.head == HeadId(0, 0)


def of(heads: HeadAttributions, *values: float, target: Target | None = None) -> HeadAttributions:
    rows = tuple(replace(row, attribution=value) for row, value in zip(heads.heads, values, strict=False))
    return replace(heads, heads=rows, target=target or heads.target)


def test_the_head_that_makes_the_neuron_fire_most() -> None:
    heads = CannedExplorer(model=replace(MODEL, gated=True)).heads(NEURON, prompt=1)
    assert raises_most(of(heads, 0.5, -2.0, 1.0)) == heads.heads[2].head
    below = Target("activation", -3.0)
    assert raises_most(of(heads, 0.5, -2.0, 1.0, target=below)) == heads.heads[1].head
    assert raises_most(replace(heads, heads=())) is None


async def test_the_pane_opens_on_it() -> None:
    class Held(CannedExplorer):
        def heads(self, *arguments: object, **more: object) -> HeadAttributions:  # type: ignore[override]
            found = super().heads(*arguments, **more)  # type: ignore[arg-type]
            rows = (replace(found.heads[0], attribution=-9.0), *found.heads[1:])
            return replace(found, heads=rows)

    async with running(Held(hostile=False), LARGE) as (app, pilot):
        await press(pilot, "3")
        await rest(pilot)
        assert app.walk_screen.walk.head == HeadId(3, 2)


def test_the_sum_has_a_bar_for_each_component_and_a_hatched_one_below_zero() -> None:
    heads = CannedExplorer().heads(NEURON, prompt=1)
    other = replace(heads.other, mlps=-1.0)
    parts = decomposition(of(replace(heads, other=other), 2.0), 8)
    assert parts[:2] == ("heads +2.00 ████████", "mlps -1.00 ▒▒▒▒")
    assert [part.split(" ")[0] for part in parts] == ["heads", "mlps", "embed", "attn-bias", "bias", "="]


@pytest.mark.parametrize("size", [(60, 16), SMALL, (120, 26), LARGE])
async def test_the_sum_is_below_the_grid_whatever_the_size(size: tuple[int, int]) -> None:
    async with running(CannedExplorer(hostile=False), size) as (app, pilot):
        await press(pilot, "3")
        await rest(pilot)
        shown = " ".join(texts(app))
        assert "heads +3.50 ███" in shown
        assert "mlps (I) +0.90" in shown
        region = app.screen.query_one("#decomposition", PackedText).region
        await press(pilot, "4")
        assert "bias +0.20" in shown
        assert app.screen.query_one("#decomposition", PackedText).region.height == region.height


async def test_what_hardly_counts_of_what_a_head_reads_is_one_row_until_it_is_opened() -> None:
    class Many(CannedExplorer):
        def heads(self, *arguments: object, **more: object) -> HeadAttributions:  # type: ignore[override]
            found = super().heads(*arguments, **more)  # type: ignore[arg-type]
            if not found.sources:
                return found
            values = (1.0, -0.5, *(0.001 for _ in found.sources[2:]))
            rows = zip(found.sources, values, strict=True)
            return replace(found, sources=tuple(SourceToken(s.position, s.token, v, 0.5) for s, v in rows))

    async with running(Many(hostile=False), LARGE) as (app, pilot):
        await press(pilot, "3", "enter")
        await rest(pilot)
        detail, sources = app.screen.query_one(HeadDetail), app.walk_screen.walk.sources
        assert sources is not None
        rest_of_it = len(sources.sources) - 2
        assert detail.row_count() == 3
        assert f"+0.0{rest_of_it // 10} from {rest_of_it} more, each below 1 %" in " ".join(texts(app))
        first = sources.sources[0]
        assert " ".join("".join(s.text for s in detail.row(0, 60)).split()).startswith("0 +1.00 +++ 50%")
        assert detail.plain_row(0).endswith(f"at position {first.position}, attention 50.0%")
        assert detail.plain_row(2).startswith(
            f"attribution +0.0{rest_of_it // 10} from {rest_of_it} more tokens"
        )
        assert len(detail.table()) == len(sources.sources) + 1, "a copy has all of them"
        await press(pilot, "end")
        assert detail.source is None
        await press(pilot, "enter")
        assert detail.row_count() == len(sources.sources)
        assert app.walk_screen.focused_pane == "detail"
        assert detail.source is not None


def test_a_head_that_is_always_active_has_nothing_to_be_contrasted_with() -> None:
    overview = CannedExplorer().heads_overview(NEURON)
    head = overview.heads[0].head
    for share, said in (
        (1.0, "always active, on full windows: nothing to contrast"),
        (0.9, "not worth explaining, on full windows"),
    ):
        mean = replace(overview.heads[0], active_fraction=share, worth_explaining=False)
        assert said in overview_facts(head, replace(overview, heads=(mean,)))


@pytest.mark.parametrize("size", [(60, 16), LARGE])
async def test_the_list_has_what_heads_attend_to_and_says_where_nobody_asked(size: tuple[int, int]) -> None:
    async with running(CannedExplorer(hostile=False), size) as (app, pilot):
        await press(pilot, "3")
        await rest(pilot)
        walk, pane = app.walk_screen.walk, app.walk_screen.panes.heads
        chosen, grid = walk.head, app.screen.query_one(HeadGrid)
        assert chosen is not None
        token = visible_token(walk.attended[chosen].token.text)
        assert f"{chosen} attends 67% to {token}" in str(pane.border_subtitle)
        assert set(walk.attended) == {chosen}, "the grid has no room for the others"
        await press(pilot, "v")
        await rest(pilot)
        assert grid.plain_lines()[0].startswith(f"1. {chosen}, ")
        assert all("attends 67% to" in line for line in grid.plain_lines()[:12])
        assert not any("attends" in line for line in grid.plain_lines()[12:])
        assert f" 67% {token[:9]}" in "\n".join(texts(app))
        await press(pilot, "end")
        await rest(pilot)
        assert any(" not asked " in text for text in texts(app))
        names, first, *others = grid.table()
        assert names[3:] == ("attention", "attends_to")
        assert first[3:] == (pytest.approx(2 / 3), token)
        assert [row[3:] == (None, None) for row in others] == [False] * 11 + [True] * (len(others) - 12) + [
            False
        ], "the last is under the cursor"
        await press(pilot, "v", "2", "j", "3")
        await rest(pilot)
        assert set(walk.attended) == {walk.head}, "of another prompt nothing was asked"


async def test_a_head_that_is_looked_at_folds_no_layer_and_means_attend_to_nothing() -> None:
    async with running(CannedExplorer(hostile=False), LARGE) as (app, pilot):
        await press(pilot, "3", "k", "k")
        grid = app.screen.query_one(HeadGrid)
        before = grid._rows
        await rest(pilot)
        assert grid._rows == before
        await press(pilot, "a")
        assert not str(app.walk_screen.panes.heads.border_subtitle)
        assert grid.table()[0][-1] == "worth explaining"
