"""The scan by many workers: shards handed out, merged in the order of the plan, committed as ever.

1. Each worker holds a replica of the model and scans one shard after another (shards.py). Two are put
   before each worker, so that none waits for the next.
2. A shard is as long as its worker needs for some seconds, and shorter towards the end, so that all
   finish together; how the plan is cut changes no bit of the index.
3. Whatever is ready first, shards are merged in the plan's order: the state is always that of the first so
   many batches, and a checkpoint of it is one that a scan in a single process resumes, and the other way.
   What waits for its turn is bounded, and lost by a kill like any work after the last checkpoint.
4. A shard is merged when its result is there, and there is one result a shard: a worker that dies has its
   shard scanned again by Ray, from its first batch.

`step` waits for a moment only: between steps the model thread answers whoever asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, Unpack

import torch

from tui_lookups.errors import Poll, no_poll
from tui_lookups.results import ScanProgress
from tui_lookups.scan.ledger import ScanLedger
from tui_lookups.scan.plan import BLOCK_BATCHES
from tui_lookups.scan.shards import Ints, Shard, ShardResult, make_shard, merge_shard, shard_end
from tui_lookups.scan.subject import ScannedModel, ScanOptions, Windows

_STEP_SECONDS = 0.05
"""How long a step waits for a result: so long a question may have to wait."""

_SHARD_SECONDS = 10.0
"""What a shard should take: long beside sending its result, short beside the time between checkpoints."""

_UNMERGED = 4
"""Shards a worker that may be under way or wait for their turn to be merged."""

_MOST_SUMS = 64 << 20
"""Bytes of block sums in a result."""


class Workers(Protocol):
    """Whoever scans shards. Methods raise LookupsError when a worker has failed for good."""

    def ready(self) -> int:
        """How many have loaded the model."""

    def room(self) -> int:
        """How many more shards they would take now."""

    def submit(self, shard: Shard, layers: Sequence[int], top: int) -> None:
        """Let one of them scan it, some time."""

    def take(self, first: int, seconds: float) -> ShardResult | None:
        """The result of the shard that begins with batch `first`, if it comes within so many seconds."""

    def close(self) -> None:
        """No more work; what is under way is dropped. Never waits."""


class RayScan(ScanLedger):
    """A scan whose batches run elsewhere. One thread owns it.

    Args: as `ScanLedger`; `scanned` is the model that the workers hold.
    """

    def __init__(
        self,
        workers: Workers,
        scanned: ScannedModel,
        corpus: Windows,
        folder: Path,
        **options: Unpack[ScanOptions],
    ) -> None:
        super().__init__(scanned, corpus, folder, state_on=torch.device("cpu"), **options)
        self._workers = workers
        self._handed_out = 0
        self._under_way: dict[int, Ints] = {}  # first batch of a shard: its prompts of the sample
        self._blocks = 1
        self._merged_at = 0.0

    def resume(self) -> int:
        """See `ScanLedger.resume`."""
        resumed_at = super().resume()
        if not self._under_way:
            self._handed_out, self._merged_at = self._manifest.next_batch, self._clock()
        return resumed_at

    def step(self, poll: Poll = no_poll) -> bool:
        """Hand out shards and merge the next one of the plan, if it is there; False when all are merged.

        Whatever it raises, the state is that of whole shards, and it may be called again: Cancelled from
        `poll`, CacheError when a checkpoint cannot be written. NumericalError, and LookupsError when a
        shard failed again and again, are final.
        """
        first = self._manifest.next_batch
        if self.finished or first == len(self.plan):
            return False
        poll()
        self._hand_out()
        result = self._workers.take(first, _STEP_SECONDS)
        if result is None:
            return True
        with self._merging() as state:
            merge_shard(state, result, self._sample, self._under_way.pop(first), self._texts)
        blocks = len(result.blocks)
        self._blocks = max(1, min(2 * self._blocks, int(_SHARD_SECONDS * blocks / max(result.seconds, 1e-3))))
        now = self._clock()
        seconds, self._merged_at = now - self._merged_at, now
        self._advance(result.end, seconds, cut_to=result.cut_to)
        return result.end < len(self.plan)

    def _hand_out(self) -> None:
        manifest, ready, room = self._manifest, self._workers.ready(), self._workers.room()
        while room > 0 and len(self._under_way) < ready * _UNMERGED and self._handed_out < len(self.plan):
            first = self._handed_out
            left = -(-(len(self.plan) - first) // BLOCK_BATCHES)
            share = -(-left // (2 * ready))
            sums = len(manifest.layers) * manifest.d_mlp * 16
            blocks = max(1, min(self._blocks, share, _MOST_SUMS // sums))
            end = shard_end(self.plan, first, blocks)
            # Only the first shard after a kill can begin inside a block.
            head = self._need_state().open_sums.numpy().copy() if first % BLOCK_BATCHES else None
            shard = make_shard(self.plan, self._corpus, self._sample, first, end, head, self._copies)
            self._workers.submit(shard, manifest.layers, manifest.top)
            self._under_way[first] = shard.sample
            self._handed_out = end
            room -= 1

    def progress(self) -> ScanProgress:
        """See `ScanLedger.progress`; says so while no worker answers."""
        progress = super().progress()
        if progress.state == "done" or self._workers.ready():
            return progress
        return replace(progress, seconds_left=None, message="no worker answers; waiting for one")

    def close(self) -> None:
        """See `ScanLedger.close`; the workers stop, too."""
        self._workers.close()
        super().close()
