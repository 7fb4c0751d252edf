"""Families with LayerNorm, whose modules have biases everywhere: GPT-2, GPT-NeoX, Phi 2, StarCoder 2."""

from __future__ import annotations

from typing import Any

import numpy as np

from tui_lookups.model.gguf.family import HEAD, GgufFamily, one_key_a_head, plain_heads
from tui_lookups.model.gguf.keys import Ledger
from tui_lookups.model.gguf.rotary import rotary_parameters
from tui_lookups.model.gguf.weights import Order, Sizes, Weight

_EPSILON = "attention.layer_norm_epsilon"


def _gpt2(ledger: Ledger, sizes: Sizes, _: np.ndarray | None) -> dict[str, Any]:
    plain_heads(ledger, sizes)
    one_key_a_head(ledger, sizes)
    return {
        "vocab_size": sizes.vocabulary,
        "n_embd": sizes.hidden,
        "n_inner": sizes.mlp,
        "n_layer": sizes.layers,
        "n_head": sizes.heads,
        "n_positions": sizes.context,
        "layer_norm_epsilon": ledger.number(_EPSILON, "layer_norm_epsilon"),
        "activation_function": "gelu_new",
        "scale_attn_weights": True,
    }


def _rotated(ledger: Ledger, sizes: Sizes, epsilon: str, activation: str, *, partial: bool) -> dict[str, Any]:
    plain_heads(ledger, sizes)
    return {
        "vocab_size": sizes.vocabulary,
        "hidden_size": sizes.hidden,
        "intermediate_size": sizes.mlp,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "max_position_embeddings": sizes.context,
        "hidden_act": activation,
        epsilon: ledger.number(_EPSILON, epsilon),
        "rope_parameters": rotary_parameters(ledger, sizes.head_dim, sizes.context, None, partial=partial),
    }


def _neox(ledger: Ledger, sizes: Sizes, _: np.ndarray | None) -> dict[str, Any]:
    one_key_a_head(ledger, sizes)
    return {
        **_rotated(ledger, sizes, "layer_norm_eps", "gelu", partial=True),
        "use_parallel_residual": ledger.flag("use_parallel_residual", "use_parallel_residual", default=True),
        "attention_bias": True,
    }


def _phi2(ledger: Ledger, sizes: Sizes, _: np.ndarray | None) -> dict[str, Any]:
    return {
        **_rotated(ledger, sizes, "layer_norm_eps", "gelu_new", partial=True),
        "num_key_value_heads": sizes.kv_heads,
        "qk_layernorm": False,
    }


def _starcoder2(ledger: Ledger, sizes: Sizes, _: np.ndarray | None) -> dict[str, Any]:
    return {
        **_rotated(ledger, sizes, "norm_epsilon", "gelu_pytorch_tanh", partial=False),
        "num_key_value_heads": sizes.kv_heads,
        "use_bias": True,
        "sliding_window": None,
    }


def _with_bias(
    name: str, module: str, shape: str, *, order: Order = "", transposed: bool = False
) -> tuple[Weight, Weight]:
    """A module's weight and bias; the bias has the first size of the weight (of Conv1D the last)."""
    size = shape[-1] if transposed else shape[0]
    return (
        Weight(f"{name}.weight", f"{module}.weight", shape, order, transposed),
        Weight(f"{name}.bias", f"{module}.bias", size, order),
    )


def _conv1d(name: str, module: str, shape: str) -> tuple[Weight, Weight]:
    """GPT-2's Conv1D, whose weight lies transposed."""
    return _with_bias(f"blk.{{}}.{name}", f"transformer.h.{{}}.{module}", shape, transposed=True)


def _neox_block(name: str, module: str, shape: str, order: Order = "") -> tuple[Weight, Weight]:
    return _with_bias(f"blk.{{}}.{name}", f"gpt_neox.layers.{{}}.{module}", shape, order=order)


def _block(name: str, module: str, shape: str) -> tuple[Weight, Weight]:
    return _with_bias(f"blk.{{}}.{name}", f"model.layers.{{}}.{module}", shape)


_QUERIES_KEYS_VALUES = (
    *_block("attn_q", "self_attn.q_proj", "QD"),
    *_block("attn_k", "self_attn.k_proj", "KD"),
    *_block("attn_v", "self_attn.v_proj", "KD"),
)

LAYER_NORM_FAMILIES: dict[str, GgufFamily] = {
    "gpt2": GgufFamily(
        "gpt2",
        "GPT2LMHeadModel",
        (
            Weight("token_embd.weight", "transformer.wte.weight", "VD"),
            Weight("position_embd.weight", "transformer.wpe.weight", "CD"),
            *_with_bias("output_norm", "transformer.ln_f", "D"),
            HEAD,
            *_with_bias("blk.{}.attn_norm", "transformer.h.{}.ln_1", "D"),
            *_with_bias("blk.{}.ffn_norm", "transformer.h.{}.ln_2", "D"),
            *_conv1d("attn_qkv", "attn.c_attn", "DJ"),
            *_conv1d("attn_output", "attn.c_proj", "QD"),
            *_conv1d("ffn_up", "mlp.c_fc", "DF"),
            *_conv1d("ffn_down", "mlp.c_proj", "FD"),
        ),
        _gpt2,
    ),
    "gptneox": GgufFamily(
        "gpt_neox",
        "GPTNeoXForCausalLM",
        (
            Weight("token_embd.weight", "gpt_neox.embed_in.weight", "VD"),
            *_with_bias("output_norm", "gpt_neox.final_layer_norm", "D"),
            Weight("output.weight", "embed_out.weight", "VD", group="head"),
            *_neox_block("attn_norm", "input_layernorm", "D"),
            *_neox_block("ffn_norm", "post_attention_layernorm", "D"),
            *_neox_block("attn_qkv", "attention.query_key_value", "JD", "joint_by_head"),
            *_neox_block("attn_output", "attention.dense", "DQ"),
            *_neox_block("ffn_up", "mlp.dense_h_to_4h", "FD"),
            *_neox_block("ffn_down", "mlp.dense_4h_to_h", "DF"),
        ),
        _neox,
    ),
    "phi2": GgufFamily(
        "phi",
        "PhiForCausalLM",
        (
            Weight("token_embd.weight", "model.embed_tokens.weight", "VD"),
            *_with_bias("output_norm", "model.final_layernorm", "D"),
            HEAD,
            Weight("output.bias", "lm_head.bias", "V"),
            *_block("attn_norm", "input_layernorm", "D"),
            *_QUERIES_KEYS_VALUES,
            *_block("attn_output", "self_attn.dense", "DQ"),
            *_block("ffn_up", "mlp.fc1", "FD"),
            *_block("ffn_down", "mlp.fc2", "DF"),
        ),
        _phi2,
    ),
    "starcoder2": GgufFamily(
        "starcoder2",
        "Starcoder2ForCausalLM",
        (
            Weight("token_embd.weight", "model.embed_tokens.weight", "VD"),
            *_with_bias("output_norm", "model.norm", "D"),
            HEAD,
            *_block("attn_norm", "input_layernorm", "D"),
            *_block("ffn_norm", "post_attention_layernorm", "D"),
            *_QUERIES_KEYS_VALUES,
            *_block("attn_output", "self_attn.o_proj", "DQ"),
            *_block("ffn_up", "mlp.c_fc", "FD"),
            *_block("ffn_down", "mlp.c_proj", "DF"),
        ),
        _starcoder2,
    ),
}
"""By `general.architecture`."""
