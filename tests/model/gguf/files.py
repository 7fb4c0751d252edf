"""Tiny .gguf files with random weights, as llama.cpp's converter would write them, and changes to them.

A file's content is kept as plain keys and float32 tensors, so that reference.py can compute from the very
same content, and a test can drop, add, rename or alter one thing before it is written.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.tiny_tokenizers import SPACE_MARK, WORDS, byte_level_tokenizer

VOCABULARY = 320
HIDDEN, MLP, LAYERS, HEADS, KV_HEADS, HEAD_DIM, CONTEXT = 32, 40, 3, 4, 2, 8, 64
LAYER_NORM = ("gpt2", "gptneox", "phi2", "starcoder2")
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


@dataclass
class Content:
    """Keys and tensors of a file; `types` names the tensors that are not written as F32."""

    keys: dict[str, Any]
    tensors: dict[str, np.ndarray]
    types: dict[str, str] = field(default_factory=dict)

    @property
    def architecture(self) -> str:
        return str(self.keys["general.architecture"])

    def key(self, name: str, default: Any = None) -> Any:
        """A key below the architecture's prefix."""
        return self.keys.get(f"{self.architecture}.{name}", default)

    def copied(self) -> Content:
        return copy.deepcopy(self)

    def write(self, path: Path) -> Path:
        """Write the file, and keep in `tensors` the values that it really holds."""
        from gguf import GGMLQuantizationType, GGUFWriter, dequantize, quantize

        writer = GGUFWriter(path, self.architecture)
        for key, value in self.keys.items():
            if key != "general.architecture":
                _add(writer, key, value)
        for name, values in self.tensors.items():
            kind = GGMLQuantizationType[self.types.get(name, "F32")]
            if kind == GGMLQuantizationType.F32:
                writer.add_tensor(name, np.ascontiguousarray(values))
                continue
            packed = quantize(np.ascontiguousarray(values), kind)
            self.tensors[name] = dequantize(packed, kind).reshape(values.shape)
            plain = {"F16": np.float16}.get(kind.name)
            writer.add_tensor(name, packed, raw_dtype=None if plain else kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path


def _add(writer: Any, key: str, value: Any) -> None:
    kinds = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
    kinds.get(type(value), writer.add_array)(key, value)


def byte_level_keys(pre: str = "gpt-2", **more: Any) -> dict[str, Any]:
    """A byte-level vocabulary with <s> (id 0) as begin-of-text; `more` are keys below tokenizer.ggml."""
    description = json.loads(byte_level_tokenizer().to_str())
    vocabulary = description["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.get)
    types = [CONTROL if token in ("<s>", "</s>") else NORMAL for token in tokens]
    tokens += [f"<unused{i}>" for i in range(len(tokens), VOCABULARY)]
    merges = [m if isinstance(m, str) else " ".join(m) for m in description["model"]["merges"]]
    keys = {
        "model": "gpt2",
        "pre": pre,
        "tokens": tokens,
        "token_type": types + [UNUSED] * (VOCABULARY - len(types)),
        "merges": merges,
        "bos_token_id": 0,
        "eos_token_id": 1,
        **more,
    }
    return {f"tokenizer.ggml.{key}": value for key, value in keys.items()}


def sentencepiece_keys(**more: Any) -> dict[str, Any]:
    """SentencePiece's byte pairs with scores: longer words score better, letters worst."""
    letters = [SPACE_MARK, *sorted(set("".join(WORDS)))]
    words = [SPACE_MARK + word for word in WORDS]
    stems = dict.fromkeys(word[:end] for word in words for end in range(2, len(word) + 1))
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *stems, *letters]
    types = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * (len(stems) + len(letters))]
    scores = [0.0] * 259 + [float(-rank) for rank in range(len(stems) + len(letters))]
    padding = VOCABULARY - len(tokens)
    keys = {
        "model": "llama",
        "tokens": tokens + [f"<pad{i}>" for i in range(padding)],
        "token_type": types + [UNUSED] * padding,
        "scores": scores + [-1000.0] * padding,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "unknown_token_id": 0,
        **more,
    }
    return {f"tokenizer.ggml.{key}": value for key, value in keys.items()}


def tiny(architecture: str, seed: int = 0, *, tokenizer: dict[str, Any] | None = None) -> Content:
    """A random model of an architecture: its usual keys and tensors, no value neutral."""
    random = np.random.default_rng(seed)
    keys: dict[str, Any] = {"general.architecture": architecture, "general.name": f"tiny {architecture}"}
    sizes = {
        "context_length": CONTEXT, "embedding_length": HIDDEN, "block_count": LAYERS,
        "feed_forward_length": MLP, "attention.head_count": HEADS,
    }  # fmt: skip
    norm = "attention.layer_norm" + ("" if architecture in LAYER_NORM else "_rms") + "_epsilon"
    own: dict[str, Any] = {**sizes, norm: 1e-5}
    if architecture != "gpt2":
        own |= {"rope.freq_base": 5000.0}
    if architecture not in ("gpt2", "gptneox"):
        own |= {"attention.head_count_kv": KV_HEADS}
    if architecture in ("gptneox", "phi2"):
        own |= {"rope.dimension_count": HEAD_DIM // 2}
    if architecture == "gptneox":
        own |= {"use_parallel_residual": True}
    if architecture in ("qwen3", "gemma", "gemma2", "gemma3"):
        own |= {"attention.key_length": HEAD_DIM + 4, "attention.value_length": HEAD_DIM + 4}
    if architecture in ("gemma2", "gemma3"):
        own |= {"attention.sliding_window": 5}
    if architecture == "gemma2":
        own |= {"attn_logit_softcapping": 3.0, "final_logit_softcapping": 4.0}
    keys |= {f"{architecture}.{key}": value for key, value in own.items()}
    keys |= byte_level_keys() if tokenizer is None else tokenizer
    tensors = {
        name: _drawn(random, name, shape, architecture) for name, shape in _shapes(architecture).items()
    }
    return Content(keys, tensors)


def _shapes(architecture: str) -> dict[str, tuple[int, ...]]:
    head_dim = HEAD_DIM + 4 if architecture in ("qwen3", "gemma", "gemma2", "gemma3") else HEAD_DIM
    queries, keys = HEADS * head_dim, KV_HEADS * head_dim
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (VOCABULARY, HIDDEN)}
    block: dict[str, tuple[int, ...]]
    if architecture == "gpt2":
        shapes["position_embd.weight"] = (CONTEXT, HIDDEN)
    if architecture in ("gpt2", "gptneox"):
        block = {
            "attn_qkv.weight": (3 * HIDDEN, HIDDEN), "attn_output.weight": (HIDDEN, HIDDEN),
            "ffn_up.weight": (MLP, HIDDEN), "ffn_down.weight": (HIDDEN, MLP), "attn_norm.weight": (HIDDEN,),
            "ffn_norm.weight": (HIDDEN,), "attn_qkv.bias": (3 * HIDDEN,), "attn_output.bias": (HIDDEN,),
            "ffn_up.bias": (MLP,), "ffn_down.bias": (HIDDEN,), "attn_norm.bias": (HIDDEN,),
            "ffn_norm.bias": (HIDDEN,),
        }  # fmt: skip
    else:
        block = {
            "attn_q.weight": (queries, HIDDEN), "attn_k.weight": (keys, HIDDEN),
            "attn_v.weight": (keys, HIDDEN), "attn_output.weight": (HIDDEN, queries),
            "ffn_gate.weight": (MLP, HIDDEN), "ffn_up.weight": (MLP, HIDDEN),
            "ffn_down.weight": (HIDDEN, MLP), "attn_norm.weight": (HIDDEN,), "ffn_norm.weight": (HIDDEN,),
        }  # fmt: skip
    if architecture == "qwen2":
        block |= {"attn_q.bias": (queries,), "attn_k.bias": (keys,), "attn_v.bias": (keys,)}
    if architecture in ("qwen3", "gemma3"):
        block |= {"attn_q_norm.weight": (head_dim,), "attn_k_norm.weight": (head_dim,)}
    if architecture in ("gemma2", "gemma3", "olmo2"):
        block |= {"post_attention_norm.weight": (HIDDEN,), "post_ffw_norm.weight": (HIDDEN,)}
    if architecture == "olmo2":
        del block["attn_norm.weight"], block["ffn_norm.weight"]
        block |= {"attn_q_norm.weight": (queries,), "attn_k_norm.weight": (keys,)}
    if architecture in ("phi2", "starcoder2"):
        del block["ffn_gate.weight"]
        block |= {name.replace("weight", "bias"): shape[:1] for name, shape in block.items()}
    if architecture == "phi2":
        del block["ffn_norm.weight"], block["ffn_norm.bias"]
        shapes["output.bias"] = (VOCABULARY,)
    if architecture in LAYER_NORM:
        shapes["output_norm.bias"] = (HIDDEN,)
    for layer in range(LAYERS):
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in block.items()}
    shapes["output_norm.weight"] = (HIDDEN,)
    if not architecture.startswith("gemma"):
        shapes["output.weight"] = (VOCABULARY, HIDDEN)
    return shapes


def _drawn(random: np.random.Generator, name: str, shape: tuple[int, ...], architecture: str) -> np.ndarray:
    if "norm" in name and name.endswith("weight"):
        values = 1 + 0.3 * random.standard_normal(shape)
    elif name.endswith("bias"):
        values = 0.3 * random.standard_normal(shape)
    else:
        scale = 1.0 if name.startswith(("token_embd", "position_embd")) else 1.5 * shape[1] ** -0.5
        values = scale * random.standard_normal(shape)
        if architecture.startswith("gemma") and name.startswith("token_embd"):
            values /= HIDDEN**0.5
    return values.astype(np.float32)
