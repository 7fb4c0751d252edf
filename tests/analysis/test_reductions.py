"""Reductions of one batch against NumPy on each row alone; what an accelerator is given to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.overrides import TorchFunctionMode

from benchmarks import launches
from tests.analysis.fake_model import FakeModel, random_corpus
from tests.analysis.test_scan import digests, new_scan
from tests.faults import processes
from tui_lookups.analysis import reductions
from tui_lookups.analysis.reductions import (
    BatchReducer,
    LayerReduction,
    pad,
    reduce_activations,
    reduce_by_length,
    reduce_masked,
    uncounted_positions,
)
from tui_lookups.analysis.scan import run_scan
from tui_lookups.errors import no_poll

LENGTHS = [2, 4, 4, 4, 9, 9]


CPU = torch.device("cpu")


def masked(activation: torch.Tensor, lengths: Sequence[int], *, both_signs: bool) -> LayerReduction:
    """What an accelerator does, on a CPU."""
    return reduce_masked(activation, uncounted_positions(lengths, CPU), both_signs=both_signs)


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
    found = reduce(activation, LENGTHS, both_signs=both_signs)
    torch.testing.assert_close(
        activation, before, rtol=0, atol=0, equal_nan=True
    )  # the model goes on with it
    counted = [activation[row, 1:length].double().numpy() for row, length in enumerate(LENGTHS)]
    assert found.maxima.dtype == torch.float32
    np.testing.assert_array_equal(found.maxima, [row.max(0) for row in counted])
    np.testing.assert_array_equal(found.minima, [row.min(0) for row in counted])
    np.testing.assert_array_equal(found.max_positions, [row.argmax(0) + 1 for row in counted])
    if both_signs:
        np.testing.assert_array_equal(found.min_positions, [row.argmin(0) + 1 for row in counted])
    else:
        assert found.min_positions is None
    everything = np.concatenate(counted)
    np.testing.assert_array_equal(found.sums, [everything.sum(0), (everything**2).sum(0)])
    np.testing.assert_array_equal(found.positive, (everything > 0).sum(0))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(2, 40), min_size=1, max_size=20), st.integers(0, 2**32 - 1))
def test_both_ways_agree_and_the_cpu_takes_the_one_without_padding(lengths: list[int], seed: int) -> None:
    lengths = sorted(lengths)
    generator = torch.Generator().manual_seed(seed)
    activation = torch.randn(len(lengths), lengths[-1], 5, generator=generator)
    by_length = reduce_by_length(activation, lengths, both_signs=True)
    whole = masked(activation, lengths, both_signs=True)
    chosen = reduce_activations(activation, lengths, both_signs=True)
    for name in ("maxima", "minima", "max_positions", "min_positions", "positive", "sums"):
        ours, theirs = getattr(by_length, name), getattr(whole, name)
        assert torch.equal(getattr(chosen, name), ours)
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        if name == "sums":
            size = activation.double().abs().square().sum() + activation.double().abs().sum()
            assert (ours - theirs).abs().max() <= 1e-6 * size
        else:
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize("both_signs", [False, True])
def test_a_broken_activation_stays_broken_and_padding_breaks_nothing(both_signs: bool) -> None:
    activation = torch.zeros(2, 4, 3)
    activation[0, 1, 0], activation[1, 2, 1] = torch.nan, torch.inf
    activation[0, 2:], activation[:, 0] = torch.nan, -torch.inf  # padding, position 0
    found = masked(activation, [2, 4], both_signs=both_signs)
    assert found.maxima.isfinite().tolist() == [[False, True, True], [True, False, True]]
    assert ((found.max_positions >= 1) & (found.max_positions < 4)).all()


# --- on an accelerator ---


@pytest.mark.parametrize("both_signs", [False, True])
def test_so_many_operations_whatever_the_lengths_and_no_look_at_values(both_signs: bool) -> None:
    """Views not counted. On fake tensors whatever needs a value on the host raises."""
    numbers = {
        launches.reduction_launches(lengths, both_signs=both_signs)
        for lengths in (launches.EQUAL, launches.MIXED, [2], range(2, 200))
    }
    assert numbers == {16 + both_signs}
    assert max(numbers) <= launches.MOST


def test_the_count_would_find_a_run_a_length() -> None:
    activation = torch.empty(launches.ROWS, max(launches.MIXED), 4)
    assert launches.counted(lambda: reduce_by_length(activation, launches.MIXED, both_signs=True)) > 1000


class OnCuda:
    """A model on a CUDA device that is not there: activations are empty, on the meta device."""

    device = torch.device("cuda")

    def mlp_activations(self, tokens, layers, consume, *, poll=no_poll) -> None:
        for layer in layers:
            consume(layer, torch.empty(*tokens.shape, 4, device="meta"))


class Copies(TorchFunctionMode):
    """Notes what is copied to CUDA, and how; the copies land on the meta device."""

    def __init__(self) -> None:
        super().__init__()
        self.pinned: set[int] = set()
        self.made: list[tuple[bool, bool]] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.Tensor.pin_memory:
            self.pinned.add(id(args[0]))
            return args[0]
        if func is torch.Tensor.to and any(str(each).startswith("cuda") for each in args[1:]):
            if args[0].device.type == "cpu":
                self.made.append((id(args[0]) in self.pinned, bool(kwargs.get("non_blocking"))))
            return args[0].to("meta")
        return func(*args, **kwargs)


def test_what_goes_to_cuda_is_pinned_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = [np.arange(length) for length in (2, 5, 5, 9)]
    mask = reductions.uncounted_positions
    monkeypatch.setattr(reductions, "uncounted_positions", lambda lengths, _: mask(lengths, OnCuda.device))
    reducer = BatchReducer(OnCuda(), lambda prompt: windows[prompt], range(3), both_signs=True)
    with Copies() as copies:
        (piece,) = reducer(np.arange(4), no_poll)
    assert len(piece.layers) == 3
    assert copies.made == [(True, True)] * 2  # the tokens and what is not counted: once a batch


def test_pads_on_the_right() -> None:
    rows = pad([np.array([5, 6]), np.array([7, 8, 9])])
    assert rows.tolist() == [[5, 6, 0], [7, 8, 9]]


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
