"""Shards: runs of the batch plan that a worker scans by itself, and how they come together again.

1. A shard is a run of whole blocks of the plan (plan.py). The tokens travel with it, so a worker
   needs the model alone and cannot scan another corpus by mistake.
2. A worker merges its batches as a scan in one process does, into a state of its own, and puts the sums of
   each block aside.
3. The ledger takes shards in the order of the plan, each once: the top k, counts, extremes and the sample
   do not depend on how the plan was cut, and sums are added block by block in the plan's order. On the
   same kind of device the index is therefore, bit for bit, that of a scan in one process.
4. A scan that was killed inside a block goes on inside it: its first shard is given what the block has
   summed so far.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tui_lookups.errors import Poll, no_poll
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.scan.copies import Copies
from tui_lookups.scan.plan import BLOCK_BATCHES, BatchPlan
from tui_lookups.scan.reductions import BatchReducer, state_device
from tui_lookups.scan.state import ScanState, TextTable, merge_batch
from tui_lookups.scan.subject import Windows

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]

_SUMS = ("sums", "open_sums")


@dataclass(frozen=True, eq=False)
class Shard:
    """Batches `first` to `end` of the plan.

    Attributes:
        parts: part of the corpus of each batch.
        prompt_ids: of all batches; batch n of the shard holds those from `offsets[n]` to `offsets[n + 1]`.
        tokens: token ids of the prompts, one after the other, `lengths` of them each.
        sample: those of the prompts that belong to the scan's sample, ascending.
        head: [n_layers, 2, d_mlp], what the block that `first` lies in has summed before; None at its start.
        originals: which prompt each is a copy of; None where copies are kept.
    """

    first: int
    end: int
    parts: Ints
    prompt_ids: Ints
    offsets: Ints
    tokens: npt.NDArray[np.uint32]
    lengths: Ints
    sample: Ints
    head: Array | None
    originals: Ints | None = None


@dataclass(frozen=True, eq=False)
class ShardResult:
    """What a worker found.

    Attributes:
        arrays: its `ScanState` but for the sums, with no more slots in its top k than the shard has prompts.
        blocks: [n_blocks, n_layers, 2, d_mlp] float64, the sums of each of its blocks.
        cut_to: padded tokens a batch was cut to for want of memory; 0 when all fitted.
        seconds: what it took.
    """

    first: int
    end: int
    arrays: dict[str, Array]
    blocks: Array
    cut_to: int
    seconds: float


def shard_end(plan: BatchPlan, first: int, blocks: int) -> int:
    """Where a shard of at most `blocks` blocks that begins with batch `first` ends."""
    return min((first // BLOCK_BATCHES + blocks) * BLOCK_BATCHES, len(plan))


def make_shard(
    plan: BatchPlan,
    corpus: Windows,
    sample: Ints,
    first: int,
    end: int,
    head: Array | None = None,
    copies: Copies | None = None,
) -> Shard:
    """The shard of batches `first` to `end`, which ends a block."""
    ids = plan.order[plan.offsets[first] : plan.offsets[end]]
    windows = [corpus.window_tokens(int(prompt)) for prompt in ids]
    return Shard(
        first=first,
        end=end,
        parts=plan.parts[first:end].copy(),
        prompt_ids=ids.copy(),
        offsets=plan.offsets[first : end + 1] - plan.offsets[first],
        tokens=np.concatenate(windows).astype(np.uint32),
        lengths=np.array([len(window) for window in windows], np.int64),
        sample=np.intersect1d(ids, sample),
        head=head,
        originals=None if copies is None else copies.originals[ids],
    )


def scan_shard(
    model: LookupModel, shard: Shard, *, layers: Sequence[int], top: int, fits: int = 0, poll: Poll = no_poll
) -> ShardResult:
    """Scan a shard.

    Args:
        layers: ascending.
        top: prompts kept per neuron, sign and part.
        fits: padded tokens that are known to fit into memory; 0 when nothing is known.
    """
    started = time.monotonic()
    starts = np.concatenate([[0], np.cumsum(shard.lengths)])
    number_of = {int(prompt): number for number, prompt in enumerate(shard.prompt_ids)}

    def window_tokens(prompt: int) -> Ints:
        number = number_of[prompt]
        return shard.tokens[starts[number] : starts[number + 1]].astype(np.int64)

    gated = model.architecture.gated
    reducer = BatchReducer(model, window_tokens, layers, both_signs=gated)
    reducer.limit = fits or None
    state = ScanState.empty(
        len(layers),
        model.info.d_mlp,
        signs=2 if gated else 1,
        top=min(top, len(shard.prompt_ids)),
        sample=len(shard.sample),
        device=state_device(model.device),
    )
    if shard.head is not None:
        state.open_sums.copy_(torch.from_numpy(np.array(shard.head)))
    texts = None
    if shard.originals is not None:
        texts = _texts_of(shard.prompt_ids, shard.originals, state.keys.device)
    blocks: list[Array] = []
    for number in range(shard.end - shard.first):
        ids = shard.prompt_ids[shard.offsets[number] : shard.offsets[number + 1]]
        part = int(shard.parts[number])
        merge_batch(state, part, reducer(ids, poll, state.floors(part)), shard.sample, texts)
        if (shard.first + number + 1) % BLOCK_BATCHES == 0 or shard.first + number + 1 == shard.end:
            blocks.append(state.take_open_sums())
    arrays = {name: array for name, array in state.to_arrays().items() if name not in _SUMS}
    seconds = time.monotonic() - started
    return ShardResult(shard.first, shard.end, arrays, np.stack(blocks), reducer.limit or 0, seconds)


def _texts_of(prompt_ids: Ints, originals: Ints, device: torch.device) -> TextTable:
    """The texts of a shard's prompts, at their places in the corpus; other prompts are never asked for."""
    originals_of = np.arange(int(max(prompt_ids.max(), originals.max())) + 1)
    originals_of[prompt_ids] = originals
    return TextTable.of(Copies(originals_of), device)


def merge_shard(
    state: ScanState, result: ShardResult, sample: Ints, shard_sample: Ints, texts: TextTable | None = None
) -> None:
    """Take a worker's result into the state of the batches before it.

    Args:
        sample: the scan's sample of prompt ids, ascending; `shard_sample` those of the shard.
        texts: as in `merge_batch`.
    """
    device = state.keys.device
    sums = torch.zeros_like(state.sums)
    # Copies: what comes out of Ray's object store is read-only, and torch has no such tensors.
    tensors = {name: torch.from_numpy(np.array(array)).to(device) for name, array in result.arrays.items()}
    other = ScanState(**tensors, sums=sums, open_sums=sums)
    table = None if texts is None else texts.needed(slice(None))
    state.absorb(other, np.searchsorted(sample, shard_sample).tolist(), table)
    if result.first % BLOCK_BATCHES:  # the worker went on where the open sums stood
        state.open_sums.zero_()
    for block in result.blocks:
        state.open_sums.add_(torch.from_numpy(np.array(block)).to(device))
        state.close_block()
