"""TransformerLens' bridge around a second tree: which models it opens, what it shares, what it hands out.

Everything is held to the plain module, read by torch's own hooks, in float64. transformers takes rotary
angles and softmax in float32 whatever the model is in, and fused and eager attention differ by that:
`SINGLE`; what is worked out from activations of one pass agrees to `DOUBLE`.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.model.bridge_helpers import (
    ACTIVATION,
    ATTENTION_OUT,
    DOUBLE,
    DOWN,
    SINGLE,
    SMALL,
    captured,
    close,
    from_config,
    inputs_and_outputs,
    opened,
    parts_of,
    shares_all_weights,
    tokens_of,
)
from tests.tiny_models import FURTHER, N_HEADS, RECIPES
from tui_lookups.errors import Cancelled
from tui_lookups.model.bridge import Bridge, NoBridge
from tui_lookups.model.norms import norms_in_double_precision

COPIED = "TransformerLens would copy"
REASONS = {
    "gpt_neox": COPIED,
    "bloom": COPIED,
    "codegen": COPIED,
    "falcon": f"{COPIED}|TransformerLens cannot wrap it",
    "mpt": COPIED,
    "biogpt": "does not know the family",
    "openai-gpt": "names no final norm",
}
"""The families that it does not open, by `model_type`; all others it does."""


@pytest.mark.parametrize("name", [*RECIPES, *FURTHER])
def test_opens_and_hands_out_what_the_plain_module_computes(plain: Callable[..., Any], name: str) -> None:
    model, tokens = plain(name), tokens_of(2, 20)
    fused = model.config._attn_implementation
    with torch.inference_mode():
        before = model(tokens).logits
    reason = REASONS.get(model.config.model_type)
    if reason is not None:
        with pytest.raises(NoBridge, match=reason):
            opened(model)
        bridge = None
    else:
        bridge = opened(model)
    with torch.inference_mode():
        assert torch.equal(model(tokens).logits, before)
    assert model.config._attn_implementation == fused
    assert not any(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules())
    assert "transformer_lens" not in {type(part).__module__.partition(".")[0] for part in model.modules()}
    if bridge is not None:
        shares_all_weights(bridge, model)
        fills_its_roles(bridge, model, tokens)


def fills_its_roles(bridge: Bridge, model: nn.Module, tokens: Tensor) -> None:
    roles = list(bridge.roles())
    norms = [role.removesuffix("scale") + "in" for role in roles if role.endswith("hook_scale")]
    kept = captured(bridge, tokens, *roles, *norms)
    assert set(kept) == {*roles, *norms}
    attention, down = (
        parts_of(model, ATTENTION_OUT, attention=True),
        parts_of(model, DOWN, attention=False),
    )
    activation = parts_of(model, ACTIVATION, attention=False)
    assert len(attention) == len(down) == len(activation) == len(bridge.layers)
    with torch.inference_mode():
        with inputs_and_outputs([*attention, *down]) as seen:
            model(tokens)
        for layer in bridge.layers:
            (z_flat, written), (post, mlp_out) = seen[2 * layer : 2 * layer + 2]
            assert z_flat.shape[-1] != post.shape[-1], "attention and MLP are told apart by their order"

            def of(role: str, layer: int = layer) -> Tensor:
                return kept[f"blocks.{layer}.{role}"]

            z, pattern, v = of("attn.hook_z"), of("attn.hook_pattern"), of("attn.hook_v")
            assert z.shape[:3] == (2, 20, N_HEADS)
            assert pattern.shape == (2, N_HEADS, 20, 20)
            values = v.repeat_interleave(N_HEADS // v.shape[2], 2)
            assert close(torch.einsum("bhqk,bkhd->bqhd", pattern, values), z, DOUBLE)
            assert close(z.flatten(2), z_flat.view(2, 20, -1), SINGLE)
            assert close(attention[layer](z.flatten(2)), written.view(2, 20, -1), SINGLE)
            act = activation[layer](of("mlp.hook_pre"))
            gated = f"blocks.{layer}.mlp.hook_pre_linear" in kept
            assert close(act * of("mlp.hook_pre_linear") if gated else act, of("mlp.hook_post"), DOUBLE)
            assert close(of("mlp.hook_post"), post.view(2, 20, -1), SINGLE)
            assert close(down[layer](of("mlp.hook_post")), of("mlp.hook_out"), DOUBLE)
            assert close(of("mlp.hook_out"), mlp_out.view(2, 20, -1), SINGLE)
    eps = epsilon(model.config)
    centred = not any("RMS" in type(part).__name__ for part in model.modules())
    for role in norms:
        x = kept[role].view(2, 20, -1)
        x = x - x.mean(-1, keepdim=True) if centred else x
        scale = (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()
        assert close(kept[role.removesuffix("in") + "scale"], scale, DOUBLE), role


def epsilon(config: Any) -> float:
    names = ("rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps", "norm_epsilon")
    return next((float(getattr(config, name)) for name in names if hasattr(config, name)), 1e-5)


@pytest.mark.parametrize(
    ("config_class", "more"),
    [("GlmConfig", {"head_dim": 8}), ("Glm4Config", {"head_dim": 8}), ("NemotronConfig", {})],
)
def test_norms_that_it_cannot_fold_are_no_obstacle(config_class: str, more: dict[str, Any]) -> None:
    sizes = {
        **SMALL,
        "vocab_size": 320,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "pad_token_id": None,
    }
    model, tokens = from_config(config_class, **sizes, **more).double(), tokens_of(2, 20)
    norms_in_double_precision(model)
    fills_its_roles(opened(model), model, tokens)


# --- a pass ---


@pytest.fixture
def llama(plain) -> Bridge:
    return opened(plain("llama"))


def no_hooks_left(bridge: Bridge) -> bool:
    points = bridge._points.values()
    return not any(point.has_hooks(including_permanent=False) for point in points)


def test_a_pass_ends_before_the_first_block_not_needed(llama: Bridge) -> None:
    """And `poll` is called before each that is."""
    begun: list[int | str] = []
    hooks = {f"blocks.{layer}.hook_in": lambda _, layer=layer: begun.append(layer) for layer in range(3)}
    final = {"ln_final.hook_scale": lambda _: begun.append("final")}
    blocks: list[list[int | str]] = [["poll", layer] for layer in range(3)]
    for stop_after in range(3):
        expected = [step for steps in blocks[: stop_after + 1] for step in steps]
        expected += ["final"] if stop_after == 2 else []
        begun.clear()
        llama.run(
            tokens_of(2, 7), {**hooks, **final}, stop_after=stop_after, poll=lambda: begun.append("poll")
        )
        assert begun == expected
        assert no_hooks_left(llama)


def test_a_pass_is_interrupted_between_blocks(llama: Bridge) -> None:
    begun: list[int] = []

    def poll() -> None:
        if len(begun) == 2:
            raise Cancelled

    hooks = {f"blocks.{layer}.mlp.hook_post": lambda _: begun.append(1) for layer in range(3)}
    with pytest.raises(Cancelled):
        llama.run(tokens_of(1, 5), hooks, stop_after=2, poll=poll)
    assert len(begun) == 2
    assert no_hooks_left(llama)


def test_nothing_of_a_pass_stays_in_memory(llama: Bridge) -> None:
    seen: list[weakref.ref[Tensor]] = []
    hooks = {name: lambda activation: seen.append(weakref.ref(activation)) for name in llama.roles()}
    for stop_after in (1, 2):
        llama.run(tokens_of(2, 30), hooks, stop_after=stop_after)
    gc.collect()
    assert len(seen) > 40
    assert not [tensor for tensor in seen if tensor() is not None]


def test_the_final_norm_is_the_last_one(plain) -> None:
    """NanoChat's embedding goes through the same module."""
    bridge, tokens = opened(plain("nanochat")), tokens_of(1, 9)
    kept = captured(bridge, tokens, "ln_final.hook_scale", "blocks.2.hook_out", "blocks.0.hook_resid_pre")
    rms = kept["blocks.2.hook_out"].pow(2).mean(-1, keepdim=True).sqrt()
    assert close(kept["ln_final.hook_scale"], rms, 1e-4)
    assert not close(kept["blocks.0.hook_resid_pre"].pow(2).mean(-1, keepdim=True).sqrt(), rms, 0.1)


def replacing(index: tuple[Any, ...]) -> Callable[[Tensor], Tensor]:
    def hook(activation: Tensor) -> Tensor:
        edited = activation.clone()
        edited[index] = 0.5
        return edited

    return hook


@pytest.mark.parametrize("name", ["gpt2", "gpt_neo", "opt", "gptj", "llama", "phi3", "gemma2"])
def test_what_a_hook_returns_takes_the_activations_place(plain, name: str) -> None:
    """A head's z, and a neuron, set on the way: as setting what the plain modules' projections are given."""
    model, tokens = plain(name), tokens_of(2, 9)
    bridge = opened(model)
    attention, down = (
        parts_of(model, ATTENTION_OUT, attention=True)[0],
        parts_of(model, DOWN, attention=False)[0],
    )
    unchanged = bridge.logits(tokens, {})
    width = captured(bridge, tokens, "blocks.0.attn.hook_z")["blocks.0.attn.hook_z"].shape[-1]
    edits: dict[str, tuple[nn.Module, tuple[Any, ...], tuple[Any, ...]]] = {
        "attn.hook_z": (attention, (..., 2, slice(None)), (..., slice(2 * width, 3 * width))),
        "mlp.hook_post": (down, (..., 5), (..., 5)),
    }
    for role, (module, place, flat) in edits.items():
        found = bridge.logits(tokens, {f"blocks.0.{role}": replacing(place)})
        handle = module.register_forward_pre_hook(lambda _, args, flat=flat: replacing(flat)(args[0]))
        with torch.inference_mode():
            expected = model(tokens).logits
        handle.remove()
        assert close(found, expected, SINGLE)
        assert not close(found, unchanged, 1e-3), "the edit is seen"
    assert torch.equal(bridge.logits(tokens, {}), unchanged), "and is gone after the pass"


# --- several devices ---


@pytest.mark.parametrize(
    ("name", "prefix", "blocks"), [("gpt2", "transformer", "h"), ("llama", "model", "layers")]
)
def test_a_model_under_accelerates_hooks_answers_the_same(plain, name: str, prefix: str, blocks: str) -> None:
    """Each block's hook moves what it is given: kept by the copy, here with nothing to move."""
    from accelerate import dispatch_model

    model, tokens = plain(name), tokens_of(2, 9)
    names = ["attn.hook_z", "attn.hook_pattern", "mlp.hook_post"]
    roles = [f"blocks.{layer}.{role}" for layer in range(3) for role in names]
    expected = captured(opened(model), tokens, *roles)
    base = getattr(model, prefix)
    places = [f"{prefix}.{part}" for part, _ in base.named_children() if part != blocks]
    places += [f"{prefix}.{blocks}.{layer}" for layer in range(3)] + ["lm_head"]
    dispatch_model(model, dict.fromkeys(places, "cpu"), main_device="cpu", force_hooks=True)
    bridge = opened(model)
    assert [part for part in model.modules() if hasattr(part, "_hf_hook")]
    assert not [part for part in bridge.lens.original_model.modules() if hasattr(part, "_hf_hook")]
    shares_all_weights(bridge, model)
    found = captured(bridge, tokens, *roles)
    assert all(torch.equal(found[role], expected[role]) for role in roles)


# --- norms in double precision ---


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma", "olmo2"])
def test_the_copy_keeps_norms_in_double_precision(plain, name: str) -> None:
    """transformers' RMS norms compute in float32; what takes their place in float64 stands in the copy."""
    bridge, tokens = opened(plain(name)), tokens_of(1, 9)
    norm = "ln2_post" if name == "olmo2" else "ln2"
    part = f"blocks.1.{norm}"
    kept = captured(bridge, tokens, f"{part}.hook_in", f"{part}.hook_scale", f"{part}.hook_out")
    module = getattr(bridge.lens.blocks[1], norm)
    weight = module.weight + 1 if name == "gemma" else module.weight
    expected = kept[f"{part}.hook_in"] / kept[f"{part}.hook_scale"] * weight
    assert close(kept[f"{part}.hook_out"], expected.detach(), DOUBLE)
