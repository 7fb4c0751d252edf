"""Matrices of a loaded model, put together from what it hands out, for expectations spelt out in tests."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tui_lookups.model.lookup_model import LookupModel


def unembedding_of(model: LookupModel) -> Tensor:
    """[d_model, d_vocab]: what every token reads, in the basis of the model."""
    return torch.from_numpy(np.stack([model.unembedding(row) for row in range(model.info.d_vocab)], axis=1))
