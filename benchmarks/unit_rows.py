"""The scan of a dictionary's units against the forward pass and the product that units cannot do without.

A dictionary of random weights is written once, in SAELens' layout. The other side has every layer's encoder
in memory; the scan reads each layer's from its file in every batch, and keeps none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from benchmarks.measuring import Run, interleave, timed
from benchmarks.registry import Bar, Figure, row
from benchmarks.scan_rows import scanning, speed_figure, wait_for
from benchmarks.workbench import Bench
from tui_lookups.model.dictionaries.folders import find_dictionary
from tui_lookups.model.loading import load_model
from tui_lookups.storage.files import file_digest

WIDTH = 4
"""Units for each neuron."""


def write_random(folder: Path, n_layers: int, d_model: int, d_sae: int) -> None:
    """Transcoders with ReLU and random weights."""
    generator = torch.Generator().manual_seed(0)
    for layer in range(n_layers):
        own = folder / f"layer_{layer}"
        own.mkdir(parents=True, exist_ok=True)
        points = {"hook_name": f"blocks.{layer}.mlp.hook_in", "hook_name_out": f"blocks.{layer}.mlp.hook_out"}
        (own / "cfg.json").write_text(json.dumps({"architecture": "transcoder", **points}), encoding="utf-8")
        tensors = {
            "W_enc": torch.randn(d_model, d_sae, generator=generator) * d_model**-0.5,
            "b_enc": torch.zeros(d_sae),
            "W_dec": torch.randn(d_sae, d_model, generator=generator) * d_sae**-0.5,
            "b_dec": torch.zeros(d_model),
        }
        save_file(tensors, own / "sae_weights.safetensors")


def forward_and_products(bench: Bench, encoders: Sequence[Tensor], batches: Sequence[Tensor]) -> Run:
    """The forward pass without unembedding, and what each MLP is given times its layer's encoder."""

    def multiply(encoder: Tensor, _: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        arguments[0] @ encoder

    @torch.inference_mode()
    def work() -> None:
        blocks = zip(bench.model.wiring.blocks, encoders, strict=True)
        handles = [
            block.up.module.register_forward_pre_hook(partial(multiply, encoder)) for block, encoder in blocks
        ]
        try:
            for tokens in batches:
                bench.model._hf_model.base_model(tokens, use_cache=False)
        finally:
            for handle in handles:
                handle.remove()
        wait_for(bench.model.device)

    return timed(work)


@row("scan_units")
def scan_of_units(bench: Bench) -> list[Figure]:
    """The scan of all units of a dictionary four times as wide as the MLP."""
    info, folder = bench.model.info, bench.cache_dir / "units"
    write_random(folder, info.n_layers, info.d_model, WIDTH * info.d_mlp)
    local = bench.local.with_units(find_dictionary(str(folder), file_digest))
    with_units = replace(bench)
    vars(with_units)["model"] = load_model(
        local.folder,
        name=local.name,
        source=local.source,
        fingerprint=local.fingerprint,
        device=bench.device,
        units=local.units,
    )
    encoders = [
        load_file(folder / f"layer_{layer}" / "sae_weights.safetensors")["W_enc"].to(bench.model.device)
        for layer in range(info.n_layers)
    ]
    batches = list(bench.token_batches())
    ours = scanning(with_units)
    pairs = interleave(ours, forward_and_products(bench, encoders, batches), bench.pairs)
    name = "forward without unembedding, and the encoders' products"
    note = (
        f"{info.n_layers} layers of {WIDTH * info.d_mlp:,} units, read anew in each of {len(batches)} batches"
    )
    return [speed_figure("scan, all units", name, pairs, bench.tokens, Bar("at least", 1 / 1.3), note)]
