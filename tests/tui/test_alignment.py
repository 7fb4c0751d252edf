"""Two texts token by token, and tokens with figures below them in lines of the width."""

from __future__ import annotations

import pytest
from rich.style import Style

from tui_lookups.tui.paint.token_columns import Place, lay_out
from tui_lookups.tui.state.alignment import align


@pytest.mark.parametrize(
    ("first", "second", "pairs"),
    [
        ("abc", "abc", "aa bb cc"),
        ("abcd", "axcd", "aa bx cc dd"),
        ("abd", "abxyd", "aa bb -x -y dd"),
        ("abxyd", "apd", "aa bp x- y- dd"),
        ("", "a", "-a"),
        ("", "", ""),
        ("ab" * 150, "b" + "ab" * 150, "-b" + " aa bb" * 150),
    ],
)
def test_what_both_have_stands_beside_each_other(first: str, second: str, pairs: str) -> None:
    found = align([*map(ord, first)], [*map(ord, second)])
    shown = (
        ("-" if one is None else first[one]) + ("-" if other is None else second[other])
        for one, other in found
    )
    assert " ".join(shown) == pairs


def test_columns_are_as_wide_as_their_widest_cell_and_fill_lines() -> None:
    plain = Style()
    columns = [
        (("a", plain), ("+1.00", plain)),
        (("because", plain), ("2", plain)),
        (("x", plain), ("", plain)),
    ]
    block = lay_out(columns, ("one ", "two "), 24, plain)
    lines = ["".join(segment.text for segment in line).rstrip() for line in block.lines]
    assert lines == ["one a      because", "two +1.00  2", "one x", "two"]
    assert block.places == [Place(0, 4, 6), Place(0, 11, 7), Place(2, 4, 6)]
    assert all(sum(segment.cell_length for segment in line) <= 24 for line in block.lines)
    narrow = lay_out([(("a very long token", plain),)], (" ",), 9, plain)
    assert "".join(segment.text for segment in narrow.lines[0]) == " a very …"
