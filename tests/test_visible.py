"""Hostile text becomes glyphs: no control character survives, widths stay additive."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.tui.canned import HOSTILE
from tui_lookups.visible import visible, visible_token

ANY_TEXT = st.text(st.characters(exclude_categories=())) | st.sampled_from(HOSTILE)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [/INST] text", "plain [/INST] text"),
        ("\n\t\x1b\r\x00\x7f", "⏎⇥␛␍␀␡"),
        ("\x9b2J", "\\x9b2J"),
        ("\u202eevil\u202c", "\\u202eevil\\u202c"),
        ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
        ("\ud800", "\\ud800"),
        ("\u0301", "◌\u0301"),
        ("e\u0301", "e\u0301"),
        ("\u00a0", "⍽"),
        ("漢字", "漢字"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_shows_what_is_there(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_token_shows_its_spaces() -> None:
    assert visible_token(" because it") == "␣because␣it"
    assert visible_token("") == '""'


def test_a_pile_of_marks_is_cut() -> None:
    shown = visible("e" + "\u0301" * 12)
    assert shown.count("\u0301") == 4
    assert shown.count("\\u0301") == 8


@given(ANY_TEXT)
def test_no_control_character_survives(text: str) -> None:
    for character in visible(text) + visible_token(text):
        assert unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@given(ANY_TEXT, ANY_TEXT)
def test_widths_add_up(one: str, other: str) -> None:
    first, second = visible(one), visible(other)
    assert cell_len(first + second) == cell_len(first) + cell_len(second)


@given(ANY_TEXT)
def test_nothing_shown_is_without_width(text: str) -> None:
    if text:
        assert cell_len(visible(text)) > 0
