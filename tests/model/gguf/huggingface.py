"""A tiny Llama folder and its byte-level tokenizer as an unquantised .gguf file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from tests.model.gguf.files import Content, byte_level_keys


def write_gguf(path: Path, folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    weights = load_file(folder / "model.safetensors")
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    keys = {
        "context_length": config["max_position_embeddings"],
        "embedding_length": config["hidden_size"],
        "block_count": config["num_hidden_layers"],
        "feed_forward_length": config["intermediate_size"],
        "attention.head_count": heads,
        "attention.head_count_kv": kv_heads,
        "attention.layer_norm_rms_epsilon": config["rms_norm_eps"],
        "vocab_size": config["vocab_size"],
    }

    def rotary(weight: np.ndarray, n: int) -> np.ndarray:
        """llama.cpp stores rotary dimensions in adjacent pairs."""
        return weight.reshape(n, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)

    names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    parts = {
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    }  # fmt: skip
    for layer in range(config["num_hidden_layers"]):
        names.update({f"model.layers.{layer}.{k}": f"blk.{layer}.{v}" for k, v in parts.items()})
    tensors = {}
    for key, weight in weights.items():
        module = key.removesuffix(".weight")
        if module.endswith("q_proj"):
            weight = rotary(weight, heads)
        if module.endswith("k_proj"):
            weight = rotary(weight, kv_heads)
        tensors[f"{names[module]}.weight"] = weight
    named = {"general.architecture": "llama", **{f"llama.{key}": value for key, value in keys.items()}}
    Content({**named, **byte_level_keys()}, tensors).write(path)
