"""Models that TransformerLens' bridge is not used for, and why: eager attention takes its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.model.bridge_helpers import SMALL, from_config, loaded, opened
from tests.tiny_models import RECIPES, Recipe, save_recipe
from tui_lookups.model import bridge as bridge_module
from tui_lookups.model.bridge import Bridge, NoBridge


def another(like: Recipe, folder: Path, config_class: str, **changed: Any) -> Any:
    """A tiny model like one of the recipes, of another configuration."""
    save_recipe(replace(like, config_class=config_class, arguments={**like.arguments, **changed}), folder)
    return loaded(folder, "float32")


def test_a_bridge_that_computes_something_else_is_not_used(tmp_path: Path) -> None:
    """TransformerLens does not rotate a single dimension as transformers does; the sums would still close."""
    rotating = {"config_class": "StableLmConfig", "num_key_value_heads": 4}
    opened(another(RECIPES["llama"], tmp_path / "two", partial_rotary_factor=0.5, **rotating))
    with pytest.raises(NoBridge, match=r"log-probabilities differ from the plain module's by \d\.\d"):
        opened(another(RECIPES["llama"], tmp_path / "one", partial_rotary_factor=0.25, **rotating))


def test_what_the_library_stumbles_over_is_a_sentence(tmp_path: Path) -> None:
    """TransformerLens asserts that GPT-NeoX has attention biases."""
    model = another(RECIPES["gpt_neox_parallel"], tmp_path, "GPTNeoXConfig", attention_bias=False)
    with pytest.raises(NoBridge, match=r"TransformerLens cannot wrap it \(AssertionError") as caught:
        opened(model)
    assert isinstance(caught.value.__cause__, AssertionError)


def test_memory_that_runs_out_for_copies_is_a_reason(plain, monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers' eager attention needs none."""

    def out_of_memory(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    monkeypatch.setattr(bridge_module, "_wrap", out_of_memory)
    with pytest.raises(NoBridge, match=r"\(OutOfMemoryError: CUDA out of memory"):
        opened(plain("llama", "float32"))


@pytest.mark.parametrize(
    ("config_class", "more", "reason"),
    [
        ("HeliumConfig", {"num_hidden_layers": 2, "head_dim": 4}, "does not know the family helium"),
        (
            "Lfm2Config",
            {"num_hidden_layers": 2, "num_key_value_heads": 2, "layer_types": ["conv", "full_attention"]},
            "blocks differ from each other",
        ),
        (
            "MixtralConfig",
            {"num_hidden_layers": 2, "num_key_value_heads": 2, "num_local_experts": 4, "head_dim": 4},
            "not attention and an MLP with a row of weights for each neuron",
        ),
    ],
)
def test_other_kinds_of_blocks_are_not_taken_for_attention_and_mlp(
    config_class: str, more: dict[str, Any], reason: str
) -> None:
    with pytest.raises(NoBridge, match=reason):
        opened(from_config(config_class, **SMALL, **more))


def scores_times(lens: Any, factor: float) -> None:
    for block in list(lens.blocks)[1:2]:
        block.attn.hook_attn_scores.add_perma_hook(lambda scores, hook: scores * factor)


def no_mask(lens: Any) -> None:
    def uniform(pattern: Tensor, hook: Any) -> Tensor:
        return torch.full_like(pattern, 1 / pattern.shape[-1])

    list(lens.blocks)[-1].attn.hook_pattern.add_perma_hook(uniform)


def mlp_times(lens: Any, factor: float) -> None:
    """More and more over what is written: a norm after the MLP would take one factor off."""
    for block in list(lens.blocks)[1:2]:
        block.mlp.out.hook_out.add_perma_hook(
            lambda written, hook: written * torch.linspace(1, factor, written.shape[-1], dtype=written.dtype)
        )


WRONG: dict[str, Callable[[Any], None]] = {
    "a scale in one layer": lambda lens: scores_times(lens, 1.5),
    "no mask in one layer": no_mask,
    "an MLP too large": lambda lens: mlp_times(lens, 1.5),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", ["gpt2", "llama", "olmo", "opt", "gemma3_text"])
def test_rounding_is_let_pass_and_a_wrong_mask_or_scale_is_not(
    plain, name: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, wrap = plain(name, dtype), bridge_module._wrap
    opened(model)
    for what, spoil in WRONG.items():
        if name == "opt" and what != "an MLP too large":
            continue  # what its attention hands out is only to be looked at

        def spoiled(*given: Any, spoil: Callable[[Any], None] = spoil) -> Any:
            lens = wrap(*given)
            spoil(lens)
            return lens

        monkeypatch.setattr(bridge_module, "_wrap", spoiled)
        with pytest.raises(NoBridge, match="differ from the plain module's by"):
            opened(model)


@pytest.mark.parametrize("name", ["gpt2", "llama", "olmo"])
def test_roles_filled_with_something_else_are_noticed(
    plain, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model would compute the same: only what is handed out is wrong."""
    model, roles = plain(name), Bridge.roles

    def swapped(bridge: Bridge) -> dict[str, int]:
        bridge._points["blocks.1.attn.hook_v"] = bridge._points["blocks.1.attn.v.hook_in"]
        return roles(bridge)

    def silent(bridge: Bridge) -> dict[str, int]:
        bridge._points["blocks.2.mlp.hook_pre"] = bridge._points["blocks.2.attn.hook_result"]  # never called
        return roles(bridge)

    monkeypatch.setattr(Bridge, "roles", silent)
    with pytest.raises(NoBridge, match=r"does not hand out blocks\.2\.mlp\.hook_pre"):
        opened(model)
    monkeypatch.setattr(Bridge, "roles", swapped)
    with pytest.raises(NoBridge, match=r"blocks\.1\.attn\.hook_v|of layer 1 do not give"):
        opened(model)
