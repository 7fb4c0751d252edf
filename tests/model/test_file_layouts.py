"""What neurons write and tokens read by the files' layouts, against the modules of transformers.

The final norm, its scale held, is linear: its derivative along what is written, where that is at a right
angle to what is there, times the scale. No name and no norm formula of this project enters.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.model.test_file_weights import opened
from tui_lookups.model.families import FAMILIES

CASES: dict[str, tuple[str, str, str]] = {
    "glm": ("model.norm", "model.layers.1.mlp.down_proj", ""),
    "glm4": ("model.norm", "model.layers.1.mlp.down_proj", "model.layers.1.post_mlp_layernorm"),
    "nemotron": ("model.norm", "model.layers.1.mlp.down_proj", ""),
    "codegen": ("transformer.ln_f", "transformer.h.1.mlp.fc_out", ""),
    "biogpt": ("biogpt.layer_norm", "biogpt.layers.1.fc2", ""),
    "falcon_new": ("transformer.ln_f", "transformer.h.1.mlp.dense_4h_to_h", ""),
}
"""By tiny model: the final norm, W_out of layer 1 and the norm after the MLP there."""


@torch.no_grad()
def held(norm: torch.nn.Module, is_centred: bool, direction: Tensor) -> Tensor:
    """What a norm makes of a direction while its scale is held, times that scale: [d_model]."""
    direction = direction - direction.mean() if is_centred else direction
    there = torch.randn(len(direction), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    there -= there.mean()
    there -= direction * (there @ direction) / (direction @ direction)
    there *= 100  # what a norm adds to the variance is nothing beside it
    _, change = torch.func.jvp(norm, (there,), (direction,))
    return change * there.square().mean().sqrt()


@pytest.mark.parametrize("name", CASES)
def test_congruence_is_the_change_of_the_logits(
    name: str, tiny_folder: Callable[[str], Path], one_torch_thread: None
) -> None:
    from transformers import AutoModelForCausalLM

    final_norm, W_out, post = CASES[name]
    model = AutoModelForCausalLM.from_pretrained(tiny_folder(name), dtype=torch.float64).eval()
    modules = dict(model.named_modules())
    written = modules[W_out].weight[:, 5].detach()
    if post:
        written = held(modules[post], False, written)
    change = held(modules[final_norm], FAMILIES[model.config.model_type].norm == "LayerNorm", written)
    logits = model.get_output_embeddings().weight.detach() @ change
    files = opened(tiny_folder(name), "float64")
    found = files.congruences(files.write_block(1, slice(5, 6)))[0]
    error = np.abs(found - (logits - logits.mean()).numpy()).max()
    assert error <= 1e-5 * np.abs(found).max()  # some of the norms take their scale in single precision
