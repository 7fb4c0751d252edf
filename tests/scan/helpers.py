"""What the tests of scans by many workers share: models whose sums show every rounding, workers in memory."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from tests.scan.fake_model import D_MLP, N_LAYERS, VOCABULARY, FakeModel
from tui_lookups.scan.shards import Shard, ShardResult, scan_shard


class RoughModel(FakeModel):
    """Activations of every size: a sum of them says in which order it was taken. Ties as in FakeModel."""

    def __init__(self, *, gated: bool = False) -> None:
        super().__init__(gated=gated)
        rng = np.random.default_rng(1)
        self.by_token = rng.normal(size=(N_LAYERS, VOCABULARY, D_MLP)) * 10.0 ** rng.integers(
            -3, 4, (N_LAYERS, VOCABULARY, 1)
        )


class SlowModel(RoughModel):
    """Takes its time, and leaves a line for every batch in a file named after its process."""

    def __init__(self, folder: str, seconds: float) -> None:
        super().__init__(gated=True)
        self._folder, self._seconds = Path(folder), seconds

    def mlp_activations(
        self,
        tokens: torch.Tensor,
        layers: Sequence[int],
        consume: Callable[[int, torch.Tensor], None],
        *,
        poll: Callable[[], None] = lambda: None,
    ) -> None:
        with (self._folder / str(os.getpid())).open("a") as file:
            file.write(f"{tokens.shape[0]}\n")
        time.sleep(self._seconds)
        super().mlp_activations(tokens, layers, consume, poll=poll)


class MemoryWorkers:
    """Workers in this process: shards are scanned when they are taken, results come when `late` says so.

    Args:
        count: how many; their places are filled in the order that `random` draws.
        late: of ten results, so many are not there yet when they are asked for.
    """

    def __init__(self, model: FakeModel, count: int, *, late: int = 0, seed: int = 0) -> None:
        self.model, self.count, self.late = model, count, late
        self.random = random.Random(seed)
        self.submitted: list[tuple[int, int]] = []
        self.waiting: dict[int, tuple[Shard, tuple[int, ...], int]] = {}
        self.done: dict[int, ShardResult] = {}
        self.closed = False
        self.broken: Exception | None = None

    def ready(self) -> int:
        return self.count

    def room(self) -> int:
        return max(0, 2 * self.count - len(self.waiting))

    def submit(self, shard: Shard, layers: Sequence[int], top: int) -> None:
        assert not self.closed
        self.submitted.append((shard.first, shard.end))
        self.waiting[shard.first] = (shard, tuple(layers), top)

    def take(self, first: int, seconds: float) -> ShardResult | None:
        if self.broken is not None:
            raise self.broken
        if self.waiting:  # any of them, not the one that is asked for
            ready = self.random.choice(sorted(self.waiting))
            shard, layers, top = self.waiting.pop(ready)
            self.done[ready] = scan_shard(self.model, shard, layers=layers, top=top)
        if self.random.randrange(10) < self.late:
            return None
        return self.done.pop(first, None)

    def close(self) -> None:
        self.closed = True
