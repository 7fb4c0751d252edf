"""What neurons write and tokens read by the files' layouts, against the modules of transformers.

The final norm, its scale held, is linear: its derivative along what is written, where that is at a right
angle to what is there, times the scale. No name and no norm formula of this project enters.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.model.test_file_weights import opened
from tests.tiny_models import N_CTX, N_HEADS, RECIPES, VOCABULARY, Recipe, save_recipe
from tui_lookups.model.families import FAMILIES, Family

_LLAMA, _GPTJ = RECIPES["llama"].arguments, RECIPES["gptj"].arguments
_FALCON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": N_HEADS,
    "max_position_embeddings": N_CTX,
}
_BIOGPT = {**_FALCON, "intermediate_size": 40}
_GLM = {**_LLAMA, "head_dim": 4, "pad_token_id": None, "attention_bias": True}

CASES: dict[str, tuple[Recipe, str, str, str]] = {
    "glm": (Recipe("GlmConfig", _GLM), "model.norm", "model.layers.1.mlp.down_proj", ""),
    "glm4": (
        Recipe("Glm4Config", _GLM),
        "model.norm",
        "model.layers.1.mlp.down_proj",
        "model.layers.1.post_mlp_layernorm",
    ),
    "nemotron": (Recipe("NemotronConfig", _LLAMA), "model.norm", "model.layers.1.mlp.down_proj", ""),
    "codegen": (
        Recipe("CodeGenConfig", {**_GPTJ, "n_ctx": N_CTX}),
        "transformer.ln_f",
        "transformer.h.1.mlp.fc_out",
        "",
    ),
    "biogpt": (Recipe("BioGptConfig", _BIOGPT), "biogpt.layer_norm", "biogpt.layers.1.fc2", ""),
    "falcon": (
        Recipe("FalconConfig", {**_FALCON, "new_decoder_architecture": True, "num_kv_heads": 2}),
        "transformer.ln_f",
        "transformer.h.1.mlp.dense_4h_to_h",
        "",
    ),
}
"""Recipe, final norm, W_out of layer 1 and the norm after the MLP there."""

ROWS: dict[str, Family] = {
    "glm": Family("GLM", True, True, "RMSNorm"),
    "glm4": Family("GLM 4", True, True, "RMSNorm", post_norms=True),
    "nemotron": Family("Nemotron", False, True, "LayerNorm"),
    "codegen": Family("CodeGen", False, False, "LayerNorm"),
    "biogpt": Family("BioGPT", False, True, "LayerNorm"),
}


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
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_torch_thread: None
) -> None:
    from transformers import AutoModelForCausalLM

    recipe, final_norm, W_out, post = CASES[name]
    monkeypatch.setitem(FAMILIES, name, ROWS.get(name, FAMILIES.get(name)))
    save_recipe(recipe, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float64).eval()
    modules = dict(model.named_modules())
    written = modules[W_out].weight[:, 5].detach()
    if post:
        written = held(modules[post], False, written)
    change = held(modules[final_norm], FAMILIES[name].norm == "LayerNorm", written)
    logits = model.get_output_embeddings().weight.detach() @ change
    files = opened(tmp_path, "float64")
    found = files.congruences(files.write_block(1, slice(5, 6)))[0]
    error = np.abs(found - (logits - logits.mean()).numpy()).max()
    assert error <= 1e-5 * np.abs(found).max()  # some of the norms take their scale in single precision
