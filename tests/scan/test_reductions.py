"""Reductions of one batch against NumPy on each row alone; what an accelerator is given to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import launches
from tests.faults import processes
from tests.scan.fake_model import FakeModel, random_corpus
from tests.scan.test_scan import digests, distinct_scan, new_scan
from tui_lookups.errors import no_poll
from tui_lookups.scan import reductions
from tui_lookups.scan import state as scan_state
from tui_lookups.scan.reductions import (
    Reductions,
    reduce_activations,
    reduce_by_length,
    reduce_masked,
    uncounted_positions,
)
from tui_lookups.scan.scan import run_scan

LENGTHS = [2, 4, 4, 4, 9, 9]
CPU = torch.device("cpu")
Reduce = Callable[[torch.Tensor, Sequence[int], Reductions], None]


def masked(activation: torch.Tensor, lengths: Sequence[int], found: Reductions) -> None:
    """What an accelerator does, on a CPU."""
    reduce_masked(activation, uncounted_positions(lengths, CPU), found)


def reduced(
    reduce: Reduce, activation: torch.Tensor, lengths: Sequence[int], *, both_signs: bool
) -> Reductions:
    """Into a room that is full of something else, between those of two other layers."""
    rows, _, d_mlp = activation.shape
    room = Reductions.empty(3, rows, d_mlp, both_signs=both_signs, device=CPU)
    for field in fields(room):
        getattr(room, field.name).fill_(77)
    reduce(activation, lengths, room.layer(1))
    assert all(
        (getattr(room.layer(other), field.name) == 77).all() for other in (0, 2) for field in fields(room)
    )
    return room.layer(1)


@pytest.mark.parametrize(
    ("reduce", "piece"),
    [(reduce_by_length, 1), (reduce_by_length, 50), (reduce_by_length, 1 << 18), (masked, 0)],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("both_signs", [False, True])
def test_agrees_with_each_row_alone(monkeypatch, dtype, both_signs: bool, reduce, piece: int) -> None:
    monkeypatch.setattr(reductions, "_CPU_PIECE", piece)
    generator = torch.Generator().manual_seed(0)
    activation = torch.randint(-4, 5, (6, 9, 7), generator=generator).to(dtype) / 4  # exact, with ties
    activation[:, 0] = 100.0  # position 0 never counts
    for row, length in enumerate(LENGTHS):
        activation[row, length:] = torch.nan  # nor does padding
    before = activation.clone()
    found = reduced(reduce, activation, LENGTHS, both_signs=both_signs)
    torch.testing.assert_close(
        activation, before, rtol=0, atol=0, equal_nan=True
    )  # the model goes on with it
    counted = [activation[row, 1:length].double().numpy() for row, length in enumerate(LENGTHS)]
    assert (found.values.dtype, len(found.values)) == (torch.float32, 1 + both_signs)
    np.testing.assert_array_equal(found.values[0], [row.max(0) for row in counted])
    np.testing.assert_array_equal(found.positions[0], [row.argmax(0) + 1 for row in counted])
    np.testing.assert_array_equal(found.lowest, np.min([row.min(0) for row in counted], 0))
    if both_signs:
        np.testing.assert_array_equal(-found.values[1], [row.min(0) for row in counted])
        np.testing.assert_array_equal(found.positions[1], [row.argmin(0) + 1 for row in counted])
    everything = np.concatenate(counted)
    np.testing.assert_array_equal(found.sums, [everything.sum(0), (everything**2).sum(0)])
    np.testing.assert_array_equal(found.positive, (everything > 0).sum(0))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(2, 40), min_size=1, max_size=20), st.integers(0, 2**32 - 1))
def test_both_ways_agree_and_the_cpu_takes_the_one_without_padding(lengths: list[int], seed: int) -> None:
    lengths = sorted(lengths)
    generator = torch.Generator().manual_seed(seed)
    activation = torch.randn(len(lengths), lengths[-1], 5, generator=generator)
    by_length, whole, chosen = (
        reduced(reduce, activation, lengths, both_signs=True)
        for reduce in (reduce_by_length, masked, reduce_activations)
    )
    for name in (field.name for field in fields(Reductions)):
        ours, theirs = getattr(by_length, name), getattr(whole, name)
        assert torch.equal(getattr(chosen, name), ours)
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        if name == "sums":
            size = activation.double().abs().square().sum() + activation.double().abs().sum()
            assert (ours - theirs).abs().max() <= 1e-6 * size
        else:
            assert torch.equal(ours, theirs)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(2, 12), min_size=1, max_size=8),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_positions_of_what_enters_are_the_same_when_they_are_looked_up(
    lengths: list[int], dtype: torch.dtype, both_signs: bool, seed: int
) -> None:
    lengths, generator = sorted(lengths), torch.Generator().manual_seed(seed)
    activation = torch.randint(-4, 5, (len(lengths), lengths[-1], 5), generator=generator).to(dtype) / 4
    for row, length in enumerate(lengths):
        activation[row, length:] = torch.nan if seed % 2 else 1.0  # padding, a frequent maximum even
    floor = torch.randint(-4, 5, (1 + both_signs, 5), generator=generator) / 4
    floor[0, 0] = -torch.inf
    every = reduced(reduce_by_length, activation, lengths, both_signs=both_signs)

    def with_floor(activation: torch.Tensor, lengths: Sequence[int], found: Reductions) -> None:
        reduce_by_length(activation, lengths, found, floor)

    with mock.patch.object(reductions, "_FEW", 2.0):
        some = reduced(with_floor, activation, lengths, both_signs=both_signs)
    enters = every.values >= floor.unsqueeze(1)
    assert torch.equal(some.positions[enters], every.positions[enters])
    for name in {field.name for field in fields(Reductions)} - {"positions"}:
        assert torch.equal(getattr(some, name), getattr(every, name))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(2, 12), min_size=1, max_size=8), st.integers(0, 2**32 - 1))
def test_any_number_of_threads_finds_the_same(lengths: list[int], seed: int) -> None:
    lengths, generator = sorted(lengths), torch.Generator().manual_seed(seed)
    activation = torch.randn(len(lengths), lengths[-1], 5, generator=generator)
    one, two, three = (
        reduced(partial(reduce_by_length, shares=shares), activation, lengths, both_signs=True)
        for shares in (1, 2, 3)
    )
    for name in (field.name for field in fields(Reductions)):
        assert torch.equal(getattr(two, name), getattr(one, name))
        assert torch.equal(getattr(three, name), getattr(one, name))


def test_each_thread_of_the_model_has_a_share_and_the_model_keeps_them(monkeypatch) -> None:
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(
        reductions, "reduce_by_length", lambda *_, shares: seen.append((shares, torch.get_num_threads()))
    )
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        reduced(reduce_activations, torch.zeros(1, 4, 3), [4], both_signs=True)
        assert (seen, torch.get_num_threads()) == ([(2, 1)], 2)
    finally:
        torch.set_num_threads(before)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30), st.integers(1, 8))
def test_shares_hold_every_piece_once_and_none_is_much_larger(rows: list[int], most: int) -> None:
    ends = np.cumsum(rows).tolist()
    pieces = [(slice(end - count, end), 5) for end, count in zip(ends, rows, strict=True)]
    shares = reductions._shares(pieces, most)
    assert [piece for share in shares for piece in share] == pieces
    assert 1 <= len(shares) <= most
    sizes = [sum(run.stop - run.start for run, _ in share) for share in shares]
    assert max(sizes) <= ends[-1] / most + max(rows)


@pytest.mark.parametrize("gated", [False, True])
def test_a_scan_that_looks_positions_up_ends_with_the_same_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gated: bool
) -> None:
    looked_up = mock.Mock(wraps=reductions._look_up)
    monkeypatch.setattr(reductions, "_look_up", looked_up)
    for folder, few in (("never", 0.0), ("often", 0.5)):
        monkeypatch.setattr(reductions, "_FEW", few)
        run_scan(distinct_scan(FakeModel(gated=gated), random_corpus(200), tmp_path / folder, top=3))
        assert looked_up.called is (folder == "often")
    assert digests(tmp_path / "never") == digests(tmp_path / "often")


@pytest.mark.parametrize("both_signs", [False, True])
def test_a_broken_activation_stays_broken_and_padding_breaks_nothing(both_signs: bool) -> None:
    activation = torch.zeros(2, 4, 3)
    activation[0, 1, 0], activation[1, 2, 1] = torch.nan, torch.inf
    activation[0, 2:], activation[:, 0] = torch.nan, -torch.inf  # padding, position 0
    for reduce in (masked, reduce_by_length):
        found = reduced(reduce, activation, [2, 4], both_signs=both_signs)
        assert found.values[0].isfinite().tolist() == [[False, True, True], [True, False, True]]
        assert found.lowest.isfinite().tolist() == [False, True, True]
        assert ((found.positions >= 1) & (found.positions < 4)).all()


# --- on an accelerator ---


@pytest.mark.parametrize("both_signs", [False, True])
@pytest.mark.parametrize("repeated", [False, True])
def test_so_many_operations_whatever_the_lengths(both_signs: bool, repeated: bool) -> None:
    """Of a batch and all layers of the demo, from tokens to state. A look at a value would raise."""
    numbers = {
        launches.scan_operations(lengths, both_signs=both_signs, repeated=repeated).counted.total()
        for lengths in (launches.EQUAL, launches.MIXED, [2] * 120)
    }
    assert len(numbers) == 1
    assert max(numbers) <= launches.MOST * launches.LAYERS


def test_a_layer_more_is_its_reductions_alone() -> None:
    """The merge is one for all layers."""
    few, more = (
        launches.scan_operations(launches.MIXED, both_signs=True, layers=n).counted.total() for n in (2, 12)
    )
    assert more - few == 10 * 21


def test_layers_that_are_too_large_together_are_merged_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = launches.scan_operations(launches.MIXED, both_signs=True).counted
    monkeypatch.setattr(scan_state, "_AT_ONCE", 1)
    apart = launches.scan_operations(launches.MIXED, both_signs=True).counted
    assert (at_once["topk"], apart["topk"]) == (1, launches.LAYERS)


def test_the_count_would_find_a_run_a_length() -> None:
    activation = torch.empty(launches.ROWS, max(launches.MIXED), 4)
    with launches.Operations() as operations:
        reduced(reduce_by_length, activation, launches.MIXED, both_signs=True)
    assert operations.counted.total() > 1000


def test_what_goes_to_an_accelerator_is_pinned_and_not_waited_for() -> None:
    """Tokens, what is not counted, prompts, edges of the histogram; the sample's rows and slots."""
    for sample, expected in ((0, 4), (3, 6)):
        crossings = launches.scan_operations([2, 5, 5, 9], both_signs=True, sample=sample).crossings
        assert crossings == [launches.Crossing("cpu", str(launches.ACCELERATOR), True, True)] * expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("[enforce fail] . DefaultCPUAllocator: not enough memory: you tried to"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("not enough memory of that kind"), False),
    ],
)
def test_what_running_out_of_memory_looks_like(error: Exception, expected: bool) -> None:
    assert reductions.is_out_of_memory(error) is expected


class Hungry(FakeModel):
    """Takes 8 MB a token."""

    def mlp_activations(self, tokens, layers, consume, *, poll=no_poll) -> None:
        held = torch.empty(tokens.numel() << 23, dtype=torch.uint8)
        super().mlp_activations(tokens, layers, consume, poll=poll)
        del held


def cut_to_within(more: int, folder: Path) -> int:
    processes.limit_memory(more)
    return run_scan(new_scan(Hungry(gated=True), random_corpus(50), folder)).manifest.cut_to


@processes.needs_fork
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux only")
def test_memory_that_really_runs_out_cuts_the_batch(tmp_path: Path) -> None:
    """The allocator's own error, in a process whose address space ends."""
    assert 0 < processes.answer_anew(cut_to_within, 200 << 20, tmp_path / "starved") < 40
    run_scan(new_scan(FakeModel(gated=True), random_corpus(50), tmp_path / "roomy"))
    assert digests(tmp_path / "starved") == digests(tmp_path / "roomy")
