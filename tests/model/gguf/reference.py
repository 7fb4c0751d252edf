"""A forward pass written from a .gguf file's own keys and tensors: float64 NumPy, as llama.cpp computes.

No torch, no transformers, no code under test. Defaults are llama.cpp's where a key is missing.

1. Llama turns neighbouring dimensions of a head together; the others those half a head apart.
2. Norm weights are multiplied with as they lie in the file: for Gemma the converter has added the one.
3. GPT-2, GPT-NeoX, Phi 2 and StarCoder 2 have LayerNorm and plain MLPs; Phi 2's attention and MLP read the
   same norm side by side, GPT-NeoX's a norm each, where its key says so. OLMo 2 norms only what is written.
4. Gemma 2 caps scores and logits; Gemma 2 and 3 norm what attention and MLP write, and some of their layers
   see a window only. Gemma 3's windowed layers rotate with a base of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import erf

from tests.model.gguf.files import Content

Array = np.ndarray


@dataclass(frozen=True)
class Computed:
    """logits [positions, vocabulary]; activations [layers, positions, d_mlp], what the MLP's output reads."""

    logits: Array
    activations: Array


def computed(content: Content, ids: list[int]) -> Computed:
    return _Forward(content).run(ids)


class _Forward:
    def __init__(self, content: Content) -> None:
        self.content = content
        self.kind = content.architecture
        self.heads = content.key("attention.head_count")
        self.kv_heads = content.key("attention.head_count_kv", self.heads)
        self.hidden = content.key("embedding_length")
        self.head_dim = content.key("attention.key_length", self.hidden // self.heads)
        rms = content.key("attention.layer_norm_rms_epsilon")
        self.centred = self.kind in ("gpt2", "gptneox", "phi2", "starcoder2")
        self.epsilon = content.key("attention.layer_norm_epsilon") if self.centred else rms
        self.parallel = self.kind == "phi2" or (
            self.kind == "gptneox" and content.key("use_parallel_residual", True)
        )

    def weight(self, name: str, kind: str = "weight") -> Array:
        return self.content.tensors[f"{name}.{kind}"].astype(np.float64)

    def linear(self, x: Array, name: str) -> Array:
        bias = self.content.tensors.get(f"{name}.bias")
        return x @ self.weight(name).T + (0.0 if bias is None else bias.astype(np.float64))

    def norm(self, x: Array, name: str) -> Array:
        if self.centred:
            x = x - x.mean(-1, keepdims=True)
        scale = np.sqrt((x**2).mean(-1, keepdims=True) + self.epsilon)
        bias = self.weight(name, "bias") if self.centred else 0.0
        return x / scale * self.weight(name) + bias

    def run(self, ids: list[int]) -> Computed:
        x = self.weight("token_embd")[ids]
        if self.kind.startswith("gemma"):
            x = x * self.hidden**0.5
        if self.kind == "gpt2":
            x = x + self.weight("position_embd")[: len(ids)]
        kept = []
        for layer in range(self.content.key("block_count")):
            attended = x + self.attention(x, layer)
            written, activation = self.mlp(x if self.parallel else attended, layer)
            x = attended + written
            kept.append(activation)
        head = "output" if "output.weight" in self.content.tensors else "token_embd"
        logits = self.norm(x, "output_norm") @ self.weight(head).T
        if "output.bias" in self.content.tensors:
            logits = logits + self.weight("output", "bias")
        cap = self.content.key("final_logit_softcapping", 30.0 if self.kind == "gemma2" else None)
        return Computed(logits if cap is None else cap * np.tanh(logits / cap), np.stack(kept))

    def attention(self, x: Array, layer: int) -> Array:
        block, n = f"blk.{layer}", len(x)
        h = self.before(x, f"{block}.attn_norm")
        if f"{block}.attn_qkv.weight" in self.content.tensors:
            parts = np.split(self.linear(h, f"{block}.attn_qkv"), 3, axis=-1)
        else:
            parts = [self.linear(h, f"{block}.attn_{letter}") for letter in "qkv"]
        if self.kind == "olmo2":
            parts[:2] = [
                self.norm(part, f"{block}.attn_{i}_norm") for part, i in zip(parts, "qk", strict=False)
            ]
        q, k, v = (part.reshape(n, -1, self.head_dim) for part in parts)
        if self.kind in ("qwen3", "gemma3"):
            q, k = self.norm(q, f"{block}.attn_q_norm"), self.norm(k, f"{block}.attn_k_norm")
        if self.kind != "gpt2":
            q, k = self.rotated(q, layer), self.rotated(k, layer)
        k, v = (part.repeat(self.heads // self.kv_heads, 1) for part in (k, v))
        scores = np.einsum("qhd,khd->hqk", q, k) / self.head_dim**0.5
        cap = self.content.key("attn_logit_softcapping", 50.0 if self.kind == "gemma2" else None)
        if cap is not None:
            scores = cap * np.tanh(scores / cap)
        distance = np.arange(n)[:, None] - np.arange(n)[None, :]
        hidden = distance < 0
        if self.windowed(layer):
            hidden |= distance >= self.content.key("attention.sliding_window", 4096)
        scores = np.where(hidden, -np.inf, scores)
        pattern = np.exp(scores - scores.max(-1, keepdims=True))
        pattern /= pattern.sum(-1, keepdims=True)
        z = np.einsum("hqk,khd->qhd", pattern, v).reshape(n, -1)
        written = self.linear(z, f"{block}.attn_output")
        return self.after(written, f"{block}.post_attention_norm")

    def windowed(self, layer: int) -> bool:
        pattern = {"gemma2": 2, "gemma3": 6}.get(self.kind)
        return pattern is not None and (layer + 1) % pattern != 0

    def rotated(self, x: Array, layer: int) -> Array:
        """x [positions, heads, head_dim]"""
        local = self.kind == "gemma3" and self.windowed(layer)
        base = self.content.key("rope.freq_base", 10_000.0)
        if local:
            base = self.content.key("rope.freq_base_swa", 10_000.0)
        turned = self.content.key("rope.dimension_count", self.head_dim)
        half = turned // 2
        frequencies = base ** (-2 * np.arange(half) / turned)
        scale = 1.0
        if not local:
            frequencies, scale = self.scaled(frequencies, base)
        angles = np.arange(len(x))[:, None, None] * frequencies
        cos, sin = scale * np.cos(angles), scale * np.sin(angles)
        if self.kind == "llama":
            even, odd = x[..., ::2], x[..., 1::2]
            return np.stack([even * cos - odd * sin, even * sin + odd * cos], -1).reshape(x.shape)
        first, second, rest = x[..., :half], x[..., half:turned], x[..., turned:]
        return np.concatenate([first * cos - second * sin, first * sin + second * cos, rest], -1)

    def scaled(self, frequencies: Array, base: float) -> tuple[Array, float]:
        factors = self.content.tensors.get("rope_freqs.weight")
        if factors is not None:
            frequencies = frequencies / factors.astype(np.float64)
        factor = self.content.key("rope.scaling.factor", self.content.key("rope.scale_linear", 1.0))
        kind = self.content.key("rope.scaling.type", "linear")
        if kind == "none":
            return frequencies, 1.0
        if kind == "linear":
            return frequencies / factor, 1.0
        context = self.content.key("rope.scaling.original_context_length", self.content.key("context_length"))
        turns = [self.content.key(f"rope.scaling.yarn_beta_{end}", default) for end, default in _BETAS]
        edges = [self.head_dim * np.log(context / (t * 2 * np.pi)) / (2 * np.log(base)) for t in turns]
        low, high = max(0.0, np.floor(edges[0])), min(self.head_dim - 1.0, np.ceil(edges[1]))
        ramp = np.clip((np.arange(len(frequencies)) - low) / max(0.001, high - low), 0, 1)
        return frequencies / factor * ramp + frequencies * (1 - ramp), 1 + 0.1 * np.log(factor)

    def mlp(self, x: Array, layer: int) -> tuple[Array, Array]:
        block = f"blk.{layer}"
        h = self.before(x, f"{block}.{'attn_norm' if self.kind == 'phi2' else 'ffn_norm'}")
        up = self.linear(h, f"{block}.ffn_up")
        if self.kind == "gptneox":
            activation = up * 0.5 * (1 + erf(up / 2**0.5))
        elif self.centred:
            activation = _gelu(up)
        else:
            gate = self.linear(h, f"{block}.ffn_gate")
            function = _gelu if self.kind.startswith("gemma") else _silu
            activation = function(gate) * up
        written = self.linear(activation, f"{block}.ffn_down")
        return self.after(written, f"{block}.post_ffw_norm"), activation

    def before(self, x: Array, name: str) -> Array:
        return x if self.kind == "olmo2" else self.norm(x, name)

    def after(self, written: Array, name: str) -> Array:
        return self.norm(written, name) if f"{name}.weight" in self.content.tensors else written


_BETAS = (("fast", 32.0), ("slow", 1.0))


def _gelu(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)))


def _silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))
