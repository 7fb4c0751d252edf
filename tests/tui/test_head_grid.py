"""The grid for big models: it scrolls, labels stay, blank cells are no zeros, and it reads without colour."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult
from textual.binding import Binding

from tests.tui.canned import noise
from tui_lookups.ids import HeadId
from tui_lookups.tui.paint.head_rows import Cell
from tui_lookups.tui.paint.shading import full_palette, level, plain_palette
from tui_lookups.tui.widgets.head_grid import LABEL, HeadGrid


class Shell(App[None]):
    palette = plain_palette()

    def compose(self) -> ComposeResult:
        yield HeadGrid(id="heads")

    def show_message(self, text: str) -> None:
        """There is no bottom line here."""


def lines(grid: HeadGrid) -> list[str]:
    return ["".join(segment.text for segment in grid.render_line(y)) for y in range(grid.size.height)]


@pytest.mark.parametrize(("layers", "heads"), [(48, 25), (32, 64)])
async def test_labels_stay_while_it_scrolls(layers: int, heads: int) -> None:
    async with Shell().run_test(size=(80, 20)) as pilot:
        grid = pilot.app.query_one(HeadGrid)
        cells = {
            HeadId(layer, index): Cell(noise(layer, index) - 0.5, False)
            for layer in range(layers)
            for index in range(heads)
        }
        cells[HeadId(layers - 1, heads - 1)] = Cell(9.0, True)
        grid.show_heads(layers, heads, cells)
        await pilot.pause()
        for key in ("n", "k", "l", "j", "h", "end", "down", "home"):
            await pilot.press(key)
            assert grid.head is not None
            shown = lines(grid)
            assert f"H{grid.head.index} " in shown[0]
            row = next(line for line in shown if line.startswith(f"L{grid.head.layer} "))
            assert "[" in row
            column = shown[0].index(f"H{grid.head.index} ")
            assert row.index("[") <= column <= row.index("]")
        grid.go_to(HeadId(layers - 1, heads - 1))
        await pilot.pause()
        assert "[+++*]" in "\n".join(lines(grid))


async def test_heads_that_do_not_reach_the_neuron_are_blank() -> None:
    async with Shell().run_test(size=(80, 20)) as pilot:
        grid = pilot.app.query_one(HeadGrid)
        grid.show_heads(3, 2, {HeadId(0, 0): Cell(1.0, False), HeadId(1, 1): Cell(-1.0, False)})
        await pilot.pause()
        rows = [" ".join(line.split()) for line in lines(grid)[:4]]
        assert rows == ["H0 H1", "L0 [+++ +1.00 ]", "L1 --- -1.00", ""]


class Colourful(Shell):
    palette = full_palette("#dddddd", "#111111", "#e69f00", "#56b4e9", "#56b4e9", "#ff0000")


async def test_the_cursor_stands_round_a_cell_and_leaves_it_its_colour() -> None:
    app = Colourful()
    async with app.run_test(size=(80, 20)) as pilot:
        grid = app.query_one(HeadGrid)
        grid.show_heads(2, 2, {HeadId(0, 0): Cell(1.0, False), HeadId(1, 1): Cell(-1.0, False)})
        grid.focus()
        await pilot.pause()
        for head, value in ((HeadId(0, 0), 1.0), (HeadId(1, 1), -1.0)):
            grid.go_to(head)
            await pilot.pause()
            segments = list(grid.render_line(head.layer + 1))
            at = [segment.text for segment in segments].index("[")
            frame, cell, end = (segments[at + n].style for n in range(3))
            assert frame == end
            assert frame.bgcolor == app.palette.cursor.bgcolor
            assert cell.bgcolor == app.palette.shade(level(value, 1.0)).bgcolor
            assert cell.bold


async def test_the_list_has_every_head_by_size_and_the_same_cursor() -> None:
    async with Shell().run_test(size=(80, 20)) as pilot:
        grid = pilot.app.query_one(HeadGrid)
        cells = {
            HeadId(layer, index): Cell(noise(layer, index) - 0.5, index == 3, "a note")
            for layer in range(48)
            for index in range(25)
        }
        cells[HeadId(40, 20)] = Cell(-9.0, True, "the largest")
        grid.show_heads(48, 25, cells)
        grid.focus()
        await pilot.press("v", "home")
        shown = lines(grid)
        assert shown[0].split()[:3] == ["#", "head", "attrib."]
        assert shown[1].split()[:4] == ["1", "L40.H20", "-9.00", "---*"]
        assert "the largest" in shown[1]
        assert grid.virtual_size.height == len(cells) + 1
        await pilot.press("down", "down")
        third = sorted(cells, key=lambda head: -abs(cells[head].value))[2]
        assert grid.head == third
        await pilot.press("end")
        assert lines(grid)[-1].split()[0] == str(len(cells))
        await pilot.press("home", "v")
        assert grid.head == HeadId(40, 20)
        assert any(line.startswith("L40 ") and "[---*]" in line for line in lines(grid)), (
            "scrolled back to it"
        )


async def test_in_the_list_shade_and_bar_keep_their_colours_under_the_cursor() -> None:
    app = Colourful()
    async with app.run_test(size=(80, 20)) as pilot:
        grid = app.query_one(HeadGrid)
        cells = {HeadId(0, 0): Cell(-1.0, False, "a note"), HeadId(1, 1): Cell(0.5, False, "a note")}
        grid.show_heads(2, 2, cells)
        grid.focus()
        await pilot.press("v")
        for place, value in ((1, -1.0), (2, 0.5)):
            styles = {segment.text.strip(): segment.style for segment in grid.render_line(place)}
            figure = next(style for text, style in styles.items() if text.startswith(f"{value:+.2f}"))
            bar = next(style for text, style in styles.items() if "█" in text)
            assert figure.bgcolor == app.palette.shade(level(value, 1.0)).bgcolor
            assert bar.color == app.palette.bar.color
            assert bar.bgcolor != app.palette.cursor.bgcolor
            assert styles["a note"].bgcolor == app.palette.cursor.bgcolor
            await pilot.press("down")


async def test_a_legend_says_what_glyphs_mean_where_there_is_room() -> None:
    async with Shell().run_test(size=(80, 20)) as pilot:
        grid = pilot.app.query_one(HeadGrid)
        grid.show_heads(3, 2, {HeadId(0, 0): Cell(1.5, False), HeadId(2, 1): Cell(-1.0, False)})
        await pilot.pause()
        legend = next(line for line in lines(grid) if "raises" in line)
        assert legend.split()[:8] == ["lowers", "---", "--", "-", ".", "+", "++", "+++"]
        assert "near" not in legend
        assert grid.scale() == ("+++ from 1.12",), "what it stands for is said once, below the grid"


async def test_where_the_legend_has_less_room_it_has_fewer_steps() -> None:
    async with Shell().run_test(size=(40, 20)) as pilot:
        grid = pilot.app.query_one(HeadGrid)
        grid.show_heads(3, 2, {HeadId(0, 0): Cell(1.5, False)})
        await pilot.pause()
        legend = next(line for line in lines(grid) if "lowers" in line)
        assert legend.split() == ["lowers", "---", ".", "+++", "raises"]


async def test_shades_can_stand_for_more_than_the_largest_figure_shown() -> None:
    async with Shell().run_test(size=(80, 20)) as pilot:
        grid = pilot.app.query_one(HeadGrid)
        grid.show_heads(2, 2, {HeadId(0, 0): Cell(0.5, False)}, least=5.0)
        await pilot.pause()
        assert "[ +  +0.50 ]" in lines(grid)[1]
        assert grid.scale() == ("+++ from 3.75",)


@pytest.mark.parametrize(("size", "marked"), [((80, 20), "[+++●+1.00*]"), ((20, 20), "[+++●]")])
async def test_a_mark_under_the_cursor_stands_inside_both_brackets(
    size: tuple[int, int], marked: str
) -> None:
    async with Shell().run_test(size=size) as pilot:
        grid = pilot.app.query_one(HeadGrid)
        grid.show_heads(2, 2, {HeadId(0, 0): Cell(1.0, True), HeadId(1, 1): Cell(-0.9, False)})
        grid.mark(frozenset({HeadId(0, 0), HeadId(1, 1)}))
        await pilot.pause()
        shown = lines(grid)
        assert marked in shown[1]
        assert "●---" in shown[2], "elsewhere before the cell"
        assert shown[2].index("●") == shown[1].index("[") + grid.cell


async def test_figures_of_any_size_keep_the_columns() -> None:
    async with Shell().run_test(size=(80, 20)) as pilot:
        grid = pilot.app.query_one(HeadGrid)
        values = (1.0, 12.34, -123.4, -0.001)
        grid.show_heads(1, 4, {HeadId(0, n): Cell(value, True) for n, value in enumerate(values)})
        for n in range(len(values)):
            grid.go_to(HeadId(0, n))
            for marked in (frozenset(), frozenset({HeadId(0, n)})):
                grid.mark(marked)
                await pilot.pause()
                row = lines(grid)[1]
                assert [row.index("["), row.index("]")] == [LABEL + 12 * n, LABEL + 12 * n + 11]
        assert "+0.00" in row
        assert "-0.00" not in row


async def test_a_pointer_is_told_what_it_rests_on() -> None:
    async with Shell().run_test(size=(80, 20)) as pilot:
        grid = pilot.app.query_one(HeadGrid)
        grid.show_heads(3, 2, {HeadId(0, 0): Cell(1.5, True, "38% of 4.00"), HeadId(2, 1): Cell(-1.0, False)})
        await pilot.pause()
        await pilot.hover(HeadGrid, offset=(LABEL + 2, 1))
        assert str(grid.tooltip) == "L0.H0  +1.50  +++\nactive\n38% of 4.00"
        await pilot.hover(HeadGrid, offset=(LABEL + 2, 2))
        assert str(grid.tooltip) == "L1.H0 does not reach the neuron"
        await pilot.hover(HeadGrid, offset=(1, 15))
        assert grid.tooltip is None


def test_the_walk_by_size_is_called_one() -> None:
    """Neither way is called stronger or weaker: from the last the next is the first."""
    keys = {key.id: (key.description, key.tooltip) for key in HeadGrid.BINDINGS if isinstance(key, Binding)}
    assert keys["heads.next"] == ("by size", "The next head by size")
    assert keys["heads.back"] == ("by size, back", "The previous head by size")
