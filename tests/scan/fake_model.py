"""A model and a corpus in memory for the scan's tests: exact whatever the batch, full of ties.

The activation of a neuron on a token is the sum of a value for the token and one for the position, both
multiples of 0.5: float32 holds every figure exactly, and many prompts tie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace

import numpy as np
import torch

from tui_lookups.errors import Poll, no_poll
from tui_lookups.results import CorpusInfo, ModelInfo

N_LAYERS, D_MLP, VOCABULARY, WINDOW = 3, 5, 11, 9


class FakeModel:
    """What `Scan` uses of a LookupModel."""

    def __init__(self, *, gated: bool = False, dtype: torch.dtype = torch.float32) -> None:
        random = np.random.default_rng(0)
        self.by_token = random.integers(-6, 7, (N_LAYERS, VOCABULARY, D_MLP)) / 2
        self.by_position = random.integers(-2, 3, (N_LAYERS, WINDOW, D_MLP)) / 2
        self.dtype, self.device, self.basis = dtype, torch.device("cpu"), "folded"
        self.devices = (self.device,)
        self.forward_path, self.forms_patterns = "plain", False
        self.architecture = SimpleNamespace(gated=gated)
        self.info = ModelInfo(
            "fake",
            "fake",
            "f" * 8,
            "fake",
            N_LAYERS,
            1,
            1,
            1,
            D_MLP,
            VOCABULARY,
            WINDOW,
            1,
            gated,
            True,
            None,
        )
        self.batches: list[tuple[int, ...]] = []

    def activations(self, ids: np.ndarray, layer: int) -> np.ndarray:
        """[tokens, d_mlp], float64."""
        return self.by_token[layer][ids] + self.by_position[layer][: len(ids)]

    def mlp_activations(
        self,
        tokens: torch.Tensor,
        layers: Iterable[int],
        consume: Callable[[int, torch.Tensor], None],
        *,
        poll: Poll = no_poll,
    ) -> None:
        self.batches.append(tuple(tokens.shape))
        for layer in sorted(layers):
            poll()
            rows = np.stack([self.activations(row, layer) for row in tokens.numpy()])
            consume(layer, torch.from_numpy(rows).to(self.dtype))


class MemoryCorpus:
    """Windows given as lists of token ids; prompt n is in part `parts[n]`."""

    def __init__(self, windows: list[list[int]], parts: list[int]) -> None:
        self.windows = [np.array(window, np.int64) for window in windows]
        self._parts = np.array(parts, np.uint8)
        tokens = sum(map(len, windows))
        self.info = CorpusInfo("memory", "memory", "c" * 8, len(windows), len(windows), tokens, WINDOW)

    def lengths(self) -> np.ndarray:
        return np.array([len(window) for window in self.windows], np.int64)

    def parts(self) -> np.ndarray:
        return self._parts

    def window_tokens(self, prompt_id: int) -> np.ndarray:
        return self.windows[prompt_id]


def random_corpus(
    prompts: int, *, seed: int = 0, vocabulary: int = VOCABULARY, window: int = WINDOW
) -> MemoryCorpus:
    """Windows of 2 to `window` tokens; every fourth is a copy of an earlier one, so that ties are certain."""
    random = np.random.default_rng(seed)
    windows: list[list[int]] = []
    for number in range(prompts):
        if number % 4 == 3:
            windows.append(windows[int(random.integers(0, number))])
        else:
            length = int(random.integers(2, window + 1))
            windows.append(random.integers(3, vocabulary, length).tolist())
    return MemoryCorpus(windows, random.integers(0, 2, prompts).tolist())
