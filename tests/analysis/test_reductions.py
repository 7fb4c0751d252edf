"""Reductions of one batch against NumPy on each row alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tui_lookups.analysis import reductions
from tui_lookups.analysis.reductions import pad, reduce_activations

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
