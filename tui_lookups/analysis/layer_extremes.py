"""One pass over a layer: what an atlas is made of (method.md, section 2).

In blocks of neurons and of tokens, `layer_extremes` keeps the extremes of each neuron over the vocabulary and
of each token over the neurons. Neither [all neurons, vocabulary] nor a copy of the whole unembedding is ever
formed. Where the weights come from is `Writes`: the files alone, or the loaded model.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tui_lookups.errors import NumericalError, Poll, no_poll
from tui_lookups.model.file_weights import Extremes, Writes

_BLOCK_NUMBERS = 8_000_000
"""Most numbers of a block formed at once (32 MB in float32): of writes, unembedding or congruences. Larger
ones are given back to the system each time, which costs a quarter more."""


def layer_extremes(model: Writes, layer: int, *, poll: Poll = no_poll) -> Extremes:
    """The extremes of a layer's congruences over both axes, block by block (method.md, section 2).

    Values are float32, ids int32. The working memory is three blocks of `_BLOCK_NUMBERS` and a few numbers a
    neuron and a token, whatever the size of the vocabulary and the format of the weights. On exact ties the
    smaller token id is kept.
    A row that no token has gets -inf and inf for its own extremes.
    """
    d_mlp, d_model, d_vocab = model.info.d_mlp, model.info.d_model, model.d_vocab
    unused = np.array([row for row in model.vocabulary.unused_ids if row < d_vocab], dtype=np.int64)
    largest, smallest = np.full(d_mlp, -np.inf), np.full(d_mlp, np.inf)
    largest_ids, smallest_ids = np.zeros(d_mlp, np.int32), np.zeros(d_mlp, np.int32)
    token_largest, token_smallest = np.full(d_vocab, -np.inf), np.full(d_vocab, np.inf)
    height = min(d_mlp, max(1, _BLOCK_NUMBERS // d_model))
    for rows in _blocks(d_mlp, height):
        writes = model.write_block(layer, rows)
        for tokens in _blocks(d_vocab, max(1, _BLOCK_NUMBERS // max(height, d_model))):
            poll()
            without = unused[(unused >= tokens.start) & (unused < tokens.stop)] - tokens.start
            extremes = model.extremes(writes, tokens, without)
            better = extremes.largest > largest[rows]
            largest_ids[rows] = np.where(better, extremes.largest_ids, largest_ids[rows])
            largest[rows] = np.where(better, extremes.largest, largest[rows])
            better = extremes.smallest < smallest[rows]
            smallest_ids[rows] = np.where(better, extremes.smallest_ids, smallest_ids[rows])
            smallest[rows] = np.where(better, extremes.smallest, smallest[rows])
            token_largest[tokens] = np.maximum(token_largest[tokens], extremes.token_largest)
            token_smallest[tokens] = np.minimum(token_smallest[tokens], extremes.token_smallest)
    if not bool(np.isfinite(largest).all() and np.isfinite(smallest).all()):
        raise NumericalError.of_layer(layer)
    return Extremes(
        largest=largest.astype(np.float32),
        largest_ids=largest_ids,
        smallest=smallest.astype(np.float32),
        smallest_ids=smallest_ids,
        token_largest=token_largest.astype(np.float32),
        token_smallest=token_smallest.astype(np.float32),
    )


def _blocks(length: int, size: int) -> Iterator[slice]:
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))
