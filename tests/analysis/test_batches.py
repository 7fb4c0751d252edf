"""Rows that run together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_lookups.analysis.batches import consecutive, shared_passes


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


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=5).map(tuple)), st.integers(1, 20))
def test_texts_share_rows_that_begin_with_them(texts: list[tuple[int, ...]], tokens: int) -> None:
    passes = shared_passes(texts, tokens)
    rows = [row for run in passes for row in run.rows]
    read = {text: run.rows[row] for run in passes for text, row in run.read}
    assert sorted(read) == list(range(len(texts))), "each is read once"
    assert all(read[number][: len(text)] == text for number, text in enumerate(texts))
    assert all(a == b or a[: len(b)] != b for a in rows for b in rows), "no row begins with another"
    assert set(rows) <= set(texts)
    assert len(rows) == len(set(rows))
    assert [len(row) for row in rows] == sorted(len(row) for row in rows)
    assert passes == shared_passes(texts, tokens)
