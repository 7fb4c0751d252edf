"""The running top k against sorting, over any split, any order, any ties."""

from __future__ import annotations

import struct

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tui_lookups.scan.top_k import (
    EMPTY,
    encode_keys,
    key_prompt_ids,
    key_values,
    merge_top_k,
    rows_to_merge,
)

VALUES = st.floats(width=32, allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, -0.0, 1.0, -1.0])
IDS = st.integers(0, 0xFFFFFFFE)


def bits(value: float) -> bytes:
    return struct.pack("<f", value + 0.0)


@given(st.lists(st.tuples(VALUES, IDS), min_size=1, max_size=40))
def test_keys_order_by_value_then_smaller_id_and_come_back(pairs: list[tuple[float, int]]) -> None:
    keys = encode_keys(torch.tensor([v for v, _ in pairs]), torch.tensor([i for _, i in pairs]))
    assert [bits(value) for value in key_values(keys).tolist()] == [bits(value) for value, _ in pairs]
    assert key_prompt_ids(keys).tolist() == [prompt for _, prompt in pairs]
    assert bool((keys > EMPTY).all())
    by_key = sorted(range(len(pairs)), key=lambda n: -keys[n].item())
    assert [pairs[n] for n in by_key] == sorted(pairs, key=lambda pair: (-pair[0], pair[1]))


def test_negative_zero_ties_with_zero() -> None:
    keys = encode_keys(torch.tensor([0.0, -0.0]), torch.tensor([7, 7]))
    assert keys[0] == keys[1]


@given(
    values=st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=6),
    k=st.integers(1, 12),
    data=st.data(),
)
def test_any_split_in_any_order_gives_what_sorting_gives(
    values: list[float], cuts: list[int], k: int, data: st.DataObject
) -> None:
    """Two rows with different values, so that one can change while the other does not."""
    n = len(values)
    shuffled = data.draw(st.permutations(range(n)))
    ends = [*sorted({cut for cut in cuts if 0 < cut < n}), n]
    table = torch.tensor([values, values[::-1]])
    keys, positions = torch.full((2, k), EMPTY), torch.zeros(2, k, dtype=torch.int32)
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        ids = torch.tensor(shuffled[start:end])
        where = (ids * 3 + 1).to(torch.int32).expand(2, -1)
        keys, positions = merge_top_k(keys, positions, encode_keys(table[:, ids], ids), where)
    for row, row_values in enumerate((values, values[::-1])):
        expected = sorted(range(n), key=lambda prompt: (-row_values[prompt], prompt))[:k]
        filled = min(k, n)
        assert key_prompt_ids(keys[row])[:filled].tolist() == expected
        assert key_values(keys[row])[:filled].tolist() == [row_values[prompt] for prompt in expected]
        assert positions[row][:filled].tolist() == [prompt * 3 + 1 for prompt in expected]
        assert keys[row][filled:].tolist() == [EMPTY] * (k - filled)


@pytest.mark.parametrize("rows_that_change", [0, 1, 4])  # the last: all rows, without an index
def test_only_what_beats_the_last_place_changes(rows_that_change: int) -> None:
    ids = torch.arange(3)
    keys = encode_keys(torch.tensor([[3.0, 2.0, 1.0]] * 4), ids)
    positions = torch.ones(4, 3, dtype=torch.int32)
    new_values = torch.full((4, 1), 0.5)
    new_values[:rows_that_change] = 9.0
    rows = rows_to_merge(keys, new_values.amax(1))
    assert torch.arange(4)[rows].tolist() == list(range(rows_that_change))
    new_keys, new_positions = (
        encode_keys(new_values, torch.tensor([5])),
        torch.full((4, 1), 8, dtype=torch.int32),
    )
    keys[rows], positions[rows] = merge_top_k(
        keys[rows], positions[rows], new_keys[rows], new_positions[rows]
    )
    expected = [[5, 0, 1]] * rows_that_change + [[0, 1, 2]] * (4 - rows_that_change)
    assert key_prompt_ids(keys).tolist() == expected
    assert positions[:, 0].tolist() == [8] * rows_that_change + [1] * (4 - rows_that_change)


def test_a_tie_with_the_last_place_may_change_the_row_and_an_empty_slot_does() -> None:
    """The smaller prompt id wins a tie, and is not known yet."""
    keys = encode_keys(torch.tensor([[2.0, 1.0]] * 5), torch.tensor([3, 4]))
    keys[2, 1] = EMPTY
    assert rows_to_merge(keys, torch.tensor([1.0, 0.5, -9.0, 0.0, 0.5]))[0].tolist() == [0, 2]


def test_all_rows_are_merged_where_most_change() -> None:
    keys = encode_keys(torch.tensor([[2.0, 1.0]] * 5), torch.tensor([3, 4]))
    assert torch.arange(5)[rows_to_merge(keys, torch.tensor([3.0, 3.0, 0.0, 0.0, 3.0]))].tolist() == [
        *range(5)
    ]


@given(
    entries=st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 9)), min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=6),
    k=st.integers(1, 8),
    data=st.data(),
)
def test_the_best_of_each_text_however_it_is_cut_and_ordered(
    entries: list[tuple[int, int]], cuts: list[int], k: int, data: st.DataObject
) -> None:
    """Pieces with a running top k of their own, as workers send them, merged into another."""
    n = len(entries)
    values = torch.tensor([[float(value) for value, _ in entries]])
    texts = torch.tensor([*(text for _, text in entries), -1])
    shuffled = data.draw(st.permutations(range(n)))
    ends = [*sorted({cut for cut in cuts if 0 < cut < n}), n]
    keys, positions = torch.full((1, k), EMPTY), torch.zeros(1, k, dtype=torch.int32)
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        ids = torch.tensor(shuffled[start:end])
        piece, places = torch.full((1, k), EMPTY), torch.zeros(1, k, dtype=torch.int32)
        new_keys = encode_keys(values[:, ids], ids)
        piece, places = merge_top_k(piece, places, new_keys, ids.to(torch.int32)[None], texts)
        keys, positions = merge_top_k(keys, positions, piece, places, texts)
    best: dict[int, int] = {}
    for prompt in sorted(range(n), key=lambda prompt: (-entries[prompt][0], prompt)):
        best.setdefault(entries[prompt][1], prompt)
    expected = list(best.values())[:k]
    assert key_prompt_ids(keys[0])[: len(expected)].tolist() == expected
    assert positions[0].tolist() == [*expected, *[0] * (k - len(expected))]
    assert (keys[0][len(expected) :] == EMPTY).all()
