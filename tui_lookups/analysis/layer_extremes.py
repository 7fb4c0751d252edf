"""One pass over a layer of a loaded model: what an atlas is made of (method.md, section 2).

In blocks of neurons and of tokens, `layer_extremes` keeps the extremes of each neuron over the vocabulary and
of each token over the neurons. Neither [all neurons, vocabulary] nor a copy of the whole unembedding is ever
formed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from tui_lookups.analysis.atlas import LayerExtremes
from tui_lookups.errors import Poll, no_poll
from tui_lookups.model.lookup_model import LookupModel, require_finite

_BLOCK_NUMBERS = 32_000_000
"""Most numbers of a block formed at once (128 MB in float32): of congruences, or of the unembedding."""


@torch.inference_mode()
def layer_extremes(model: LookupModel, layer: int, *, poll: Poll = no_poll) -> LayerExtremes:
    """The extremes of a layer's congruences over both axes, block by block (method.md, section 2).

    The working memory is two blocks of `_BLOCK_NUMBERS` and a few numbers a neuron and a token, whatever
    the size of the vocabulary and the format of the weights. On exact ties the smaller token id is kept.
    A row that no token has gets -inf and inf for its own extremes.
    """
    W_out, W_U = model.W_out(layer), model.W_U
    d_mlp, (d_model, d_vocab) = W_out.shape[0], W_U.shape
    # [2, ...]: of the congruences and of their negatives.
    best = W_out.new_full((2, d_mlp), -torch.inf, dtype=model.compute_dtype)
    best_ids = torch.zeros((2, d_mlp), dtype=torch.int64, device=W_out.device)
    token_best = W_out.new_full((2, d_vocab), -torch.inf, dtype=model.compute_dtype)
    width = min(d_vocab, max(1, _BLOCK_NUMBERS // d_model))
    for columns in _blocks(d_vocab, width):
        unembedding = W_U[:, columns].to(model.compute_dtype)
        unused = model.unused_rows - columns.start
        unused = unused[(unused >= 0) & (unused < unembedding.shape[1])]
        for rows in _blocks(d_mlp, max(1, _BLOCK_NUMBERS // width)):
            poll()
            congruence = W_out[rows].to(model.compute_dtype) @ unembedding
            for side in (0, 1):
                congruence[:, unused] = -torch.inf
                values, ids = congruence.max(1)
                better = values > best[side, rows]
                best_ids[side, rows] = torch.where(better, ids + columns.start, best_ids[side, rows])
                best[side, rows] = torch.where(better, values, best[side, rows])
                token_best[side, columns] = torch.maximum(token_best[side, columns], congruence.amax(0))
                if side == 0:
                    congruence.neg_()
    require_finite(best, layer)
    return LayerExtremes(
        largest=_array(best[0], np.float32),
        largest_ids=_array(best_ids[0], np.int32),
        smallest=_array(-best[1], np.float32),
        smallest_ids=_array(best_ids[1], np.int32),
        token_largest=_array(token_best[0], np.float32),
        token_smallest=_array(-token_best[1], np.float32),
    )


def _array(values: Tensor, dtype: type[np.generic]) -> np.ndarray:
    return values.cpu().numpy().astype(dtype)


def _blocks(length: int, size: int) -> Iterator[slice]:
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))
