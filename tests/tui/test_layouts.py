"""Which panes a size shows."""

from __future__ import annotations

import pytest

from tui_lookups.tui.layouts import PANES, Pane, layout_for, pages


@pytest.mark.parametrize(
    ("size", "layout"),
    [
        ((59, 40), "small"),
        ((80, 15), "small"),
        ((60, 16), "narrow"),
        ((80, 24), "narrow"),
        ((119, 43), "narrow"),
        ((100, 50), "tall"),
        ((120, 29), "columns"),
        ((120, 30), "wide"),
        ((160, 45), "wide"),
    ],
)
def test_layout(size: tuple[int, int], layout: str) -> None:
    assert layout_for(*size) == layout


@pytest.mark.parametrize("pane", PANES)
def test_the_focused_pane_is_always_shown(pane: Pane) -> None:
    for width in range(40, 200, 7):
        for height in range(10, 60, 3):
            assert pane in pages(layout_for(width, height), pane)
