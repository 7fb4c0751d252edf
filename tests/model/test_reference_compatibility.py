"""The reference that other tests hold every family to is held to one written from published equations.

See method.md, sections 1, 2 and 4.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from tests.reference_compatibility import attribution, folded
from tests.reference_raw import RawGPT2, RawLlama

ROW = torch.randint(3, 290, (18,), generator=torch.Generator().manual_seed(3)).tolist()
POSITION = 15


def same(found: np.ndarray | float, expected: np.ndarray | float, scale: float) -> bool:
    return float(np.max(np.abs(np.subtract(found, expected)), initial=0.0)) <= 1e-10 * scale


def test_gpt2_as_published(tiny_folder: Callable[[str], Path]) -> None:
    folder = tiny_folder("gpt2")
    raw, model = RawGPT2(folder), folded(folder)
    for layer, index in ((0, 3), (1, 17), (2, 39)):
        assert same(model.congruence(layer).numpy(), raw.congruence(layer), 1.0)
        found, expected = (
            attribution(folder, (layer, index), ROW, POSITION),
            raw.parts(ROW, POSITION, layer, index),
        )
        for part in ("heads", "mlps", "sources", "embedding", "attention_biases", "bias"):
            assert same(getattr(found, part), getattr(expected, part), found.scale), part
        assert same(found.target, expected.pre, found.scale)
        assert same(found.sum, expected.pre, found.scale)


def test_llama_as_published(tiny_folder: Callable[[str], Path]) -> None:
    """Rotary angles and softmax are in float32 in the model itself: parts agree to that."""
    folder = tiny_folder("llama")
    raw, model = RawLlama(folder), folded(folder)
    for layer, index in ((0, 3), (2, 27)):
        assert same(model.congruence(layer).numpy(), raw.congruence(layer), 1.0)
        found = attribution(folder, (layer, index), ROW, POSITION)
        g, u = raw.parts(ROW, POSITION, layer, index)
        half = 1 / (1 + np.exp(-g.pre)) / 2  # silu(g) / g, halved
        for part in ("heads", "mlps", "sources", "embedding"):
            expected = half * (getattr(g, part) * u.pre + g.pre * getattr(u, part))
            assert same(getattr(found, part), expected, 1e5 * found.scale), part
        assert same(found.gate, half * g.heads * u.pre, 1e5 * found.scale)
        assert same(found.target, 2 * half * g.pre * u.pre, 1e5 * found.scale)
        assert same(found.sum, found.target, found.scale)
