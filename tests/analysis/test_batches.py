"""Rows that run together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_lookups.analysis.batches import consecutive


@pytest.mark.parametrize(
    ("lengths", "tokens", "rows", "expected"),
    [
        ([], 10, 10, []),
        ([99], 10, 10, [(0, 1)]),
        ([3, 3, 3, 3], 9, 10, [(0, 3), (3, 4)]),
        ([1, 9, 1], 9, 10, [(0, 1), (1, 2), (2, 3)]),
        ([1, 1, 1, 1, 1], 99, 2, [(0, 2), (2, 4), (4, 5)]),
        ([1, 1, 1], 99, 1, [(0, 1), (1, 2), (2, 3)]),
        ([1, 1, 1, 1, 1], 99, None, [(0, 5)]),
    ],
)
def test_batches(lengths: list[int], tokens: int, rows: int | None, expected: list[tuple[int, int]]) -> None:
    assert [(batch.start, batch.stop) for batch in consecutive(lengths, tokens, rows)] == expected


@given(st.lists(st.integers(1, 40)), st.integers(1, 120), st.none() | st.integers(1, 6))
def test_every_row_is_in_one_batch_that_is_as_full_as_it_may_be(
    lengths: list[int], tokens: int, rows: int | None
) -> None:
    batches = consecutive(lengths, tokens, rows)
    assert [place for batch in batches for place in batch] == list(range(len(lengths)))

    def fits(batch: range) -> bool:
        small = len(batch) * max(lengths[place] for place in batch) <= tokens
        return len(batch) == 1 or (small and (rows is None or len(batch) <= rows))

    assert all(map(fits, batches))
    assert not any(fits(range(batch.start, batch.stop + 1)) for batch in batches[:-1])
