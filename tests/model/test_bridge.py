"""TransformerLens' bridge around a second tree: which models it opens, what it shares, what it hands out.

Everything is held to the plain module, read by torch's own hooks, in float64. transformers takes rotary
angles and softmax in float32 whatever the model is in, and fused and eager attention differ by that:
`SINGLE`; what is worked out from activations of one pass agrees to `DOUBLE`.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from tests.tiny_models import FURTHER, N_HEADS, RECIPES, Recipe, randomise, save_recipe
from tui_lookups.errors import Cancelled
from tui_lookups.model import bridge as bridge_module
from tui_lookups.model.bridge import Bridge, NoBridge, open_bridge
from tui_lookups.model.norms import norms_in_double_precision

SINGLE, DOUBLE = 1e-5, 1e-11

COPIED = "TransformerLens would copy"
REASONS = {
    "gpt_neox_parallel": COPIED,
    "gpt_neox_sequential": COPIED,
    "biogpt": "TransformerLens does not know the family biogpt",
    "bloom": COPIED,
    "codegen": COPIED,
    "falcon": COPIED,
    "falcon_alibi": COPIED,
    "falcon_new": "TransformerLens cannot wrap it",
    "mpt": COPIED,
}
"""The recipes that it does not open; all others it does."""

CENTRED = {
    "gpt2", "gpt_neo", "gptj", "opt", "phi", "olmo", "cohere", "cohere2", "gpt_bigcode", "jais2", "nemotron",
    "stablelm", "stablelm_parallel", "starcoder2",
}  # fmt: skip
"""Those with LayerNorm rather than RMSNorm."""

ATTENTION_OUT = ("o_proj", "out_proj", "c_proj", "dense")
DOWN = ("down_proj", "c_proj", "fc_out", "fc2")
ACTIVATION = ("act", "act_fn", "activation_fn")


@pytest.fixture
def plain(tiny_folder: Callable[[str], Path]) -> Callable[..., Any]:
    """plain(name, dtype="float64"): transformers' own module of a tiny model, as the product loads it."""

    def load(name: str, dtype: str = "float64") -> Any:
        return loaded(tiny_folder(name), dtype)

    return load


def loaded(folder: Path, dtype: str = "float64") -> Any:
    model = transformers.AutoModelForCausalLM.from_pretrained(
        str(folder), dtype=getattr(torch, dtype), local_files_only=True
    ).eval()
    if dtype == "float64":
        norms_in_double_precision(model)
    return model


def opened(model: Any) -> Bridge:
    return open_bridge(model, family=str(model.config.model_type), name="a-model", bos_id=None)


def tokens_of(rows: int, length: int) -> Tensor:
    return torch.randint(3, 290, (rows, length), generator=torch.Generator().manual_seed(1))


def captured(bridge: Bridge, tokens: Tensor, *names: str) -> dict[str, Tensor]:
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[Tensor], None]:
        def hook(activation: Tensor) -> None:
            assert name not in kept, "handed out twice in a pass"
            kept[name] = activation.clone()

        return hook

    bridge.run(tokens, {name: keep(name) for name in names}, stop_after=len(bridge.layers) - 1)
    return kept


def parts_of(model: nn.Module, names: tuple[str, ...], *, attention: bool) -> list[nn.Module]:
    """Each layer's module of one of these names, inside or outside of the attention."""
    found = []
    for path, module in model.named_modules(remove_duplicate=False):
        *parents, own = path.split(".")
        inside = any("attn" in parent or "attention" in parent for parent in parents)
        if own in names and inside == attention and any(parent.isdigit() for parent in parents):
            found.append(module)
    return found


@contextmanager
def inputs_and_outputs(modules: list[nn.Module]) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Filled with what each module reads and writes in the passes run within."""
    seen: list[tuple[Tensor, Tensor]] = []
    handles = [
        module.register_forward_hook(lambda _, args, output: seen.append((args[0].clone(), output.clone())))
        for module in modules
    ]
    yield seen
    for handle in handles:
        handle.remove()


def storages(modules: Iterator[nn.Module]) -> dict[int, int]:
    tensors = [
        values
        for module in modules
        for values in (*module._parameters.values(), *module._buffers.values())
        if values is not None
    ]
    return {values.untyped_storage().data_ptr(): values.untyped_storage().nbytes() for values in tensors}


def close(found: Tensor, expected: Tensor, bound: float) -> bool:
    return bool((found - expected).abs().max() <= bound * expected.abs().max())


@pytest.mark.parametrize("name", [*RECIPES, *FURTHER])
def test_opens_and_hands_out_what_the_plain_module_computes(plain: Callable[..., Any], name: str) -> None:
    model, tokens = plain(name), tokens_of(2, 20)
    fused = model.config._attn_implementation
    with torch.inference_mode():
        before = model(tokens).logits
    if name in REASONS:
        with pytest.raises(NoBridge, match=REASONS[name]):
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
        fills_its_roles(bridge, model, tokens, name)


def shares_all_weights(bridge: Bridge, model: nn.Module) -> None:
    own, its = storages(model.modules()), storages(bridge.lens.modules())
    assert len(its) > 10
    rest = sum(size for place, size in its.items() if place not in own)
    assert rest <= 320 * 8  # a bias of zeros that TransformerLens gives to the unembedding


def fills_its_roles(bridge: Bridge, model: nn.Module, tokens: Tensor, name: str) -> None:
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
            if name in {"cohere", "cohere2"} | {"gptj", "phi"}:
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
    for role in norms:
        x = kept[role].view(2, 20, -1)
        x = x - x.mean(-1, keepdim=True) if name in CENTRED else x
        scale = (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()
        assert close(kept[role.removesuffix("in") + "scale"], scale, DOUBLE), role


def epsilon(config: Any) -> float:
    names = ("rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps", "norm_epsilon")
    return next((float(getattr(config, name)) for name in names if hasattr(config, name)), 1e-5)


# --- what is not used, and why ---


def from_config(config_class: str, **arguments: Any) -> Any:
    config = getattr(transformers, config_class)(**arguments)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    randomise(model, 0)
    return model


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


def test_running_out_of_memory_is_no_reason(plain, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*_: Any) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(bridge_module, "_wrap", out_of_memory)
    with pytest.raises(torch.OutOfMemoryError):
        opened(plain("llama", "float32"))


SMALL = {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 4}


@pytest.mark.parametrize(
    ("config_class", "more", "reason"),
    [
        ("BioGptConfig", {"num_hidden_layers": 2}, "does not know the family biogpt"),
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
    """Each block's hook moves what it is given; the second tree has hooks of its own for that."""
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
