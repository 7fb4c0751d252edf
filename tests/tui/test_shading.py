"""Levels, glyphs, bars and palettes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.style import Style

from tui_lookups.tui.paint.shading import (
    LEVELS,
    ansi_palette,
    bar,
    full_palette,
    glyphs,
    level,
    plain_palette,
    sparkline,
)
from tui_lookups.tui.paint.themes import DARK, LIGHT, css_variables, palette_for

FINITE = st.floats(-1e6, 1e6)


def test_levels_are_signed_steps_of_the_maximum() -> None:
    assert [level(v, 8.0) for v in (0.0, 0.2, 1.5, 4.0, 8.0, 9.0)] == [0, 0, 2, 5, 8, 8]
    assert level(-8.0, 8.0) == -8
    assert level(1.0, 0.0) == 0
    assert level(math.nan, 1.0) == 0


@given(FINITE, st.floats(1e-3, 1e6))
def test_level_is_odd_and_bounded(value: float, maximum: float) -> None:
    assert level(-value, maximum) == -level(value, maximum)
    assert abs(level(value, maximum)) <= LEVELS


def test_glyphs_carry_sign_and_size() -> None:
    values = (-2.0, -1.2, -0.4, 0.0, 0.4, 1.2, 2.0)
    assert [glyphs(v, 2.0) for v in values] == ["---", "--", "-", ".", "+", "++", "+++"]


@given(FINITE, FINITE, st.integers(0, 30))
def test_bar_has_its_width(value: float, maximum: float, width: int) -> None:
    assert len(bar(value, maximum, width)) == width


def test_sparkline_never_hides_a_count() -> None:
    assert sparkline((1000, 0, 1), 3) == "█ ▁"
    assert sparkline((1, 1, 1, 1), 2) == "██"
    assert sparkline((), 5) == ""


@pytest.mark.parametrize("theme", [DARK, LIGHT])
def test_shaded_text_is_readable(theme: object) -> None:
    """Every shade keeps a contrast of 4.5 between text and background (WCAG AA)."""
    palette = palette_for(theme, ansi=False, no_color=False)  # type: ignore[arg-type]
    for style in [*palette.scale, palette.cursor]:
        if style.bgcolor is not None:
            assert style.color is not None
            assert _contrast(style) >= 4.5
    background = Style(bgcolor=theme.background)  # type: ignore[attr-defined]
    for style in (palette.plain, palette.dim, palette.heading, palette.accent, palette.error):
        assert _contrast(background + style) >= 4.5


def test_warm_and_cold_differ_and_grow() -> None:
    palette = full_palette("#ffffff", "#000000", "#e69f00", "#3d9be0", "#56b4e9", "#ff0000")
    assert len(set(palette.scale)) == 2 * LEVELS + 1
    assert palette.shade(0) == Style()


def test_without_colour_there_is_no_colour() -> None:
    palette = plain_palette()
    for style in (*palette.scale, palette.cursor, palette.error, palette.accent, palette.bar):
        assert style.color is None
        assert style.bgcolor is None
    assert palette.shade(8) != palette.shade(4) != palette.shade(0)
    assert palette.shade(8) != palette.shade(-8)


def test_ansi_uses_the_terminals_colours_only() -> None:
    for style in ansi_palette().scale:
        for color in (style.color, style.bgcolor):
            assert color is None or (color.number is not None and color.number < 16)


def _contrast(style: Style) -> float:
    def luminance(color: object) -> float:
        triplet = color.get_truecolor()  # type: ignore[attr-defined]
        parts = [c / 255 for c in triplet]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dark = sorted((luminance(style.color), luminance(style.bgcolor)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_colours_that_were_worked_out_are_those_of_the_theme_itself() -> None:
    paper = css_variables(DARK)["background"]
    assert css_variables(replace(DARK, background=LIGHT.background))["background"] != paper
    assert css_variables(replace(DARK, variables={"background": "red"}))["background"] == "red"
    assert css_variables(DARK)["background"] == paper
