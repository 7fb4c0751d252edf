"""Nothing in a .gguf file is dropped, nothing it lacks is filled in: applied, or refused in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.model.gguf.conftest import Opened, require_equal
from tests.model.gguf.files import HEAD_DIM, HIDDEN, MLP, Content, tiny
from tui_lookups.errors import LookupsError, UnsupportedModelError
from tui_lookups.model.gguf import inventory
from tui_lookups.model.gguf.families import GGUF_FAMILIES
from tui_lookups.model.sources import find_model
from tui_lookups.storage.files import file_digest

Change = Callable[[Content], Any]


def of_a_layer(name: str, *shape: int) -> Change:
    return lambda content: content.tensors.update({f"blk.1.{name}": np.ones(shape, np.float32)})


def whole(name: str, *shape: int) -> Change:
    return lambda content: content.tensors.update({name: np.ones(shape, np.float32)})


def key(name: str, value: Any) -> Change:
    return lambda content: content.keys.update({f"{content.architecture}.{name}": value})


def any_key(name: str, value: Any) -> Change:
    return lambda content: content.keys.update({name: value})


def no_tensor(name: str) -> Change:
    return lambda content: content.tensors.pop(name)


def no_key(name: str) -> Change:
    return lambda content: content.keys.pop(f"{content.architecture}.{name}")


def renamed(before: str, after: str) -> Change:
    return lambda content: content.tensors.update({after: content.tensors.pop(before)})


REFUSED: dict[str, tuple[str, Change, str]] = {
    "experts": ("llama", key("expert_count", 4), "llama.expert_count says that it is a mixture of experts"),
    "experts' tensors": (
        "llama",
        of_a_layer("ffn_gate_exps.weight", 2, MLP, HIDDEN),
        "blk.1.ffn_gate_exps.weight has no place",
    ),
    "a tensor dropped": ("llama", no_tensor("blk.1.ffn_up.weight"), "blk.1.ffn_up.weight is missing"),
    "no embedding": ("llama", no_tensor("token_embd.weight"), "token_embd.weight is missing"),
    "no norm at the end": ("gemma3", no_tensor("output_norm.weight"), "output_norm.weight is missing"),
    "a bias dropped": ("qwen2", no_tensor("blk.2.attn_k.bias"), "blk.2.attn_k.bias is missing"),
    "a bias in one layer": ("llama", of_a_layer("attn_q.bias", 4 * HEAD_DIM), "blk.0.attn_q.bias is missing"),
    "a bias without a place": ("qwen2", of_a_layer("attn_output.bias", HIDDEN), "bias has no place"),
    "norms on queries": ("llama", of_a_layer("attn_q_norm.weight", HEAD_DIM), "q_norm.weight has no place"),
    "a layer too many": ("llama", key("block_count", 2), "blk.2.attn_q.weight has no place"),
    "a layer too few": ("llama", key("block_count", 4), "blk.3.attn_norm.weight is missing"),
    "a billion layers": ("llama", key("block_count", 1 << 30), "block_count is 1073741824, and there are"),
    "a tensor renamed": (
        "gpt2",
        renamed("blk.0.ffn_up.bias", "blk.0.ffn_upp.bias"),
        "family (and 1 more, such as blk.0.ffn_up.bias)"
    ),
    "whole numbers": (
        "llama",
        lambda content: content.tensors.update({"blk.0.ffn_up.weight": np.ones((MLP, HIDDEN), np.int32)}),
        "blk.0.ffn_up.weight is of type I32, which is not read",
    ),
    "another shape": ("llama", whole("output_norm.weight", 31), "has the shape [31], not [32]"),
    "LoRA": ("llama", of_a_layer("attn_q.weight.lora_a", 2, HIDDEN), "attn_q.weight.lora_a has no place"),
    "factors of another family": ("qwen2", whole("rope_freqs.weight", 4), "rope_freqs.weight has no place"),
    "factors of another length": ("llama", whole("rope_freqs.weight", 5), "has the shape [5], not [4]"),
    "partial rotation": ("llama", key("rope.dimension_count", 4), "is 4 of the 8 dimensions of a head"),
    "long rotation": ("qwen2", key("rope.scaling.type", "longrope"), "is longrope; none, linear and yarn"),
    "factor on attention": ("llama", key("rope.scaling.attn_factor", 1.2), "attn_factor is 1.2"),
    "yarn's extrapolation": ("llama", key("rope.scaling.yarn_ext_factor", 0.5), "yarn_ext_factor may change"),
    "other values' length": ("gemma", key("attention.value_length", 10), "value_length is 10"),
    "window": ("llama", key("attention.sliding_window", 4), "attention.sliding_window may change"),
    "pattern": ("gemma3", key("attention.sliding_window_pattern", 2), "sliding_window_pattern is 2"),
    "no window": ("gemma3", no_key("attention.sliding_window"), "attention.sliding_window is missing"),
    "scale of queries": ("gemma2", key("attention.scale", 0.5), "attention.scale may change"),
    "scale of logits": ("llama", key("logit_scale", 0.5), "logit_scale may change"),
    "scale of the residual": ("llama", key("residual_scale", 0.5), "residual_scale may change"),
    "scale of the embedding": ("llama", key("embedding_scale", 2.0), "embedding_scale may change"),
    "clamp": ("llama", key("attention.clamp_kqv", 8.0), "attention.clamp_kqv may change"),
    "ALiBi": ("gpt2", key("attention.max_alibi_bias", 8.0), "attention.max_alibi_bias may change"),
    "parallel": ("llama", key("use_parallel_residual", True), "use_parallel_residual may change"),
    "both directions": ("llama", key("attention.causal", False), "attention.causal is False"),
    "pooling": ("qwen3", key("pooling_type", 3), "pooling_type is 3"),
    "heads per layer": (
        "llama", key("attention.head_count", [4, 2, 4]), "attention.head_count differs from layer to layer"
    ),
    "no epsilon": ("llama", no_key("attention.layer_norm_rms_epsilon"), "rms_epsilon is missing"),
    "no context length": ("llama", no_key("context_length"), "context_length is missing"),
    "epsilon of nothing": ("llama", key("attention.layer_norm_rms_epsilon", 0.0), "is 0.0, where a positive"),
    "text for a number": ("llama", key("embedding_length", "32"), "is 32, where a positive number belongs"),
    "other vocabulary": ("llama", key("vocab_size", 300), "vocab_size is 300"),
    "layout": ("llama", key("tensor_data_layout", "transposed"), "tensor_data_layout is transposed"),
    "unknown": ("qwen3", key("attention.new_trick", 1), "qwen3.attention.new_trick may change"),
    "general": ("llama", any_key("general.new_trick", 1), "general.new_trick is 1, which is not known"),
    "an adapter": ("llama", any_key("general.type", "adapter"), "general.type is adapter"),
    "an adapter's scale": ("llama", any_key("adapter.lora.alpha", 8.0), "adapter.lora.alpha is 8.0"),
    "old quantisation": ("llama", any_key("general.quantization_version", 1), "quantization_version is 1"),
}  # fmt: skip


@pytest.mark.parametrize(("architecture", "change", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_applied_is_refused_by_name(
    opened: Opened, architecture: str, change: Change, said: str
) -> None:
    content = tiny(architecture)
    change(content)
    with pytest.raises(LookupsError) as caught:
        opened(content)
    assert said in caught.value.message
    assert caught.value.message.startswith("tiny.gguf is not loaded: ")
    assert "\n" not in caught.value.message
    assert "doctor" in caught.value.hint


def test_a_mixture_of_experts_is_an_unsupported_model(opened: Opened) -> None:
    content = tiny("llama")
    key("expert_count", 4)(content)
    key("expert_used_count", 2)(content)
    with pytest.raises(UnsupportedModelError, match="mixture of experts"):
        opened(content)


@pytest.mark.parametrize("architecture", ["mamba", "bert", "deepseek2", "granite", "no such"])
def test_other_architectures_are_refused_with_the_list_of_those_read(
    opened: Opened, architecture: str
) -> None:
    content = tiny("llama")
    content.keys["general.architecture"] = architecture
    with pytest.raises(UnsupportedModelError, match=f"of the architecture '{architecture}'") as caught:
        opened(content)
    assert "llama, qwen2" in caught.value.hint


HARMLESS: dict[str, Change] = {
    "licence": any_key("general.license.link", "somewhere"),
    "base models": any_key("general.base_model.0.name", "that one"),
    "how it was quantised": any_key("quantize.imatrix.file", "calibration.dat"),
    "a publisher's own": any_key("somebody.uploaded_by", "somebody"),
    "chat template": any_key("tokenizer.chat_template", "{{ messages }}"),
    "end of turn": any_key("tokenizer.ggml.eot_token_id", 1),
    "no experts": key("expert_count", 0),
    "nothing to pad with": any_key("tokenizer.ggml.padding_token_id", 4294967295),
    "trained with scaling": key("rope.scaling.finetuned", True),
    "no scaling": key("rope.scaling.type", "none"),
    "the usual direction": key("attention.causal", True),
}


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_what_no_figure_depends_on_is_harmless(opened: Opened, change: Change) -> None:
    content = tiny("llama")
    change(content)
    (added,) = content.keys.keys() - tiny("llama").keys.keys()
    require_equal(opened(content).folder, content)
    entries = {entry.name: entry for entry in inventory(content.write(Path(opened(content).source)))}
    assert entries[added].fate in ("harmless", "applied")


def test_the_inventory_has_every_key_and_tensor_once(tmp_path: Path) -> None:
    """Also of a file that is refused, with what it lacks."""
    for architecture in GGUF_FAMILIES:
        content = tiny(architecture)
        entries = inventory(content.write(tmp_path / "tiny.gguf"))
        assert [e.name for e in entries if e.kind == "key"] == list(content.keys)
        assert sorted(e.name for e in entries if e.kind == "tensor") == sorted(content.tensors)
        assert not [entry for entry in entries if entry.fate == "refused" or not entry.note]
        lost = content.tensors.pop("token_embd.weight")
        content.tensors["stray"] = lost
        entries = inventory(content.write(tmp_path / "tiny.gguf"))
        refused = {entry.name: entry.note for entry in entries if entry.fate == "refused"}
        assert {"token_embd.weight", "stray"} <= refused.keys()


def test_parameters_are_those_of_the_module(tmp_path: Path) -> None:
    """The tables against transformers: names and shapes of all parameters, biases and heads included."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from tui_lookups.model.gguf.examine import make_plan

    for architecture in GGUF_FAMILIES:
        plan = make_plan(tiny(architecture).write(tmp_path / "tiny.gguf"))
        config = AutoConfig.for_model(**plan.config)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        theirs = {name: tuple(values.shape) for name, values in model.named_parameters()}
        ours = {placed.parameter: placed.shape for placed in plan.weights}
        if "embed_out.weight" in ours and "embed_out.weight" not in theirs:
            ours["lm_head.weight"] = ours.pop("embed_out.weight")  # GPT-NeoX's newer name; both are read
        assert ours == theirs


# --- random changes ---

TYPES = ["F16", "BF16", "Q8_0", "Q4_1"]
VALUES: list[Any] = [
    0,
    1,
    2,
    3,
    5,
    8,
    16,
    0.0,
    0.25,
    2.5,
    True,
    False,
    "none",
    "linear",
    "yarn",
    [1, 2],
    -1.0,
]
ADDED_KEYS = [
    "rope.scaling.type", "rope.scaling.factor", "rope.scaling.original_context_length", "rope.scale_linear",
    "rope.freq_base_swa", "rope.dimension_count", "attention.key_length", "attention.value_length",
    "attention.sliding_window", "attn_logit_softcapping", "final_logit_softcapping", "expert_count",
    "attention.causal", "logit_scale", "vocab_size", "tensor_data_layout", "type",
    "alignment", "count", "no", "add_bos_token", "pre", "scores", "anything",
]  # fmt: skip
ADDED_TENSORS = [
    "blk.0.attn_q.bias", "blk.0.attn_output.bias", "blk.1.attn_q_norm.weight", "blk.0.ffn_gate.bias",
    "blk.2.post_ffw_norm.weight", "rope_freqs.weight", "output.weight", "output_norm.bias", "output.bias",
    "blk.0.ffn_gate_inp.weight", "blk.3.attn_norm.weight", "token_types.weight",
]  # fmt: skip


def changed_once(draw: st.DrawFn, content: Content) -> None:
    tensors = sorted(content.tensors)
    keys = sorted(key for key in content.keys if key != "general.architecture")
    kind = draw(
        st.sampled_from(["drop", "add", "rename", "retype", "key added", "key removed", "key altered"])
    )
    if kind == "drop":
        del content.tensors[draw(st.sampled_from(tensors))]
    elif kind == "add":
        name = draw(st.sampled_from(ADDED_TENSORS))
        shape = draw(st.sampled_from([(4,), (HEAD_DIM,), (HIDDEN,), (MLP,), (320, HIDDEN)]))
        values = np.random.default_rng(3).uniform(0.5, 2.0, shape)
        content.tensors.setdefault(name, values.astype(np.float32))
    elif kind == "rename":
        name = draw(st.sampled_from(tensors))
        other = draw(
            st.sampled_from(
                [name + "x", name.replace("1", "3"), name.replace("attn", "ffn"), "rope_freqs.weight"]
            )
        )
        content.tensors[other] = content.tensors.pop(name)
    elif kind == "retype":
        suited = [name for name in tensors if content.tensors[name].shape[-1] % 32 == 0]
        content.types[draw(st.sampled_from(suited))] = draw(st.sampled_from(TYPES))
    elif kind == "key added":
        prefix = draw(st.sampled_from([content.architecture, "general", "tokenizer.ggml", "split", "other"]))
        content.keys[f"{prefix}.{draw(st.sampled_from(ADDED_KEYS))}"] = draw(st.sampled_from(VALUES))
    elif kind == "key removed":
        del content.keys[draw(st.sampled_from(keys))]
    else:
        content.keys[draw(st.sampled_from(keys))] = draw(st.sampled_from(VALUES))


@pytest.mark.parametrize("architecture", GGUF_FAMILIES)
@given(data=st.data())
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_random_change_gives_the_right_activations_or_a_sentence(
    tmp_path: Path, architecture: str, data: st.DataObject
) -> None:
    content = tiny(architecture)
    changed_once(data.draw, content)
    path = content.write(tmp_path / "tiny.gguf")
    try:
        folder = find_model(str(path), cache_dir=tmp_path / "cache", digest=file_digest).folder
    except LookupsError as refusal:
        said = refusal
    else:
        require_equal(folder, content)
        return
    assert said.hint
    assert "\n" not in said.message
