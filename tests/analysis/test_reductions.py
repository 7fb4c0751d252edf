"""Reductions of one batch against NumPy on each row alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.analysis.fake_model import FakeModel, random_corpus
from tests.analysis.test_scan import digests, new_scan
from tests.faults import processes
from tui_lookups.analysis import reductions
from tui_lookups.analysis.reductions import pad, reduce_activations
from tui_lookups.analysis.scan import run_scan
from tui_lookups.model.lookup_model import no_poll

LENGTHS = [2, 4, 4, 4, 9, 9]


@pytest.mark.parametrize("piece", [1, 50, 1 << 18])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("both_signs", [False, True])
def test_agrees_with_each_row_alone(monkeypatch, dtype, both_signs: bool, piece: int) -> None:
    monkeypatch.setattr(reductions, "_CPU_PIECE", piece)
    generator = torch.Generator().manual_seed(0)
    activation = torch.randint(-4, 5, (6, 9, 7), generator=generator).to(dtype) / 4  # exact, with ties
    activation[:, 0] = 100.0  # position 0 never counts
    for row, length in enumerate(LENGTHS):
        activation[row, length:] = torch.nan  # nor does padding
    found = reduce_activations(activation, LENGTHS, both_signs=both_signs)
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
