"""The training of a small dictionary: it comes to explain what an MLP writes, and can be opened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from tools.transcoders.train import Plan, explained, trained, write
from tui_lookups.model.dictionaries.dictionary import Activation
from tui_lookups.model.dictionaries.folders import find_dictionary, open_dictionary
from tui_lookups.storage.files import file_digest

PLAN = Plan(units=24, active=4, steps=150, batch=64, rate=1e-2)


def mlp() -> tuple[torch.Tensor, torch.Tensor]:
    """What an MLP of few sparse neurons, of another scale than one, is given and gives."""
    generator = torch.Generator().manual_seed(1)
    given = 30 * torch.randn(400, 8, generator=generator)
    W_in, W_out = (torch.randn(shape, generator=generator) for shape in ((8, 12), (12, 8)))
    return given, 0.1 * (given @ W_in - 60).relu() @ W_out


def test_training_explains_what_the_mlp_writes(tmp_path: Path) -> None:
    given, written = mlp()
    before = trained(given, written, replace(PLAN, steps=1))
    after = trained(given, written, PLAN)
    assert explained(given, written, after, PLAN.active) > 0.6
    assert explained(given, written, before, PLAN.active) < 0.3
    for layer in range(2):
        write(tmp_path / "units", layer, after, PLAN.active)
    found = open_dictionary(find_dictionary(str(tmp_path / "units"), file_digest), "float32")
    assert found.activation == Activation("topk", PLAN.active)
    assert (found.d_sae, len(found.layers)) == (PLAN.units, 2)
    assert torch.equal(torch.from_numpy(found.layers[1].decoder()), after["W_dec"])
