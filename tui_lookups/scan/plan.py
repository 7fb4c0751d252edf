"""Which prompts run together, in which order: fixed by the corpus, a token budget and a seed.

1. Prompts are grouped by part (method.md, section 5), sorted by length, then prompt id, and packed into
   batches of at most `batch_tokens` padded tokens; a longer prompt has a batch of its own. A batch holds one
   part only.
2. Batches run in the order of a hash of (seed, first prompt id), so that early results are not those of
   the shortest prompts. The hash is spelt out here: a library's shuffle may change between versions, and
   a resumed scan must find the same plan.
3. Prompts of one token have no position that counts (method.md, section 3) and are left out.
4. Every `BLOCK_BATCHES` batches are a block: sums are taken block by block (state.py), and whole
   blocks are what is handed to one of several workers (shards.py).
5. The uniform random sample is the `sample` prompts with the smallest hash of (seed, prompt id).
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

BLOCK_BATCHES = 8
"""Batches in a block. Another number gives sums that are rounded in other places."""


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """Batch b holds prompts `order[offsets[b]:offsets[b + 1]]`, shortest first, all of part `parts[b]`.

    `tokens[b]` is the tokens in batches before b (padding not counted, length n_batches + 1).
    """

    order: Ints
    offsets: Ints
    parts: Ints
    tokens: Ints

    def __len__(self) -> int:
        return len(self.parts)

    @property
    def prompts(self) -> int:
        return len(self.order)

    def batch(self, number: int) -> Ints:
        """Prompt ids of a batch."""
        return self.order[self.offsets[number] : self.offsets[number + 1]]

    def ends_block(self, end: int) -> bool:
        """Whether a block ends where `end` batches are done."""
        return end % BLOCK_BATCHES == 0 or end == len(self)

    def digest(self) -> str:
        """SHA-256 (hex) of the whole plan."""
        digest = hashlib.sha256()
        for array in (self.order, self.offsets, self.parts):
            digest.update(np.ascontiguousarray(array, "<i8").tobytes())
        return digest.hexdigest()


def plan_batches(lengths: npt.ArrayLike, parts: npt.ArrayLike, *, batch_tokens: int, seed: int) -> BatchPlan:
    """The plan for prompts of the given lengths [n] and parts [n] (0 or 1)."""
    lengths, parts = np.asarray(lengths, np.int64), np.asarray(parts, np.int64)
    batches: list[Ints] = []
    for part in np.unique(parts):
        ids = np.flatnonzero((parts == part) & (lengths >= 2))
        ids = ids[np.lexsort((ids, lengths[ids]))]
        batches += _pack(ids, lengths[ids], batch_tokens)
    firsts = np.array([batch[0] for batch in batches], np.int64)
    batches = [batches[number] for number in np.lexsort((firsts, hash_ids(firsts, seed)))]
    order = np.concatenate([*batches, np.empty(0, np.int64)])
    sizes = np.array([len(batch) for batch in batches], np.int64)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    tokens = np.concatenate([[0], np.cumsum(lengths[order])]).astype(np.int64)[offsets]
    return BatchPlan(order, offsets, parts[order[offsets[:-1]]], tokens)


def _pack(ids: Ints, lengths: Ints, batch_tokens: int) -> list[Ints]:
    """Cut prompts sorted by length into runs of at most `batch_tokens` padded tokens, at least one each."""
    runs, start = [], 0
    while start < len(ids):
        first = start

        def padded_tokens(end: int, first: int = first) -> int:
            return (end - first) * int(lengths[end - 1])

        end = first + 1 + bisect_right(range(first + 2, len(ids) + 1), batch_tokens, key=padded_tokens)
        runs.append(ids[first:end])
        start = end
    return runs


def sample_ids(ids: Ints, size: int, seed: int) -> Ints:
    """Those of at most `size` of the (ascending) prompt ids with the smallest hashes, ascending.

    Whatever ids are added, the sample of all keeps only such of the old ones as were in theirs.
    """
    chosen = ids[np.lexsort((ids, hash_ids(ids, seed + 1)))[:size]]
    return np.sort(chosen)


def hash_ids(ids: Ints, seed: int) -> npt.NDArray[np.uint64]:
    """SplitMix64 of seed and id: evenly spread, the same on every machine and version."""
    with np.errstate(over="ignore"):
        x = ids.astype(np.uint64) + np.uint64((seed * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) % 2**64)
        x = x * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))
