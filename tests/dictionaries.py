"""Dictionaries of transcoders on disk, in each layout; random ones, and those made of a model's own MLPs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

Weights = dict[str, torch.Tensor]
"""W_enc [d_model, d_sae], b_enc, W_dec [d_sae, d_model], b_dec; threshold [d_sae], W_skip [to, from]."""


def random_weights(
    d_model: int, d_sae: int, *, seed: int = 0, threshold: bool = False, skip: bool = False
) -> Weights:
    """Weights of order 1, none of them neutral; about half of the units fire on an input of order 1."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int, scale: float = 1.0) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * scale

    found = {
        "W_enc": draw(d_model, d_sae, scale=d_model**-0.5),
        "b_enc": draw(d_sae, scale=0.5),
        "W_dec": draw(d_sae, d_model, scale=d_sae**-0.5),
        "b_dec": draw(d_model),
    }
    if threshold:
        found["threshold"] = draw(d_sae).abs() * 0.3
    if skip:
        found["W_skip"] = draw(d_model, d_model, scale=d_model**-0.5)
    return found


def of_own_mlps(hf_model: Any) -> list[Weights]:
    """The MLPs of a model with plain ones, as transcoders."""
    from tui_lookups.model.wiring import read_wiring

    found = []
    for block in read_wiring(hf_model).blocks:
        tensors = {"W_enc": block.up.matrix, "b_enc": block.up.bias}
        tensors |= {"W_dec": block.down.matrix, "b_dec": block.down.bias}
        found.append({name: values.detach().float().clone() for name, values in tensors.items()})
    return found


def write_saelens(
    folder: Path,
    layers: Sequence[Weights],
    *,
    architecture: str = "transcoder",
    reads: str = "mlp.hook_in",
    writes: str = "mlp.hook_out",
    **more: Any,
) -> Path:
    for layer, weights in enumerate(layers):
        own = folder / f"layer_{layer}"
        own.mkdir(parents=True)
        config = {
            "architecture": architecture,
            "d_in": weights["W_enc"].shape[0],
            "d_sae": weights["W_enc"].shape[1],
            "d_out": weights["W_dec"].shape[1],
            "dtype": "float32",
            "normalize_activations": "none",
            "apply_b_dec_to_input": False,
            "metadata": {
                "hook_name": f"blocks.{layer}.{reads}",
                "hook_name_out": f"blocks.{layer}.{writes}",
            },
            **more,
        }
        (own / "cfg.json").write_text(json.dumps(config))
        save_file(
            {name: values.contiguous() for name, values in weights.items()}, own / "sae_weights.safetensors"
        )
    return folder


def write_circuit_tracer(
    folder: Path,
    layers: Sequence[Weights],
    *,
    reads: str = "mlp.hook_in",
    writes: str = "mlp.hook_out",
    more: str = "",
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(
        f'# A comment\nmodel_name: "tiny"\nmodel_kind: transcoder_set\nfeature_input_hook: "{reads}"\n'
        f"feature_output_hook: '{writes}'  # another\nscan:\n  - one\n{more}"
    )
    for layer, weights in enumerate(layers):
        renamed = {
            "activation_function.threshold" if name == "threshold" else name: values
            for name, values in weights.items()
        }
        renamed["W_enc"] = weights["W_enc"].T
        save_file(
            {name: values.contiguous() for name, values in renamed.items()},
            folder / f"layer_{layer}.safetensors",
        )
    return folder


def write_gemma_scope(folder: Path, layers: Sequence[Weights]) -> Path:
    for layer, weights in enumerate(layers):
        own = folder / f"layer_{layer}" / "width_16" / "average_l0_8"
        own.mkdir(parents=True)
        np.savez(own / "params.npz", **{name: values.numpy() for name, values in weights.items()})
    return folder
