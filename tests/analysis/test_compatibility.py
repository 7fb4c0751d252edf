"""Every family that TransformerLens folds, at every layer, against its compatibility mode.

See method.md, sections 1, 2, 4 and 6. The reference is folded in float64; figures are of a model in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.analysis.neurons import decompose_neurons
from tests.reference_compatibility import attribution, folded
from tests.tiny_models import FURTHER, RECIPES
from tui_lookups.ids import HeadId

NOT_FOLDED = {
    "codegen": "TransformerLens lays its values out otherwise",
    "falcon_alibi": "TransformerLens computes other log-probabilities",
    "falcon_new": "TransformerLens computes other log-probabilities",
    "glm": "its norms stay as they were",
    "glm4": "its norms stay as they were",
    "biogpt": "TransformerLens does not know it",
    "nemotron": "its norms stay as they were",
}
"""Held to the Hugging Face model and to closing alone (tests/analysis/test_further_families.py)."""

FOLDED = [name for name in (*RECIPES, *FURTHER) if name not in NOT_FOLDED]
ROW = torch.randint(3, 290, (30,), generator=torch.Generator().manual_seed(3)).tolist()
POSITION = 26
"""Beyond any window of these models."""


@pytest.mark.parametrize("name", FOLDED)
def test_congruences(tiny_model, tiny_folder: Callable[[str], Path], name: str) -> None:
    """To 1e-6 of the largest of a layer: every neuron with every token."""
    model, reference = tiny_model(name), folded(tiny_folder(name))
    for layer in range(model.info.n_layers):
        expected = reference.congruence(layer).numpy()
        found = model.congruences(model.write_block(layer, slice(0, model.info.d_mlp)))
        assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize("name", FOLDED)
def test_attribution_and_sources(tiny_model, tiny_folder: Callable[[str], Path], name: str) -> None:
    """Components to 3e-6 of the sum of their magnitudes; in a gated MLP, where g and u share a product, of
    what the product would be without cancelling."""
    model, folder = tiny_model(name), tiny_folder(name)
    for layer in range(model.info.n_layers):
        last = model.info.last_head_layer(layer)
        indices = (1, model.info.d_mlp // 2, model.info.d_mlp - 2)
        neurons = [attribution(folder, (layer, index), ROW, POSITION) for index in indices]
        for source in [None] if last < 0 else [HeadId(0, 2), HeadId(last, 1)]:
            decomposed = decompose_neurons(model, layer, indices, [ROW], [POSITION], source_head=source)
            for found, expected in zip(decomposed, neurons, strict=True):
                bound = 3e-6 * max(expected.scale, 1e-3)
                assert found.heads.shape == expected.heads.shape
                for part in ("heads", "mlps", "embedding", "attention_biases", "bias", "target"):
                    theirs = getattr(expected, part)
                    assert np.abs(np.subtract(getattr(found, part), theirs)).max(initial=0) <= bound, part
                if model.info.gated:
                    assert np.abs(found.gate - expected.gate).max(initial=0) <= bound
                    assert np.abs(found.up - expected.up).max(initial=0) <= bound
                if source is not None:
                    theirs = expected.sources[source.layer, source.index]
                    assert np.abs(found.sources - theirs).max() <= bound
