"""The model families whose .gguf files are converted: what their keys mean and where their tensors go.

Each family is one row: its configuration (a function, since soft caps, windows and scalars differ) and its
table of tensors. A family is here when a forward pass written from the file's own tensors gives what the
loaded model gives; others are refused by name.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tui_lookups.model.gguf.family import HEAD, GgufFamily, plain_heads
from tui_lookups.model.gguf.keys import Ledger
from tui_lookups.model.gguf.layer_norm_families import LAYER_NORM_FAMILIES
from tui_lookups.model.gguf.rotary import rotary_parameters
from tui_lookups.model.gguf.weights import Sizes, Weight

_RMS = "attention.layer_norm_rms_epsilon"
_META_LAYOUT = "Meta AI original pth"
_LARGEST_GEMMAS = {"gemma2": 46, "gemma3": 62}
"""Layers of the 27B models, whose queries are scaled by hidden / heads instead of the head's dimensions."""


def _modern(sizes: Sizes, activation: str = "hidden_act", function: str = "silu") -> dict[str, Any]:
    """The fields that Llama and the families after it share."""
    return {
        "vocab_size": sizes.vocabulary,
        "hidden_size": sizes.hidden,
        "intermediate_size": sizes.mlp,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": sizes.kv_heads,
        "head_dim": sizes.head_dim,
        "max_position_embeddings": sizes.context,
        activation: function,
    }


def _llama(ledger: Ledger, sizes: Sizes, factors: np.ndarray | None) -> dict[str, Any]:
    ledger.hold("tensor_data_layout", _META_LAYOUT, "the order of rotary pairs")
    return {
        **_modern(sizes),
        "rms_norm_eps": ledger.number(_RMS, "rms_norm_eps"),
        "rope_parameters": rotary_parameters(ledger, sizes.head_dim, sizes.context, factors),
    }


def _qwen(ledger: Ledger, sizes: Sizes, factors: np.ndarray | None) -> dict[str, Any]:
    return {
        **_modern(sizes),
        "rms_norm_eps": ledger.number(_RMS, "rms_norm_eps"),
        "rope_parameters": rotary_parameters(ledger, sizes.head_dim, sizes.context, factors),
        "use_sliding_window": False,
    }


def _olmo2(ledger: Ledger, sizes: Sizes, factors: np.ndarray | None) -> dict[str, Any]:
    plain_heads(ledger, sizes)
    return {
        **_modern(sizes),
        "rms_norm_eps": ledger.number(_RMS, "rms_norm_eps"),
        "rope_parameters": rotary_parameters(ledger, sizes.head_dim, sizes.context, factors),
        "attention_bias": False,
    }


def _gemma(ledger: Ledger, sizes: Sizes, factors: np.ndarray | None) -> dict[str, Any]:
    return {
        **_modern(sizes, "hidden_activation", "gelu_pytorch_tanh"),
        "hidden_act": "gelu_pytorch_tanh",
        "rms_norm_eps": ledger.number(_RMS, "rms_norm_eps"),
        "attention_bias": False,
        "rope_parameters": rotary_parameters(ledger, sizes.head_dim, sizes.context, factors),
    }


def _scalar(sizes: Sizes, architecture: str) -> int:
    largest = sizes.layers == _LARGEST_GEMMAS[architecture]
    return sizes.hidden // sizes.heads if largest else sizes.head_dim


def _gemma2(ledger: Ledger, sizes: Sizes, factors: np.ndarray | None) -> dict[str, Any]:
    """Caps and window as llama.cpp has them where the file does not say; every other layer has the window."""
    return {
        **_gemma(ledger, sizes, factors),
        "query_pre_attn_scalar": _scalar(sizes, "gemma2"),
        "attn_logit_softcapping": ledger.number(
            "attn_logit_softcapping", "attn_logit_softcapping", default=50.0
        ),
        "final_logit_softcapping": ledger.number(
            "final_logit_softcapping", "final_logit_softcapping", default=30.0
        ),
        "sliding_window": ledger.whole("attention.sliding_window", "sliding_window", default=4096),
        "layer_types": _layer_types(sizes.layers, 2),
    }


def _gemma3(ledger: Ledger, sizes: Sizes, factors: np.ndarray | None) -> dict[str, Any]:
    """Five layers in six have the window, and a rotation of their own base that is never scaled."""
    ledger.hold("attention.sliding_window_pattern", 6, "layers from one without a window to the next")
    local = ledger.number("rope.freq_base_swa", "rope_theta of layers with a window", default=10_000.0)
    settings = _gemma(ledger, sizes, factors)
    cap = None
    if ledger.has("final_logit_softcapping"):
        cap = ledger.number("final_logit_softcapping", "final_logit_softcapping")
    return {
        **settings,
        "query_pre_attn_scalar": _scalar(sizes, "gemma3"),
        "attn_logit_softcapping": None,
        "final_logit_softcapping": cap,
        "sliding_window": ledger.whole("attention.sliding_window", "sliding_window"),
        "layer_types": _layer_types(sizes.layers, 6),
        "rope_parameters": {
            "full_attention": settings["rope_parameters"],
            "sliding_attention": {"rope_type": "default", "rope_theta": float(local)},
        },
    }


def _layer_types(layers: int, pattern: int) -> list[str]:
    return ["sliding_attention" if (layer + 1) % pattern else "full_attention" for layer in range(layers)]


_ENDS = (
    Weight("token_embd.weight", "model.embed_tokens.weight", "VD"),
    Weight("output_norm.weight", "model.norm.weight", "D"),
    HEAD,
)
_GATED_MLP = (
    Weight("blk.{}.ffn_gate.weight", "model.layers.{}.mlp.gate_proj.weight", "FD"),
    Weight("blk.{}.ffn_up.weight", "model.layers.{}.mlp.up_proj.weight", "FD"),
    Weight("blk.{}.ffn_down.weight", "model.layers.{}.mlp.down_proj.weight", "DF"),
)
_MLP_BIASES = (
    Weight("blk.{}.ffn_gate.bias", "model.layers.{}.mlp.gate_proj.bias", "F", group="mlp biases"),
    Weight("blk.{}.ffn_up.bias", "model.layers.{}.mlp.up_proj.bias", "F", group="mlp biases"),
    Weight("blk.{}.ffn_down.bias", "model.layers.{}.mlp.down_proj.bias", "D", group="mlp biases"),
)
_NORMS = (
    Weight("blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight", "D"),
    Weight("blk.{}.ffn_norm.weight", "model.layers.{}.post_attention_layernorm.weight", "D"),
)
_HEAD_NORMS = (
    Weight("blk.{}.attn_q_norm.weight", "model.layers.{}.self_attn.q_norm.weight", "H"),
    Weight("blk.{}.attn_k_norm.weight", "model.layers.{}.self_attn.k_norm.weight", "H"),
)
_FOUR_NORMS = (
    Weight("blk.{}.attn_norm.weight", "model.layers.{}.input_layernorm.weight", "D"),
    Weight("blk.{}.post_attention_norm.weight", "model.layers.{}.post_attention_layernorm.weight", "D"),
    Weight("blk.{}.ffn_norm.weight", "model.layers.{}.pre_feedforward_layernorm.weight", "D"),
    Weight("blk.{}.post_ffw_norm.weight", "model.layers.{}.post_feedforward_layernorm.weight", "D"),
)


_NORMS_AFTER = (_FOUR_NORMS[1], _FOUR_NORMS[3])
_WHOLE_NORMS = (
    Weight("blk.{}.attn_q_norm.weight", "model.layers.{}.self_attn.q_norm.weight", "Q"),
    Weight("blk.{}.attn_k_norm.weight", "model.layers.{}.self_attn.k_norm.weight", "K"),
)


def _attention(*, paired: bool = False) -> tuple[Weight, ...]:
    """Queries, keys, values and output; `paired` where llama.cpp turns neighbouring rows together."""
    path = "model.layers.{}.self_attn."
    return (
        Weight(
            "blk.{}.attn_q.weight", path + "q_proj.weight", "QD", order="rotated_queries" if paired else ""
        ),
        Weight("blk.{}.attn_k.weight", path + "k_proj.weight", "KD", order="rotated_keys" if paired else ""),
        Weight("blk.{}.attn_v.weight", path + "v_proj.weight", "KD"),
        Weight("blk.{}.attn_output.weight", path + "o_proj.weight", "DQ"),
    )


def _attention_biases(group: str, *, paired: bool = False, output: bool = True) -> tuple[Weight, ...]:
    """Their biases; an `output` of the group that the file lacks is zero."""
    path = "model.layers.{}.self_attn."
    queries = Weight(
        "blk.{}.attn_q.bias", path + "q_proj.bias", "Q", "rotated_queries" if paired else "", group=group
    )
    keys = Weight(
        "blk.{}.attn_k.bias", path + "k_proj.bias", "K", "rotated_keys" if paired else "", group=group
    )
    values = Weight("blk.{}.attn_v.bias", path + "v_proj.bias", "K", group=group)
    last = Weight("blk.{}.attn_output.bias", path + "o_proj.bias", "D", group=group)
    return (queries, keys, values, last) if output else (queries, keys, values)


def _one_added(weights: tuple[Weight, ...]) -> tuple[Weight, ...]:
    """Gemma's norms multiply by 1 + w, and files have the sum."""
    return tuple(Weight(w.name, w.parameter, w.shape, added=1.0) if "norm" in w.name else w for w in weights)


_BIASES = {"attention biases": "attention_bias"}

GGUF_FAMILIES: dict[str, GgufFamily] = {
    "llama": GgufFamily(
        "llama",
        "LlamaForCausalLM",
        (
            *_ENDS, *_NORMS, *_attention(paired=True), *_attention_biases("attention biases", paired=True),
            *_GATED_MLP, *_MLP_BIASES,
        ),
        _llama,
        {**_BIASES, "mlp biases": "mlp_bias"},
        scaled_frequencies=True,
    ),
    "qwen2": GgufFamily(
        "qwen2",
        "Qwen2ForCausalLM",
        (*_ENDS, *_NORMS, *_attention(), *_attention_biases("", output=False), *_GATED_MLP),
        _qwen,
    ),
    "qwen3": GgufFamily(
        "qwen3",
        "Qwen3ForCausalLM",
        (
            *_ENDS, *_NORMS, *_attention(), *_HEAD_NORMS, *_attention_biases("attention biases"),
            *_GATED_MLP,
        ),
        _qwen,
        _BIASES,
    ),
    "gemma": GgufFamily(
        "gemma", "GemmaForCausalLM", _one_added((*_ENDS, *_NORMS, *_attention(), *_GATED_MLP)), _gemma
    ),
    "gemma2": GgufFamily(
        "gemma2",
        "Gemma2ForCausalLM",
        _one_added((*_ENDS, *_FOUR_NORMS, *_attention(), *_GATED_MLP)),
        _gemma2,
    ),
    "gemma3": GgufFamily(
        "gemma3_text",
        "Gemma3ForCausalLM",
        _one_added((*_ENDS, *_FOUR_NORMS, *_attention(), *_HEAD_NORMS, *_GATED_MLP)),
        _gemma3,
    ),
    "olmo2": GgufFamily(
        "olmo2",
        "Olmo2ForCausalLM",
        (*_ENDS, *_NORMS_AFTER, *_attention(), *_WHOLE_NORMS, *_GATED_MLP),
        _olmo2,
    ),
    **LAYER_NORM_FAMILIES,
}  # fmt: skip
"""By `general.architecture`."""
