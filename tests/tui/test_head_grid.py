"""The grid for big models: it scrolls, labels stay, blank cells are no zeros, and it reads without colour."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult

from tests.tui.canned import noise
from tui_lookups.ids import HeadId
from tui_lookups.tui.shading import plain_palette
from tui_lookups.tui.widgets.head_grid import Cell, HeadGrid


class Shell(App[None]):
    palette = plain_palette()

    def compose(self) -> ComposeResult:
        yield HeadGrid(id="heads")


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
