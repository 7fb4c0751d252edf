"""References for GPT-2 and Llama written from their published equations: NumPy float64, raw safetensors.

No torch, no transformers, no TransformerLens, no code under test. Weights are folded by hand
(method.md, section 1):

1. LayerNorm: (x - mean) / sigma * w + b. The weight goes into the rows of the next matrix, the bias through
   that matrix into its bias. RMSNorm: x / sigma * w, no mean and no bias.
2. Writing weights lose their mean over d_model (LayerNorm models only): the next norm would take it out.
3. The unembedding takes the final norm's weight and loses its mean over the vocabulary.
4. A value bias reaches the output whatever is attended to, since attention probabilities sum to 1: it moves
   into the attention output bias.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

Array = np.ndarray


@dataclass(frozen=True)
class RawParts:
    """Direct contributions to what one direction [d_model] reads at one position, norm scale held."""

    heads: Array  # [n_reaching_layers, n_heads]
    mlps: Array  # [n_earlier_layers]
    embedding: float
    attention_biases: float
    bias: float
    sources: Array  # [n_reaching_layers, n_heads, positions]
    pre: float


@dataclass(frozen=True)
class Block:
    """What one block computed on a text: everything [positions, ...]."""

    pattern: Array  # [n_heads, q, k]
    values: Array  # [n_heads, k, d_head], without value biases
    mlp_input_scale: Array  # [positions, 1]
    mlp_out: Array  # [positions, d_model]
    read: tuple[Array, ...]  # pre-activations, or gate and up: [positions, d_mlp]
    activation: Array  # [positions, d_mlp]


def load(folder: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    weights = {
        name: values.astype(np.float64) for name, values in load_file(folder / "model.safetensors").items()
    }
    return weights, json.loads((folder / "config.json").read_text(encoding="utf-8"))


def centred(x: Array, axis: int = -1) -> Array:
    return x - x.mean(axis, keepdims=True)


def softmax(x: Array) -> Array:
    exponentials = np.exp(x - x.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def causal_pattern(queries: Array, keys: Array) -> Array:
    """[n_heads, positions, d_head] twice -> [n_heads, q, k]."""
    scores = queries @ keys.transpose(0, 2, 1) / np.sqrt(queries.shape[-1])
    n = scores.shape[-1]
    return softmax(np.where(np.tril(np.ones((n, n), dtype=bool)), scores, -np.inf))


class RawGPT2:
    """GPT-2 with folded weights, from its safetensors."""

    def __init__(self, folder: Path) -> None:
        raw, self.config = load(folder)
        self.raw = {name.removeprefix("transformer."): values for name, values in raw.items()}
        self.n_layers, self.n_heads = int(self.config["n_layer"]), int(self.config["n_head"])
        self.eps = float(self.config["layer_norm_epsilon"])

    def W_in(self, layer: int) -> Array:
        """[d_model, d_mlp], ln_2 folded in."""
        return centred(self._of(layer, "ln_2.weight")[:, None] * self._of(layer, "mlp.c_fc.weight"), axis=0)

    def b_in(self, layer: int) -> Array:
        return self._of(layer, "mlp.c_fc.bias") + self._of(layer, "ln_2.bias") @ self._of(
            layer, "mlp.c_fc.weight"
        )

    def W_out(self, layer: int) -> Array:
        """[d_mlp, d_model], centred."""
        return centred(self._of(layer, "mlp.c_proj.weight"))

    def W_O(self, layer: int) -> Array:
        """[n_heads, d_head, d_model], centred."""
        weight = self._of(layer, "attn.c_proj.weight")
        return centred(weight).reshape(self.n_heads, -1, weight.shape[1])

    def W_U(self) -> Array:
        """[d_model, d_vocab], ln_f folded in, centred."""
        unembedding = self.raw.get("lm_head.weight", self.raw["wte.weight"])
        return centred(self.raw["ln_f.weight"][:, None] * unembedding.T)

    def congruence(self, layer: int) -> Array:
        """[d_mlp, d_vocab]."""
        return self.W_out(layer) @ self.W_U()

    def raw_congruence(self, layer: int) -> Array:
        """[d_mlp, d_vocab] in the raw basis."""
        unembedding = self.raw.get("lm_head.weight", self.raw["wte.weight"])
        return self._of(layer, "mlp.c_proj.weight") @ unembedding.T

    def run(self, tokens: list[int]) -> tuple[Array, list[Block]]:
        """(embedding, blocks): a forward pass in folded weights."""
        embedding = centred(self.raw["wte.weight"])[tokens] + centred(self.raw["wpe.weight"])[: len(tokens)]
        x, blocks = embedding, []
        for layer in range(self.n_layers):
            w1, b1 = self._of(layer, "ln_1.weight"), self._of(layer, "ln_1.bias")
            W, b = self._of(layer, "attn.c_attn.weight"), self._of(layer, "attn.c_attn.bias")
            normed = x / self._scale(x)
            qkv = normed @ (w1[:, None] * W)
            with_bias = qkv + (b + b1 @ W)
            width = x.shape[1]
            q, k = (self._by_head(with_bias[:, i * width : (i + 1) * width]) for i in (0, 1))
            values = self._by_head(qkv[:, 2 * width :])
            pattern = causal_pattern(q, k)
            z = pattern @ values
            x = x + np.einsum("hqd,hdm->qm", z, self.W_O(layer), optimize=True) + self.b_O(layer)
            scale = self._scale(x)
            pre = x / scale @ self.W_in(layer) + self.b_in(layer)
            activation = 0.5 * pre * (1 + np.tanh(np.sqrt(2 / np.pi) * (pre + 0.044715 * pre * pre * pre)))
            mlp_out = activation @ self.W_out(layer) + centred(self._of(layer, "mlp.c_proj.bias"))
            blocks.append(Block(pattern, values, scale, mlp_out, (pre,), activation))
            x = x + mlp_out
        return embedding, blocks

    def b_O(self, layer: int) -> Array:
        """Attention output bias with value biases and ln_1's bias through W_V in it."""
        W, b = self._of(layer, "attn.c_attn.weight"), self._of(layer, "attn.c_attn.bias")
        width = W.shape[0]
        value_bias = b[2 * width :] + self._of(layer, "ln_1.bias") @ W[:, 2 * width :]
        output = self._of(layer, "attn.c_proj.bias") + value_bias @ self._of(layer, "attn.c_proj.weight")
        return centred(output)

    def parts(self, tokens: list[int], position: int, layer: int, index: int) -> RawParts:
        """Contributions to the pre-activation of one neuron."""
        embedding, blocks = self.run(tokens)
        sigma = float(blocks[layer].mlp_input_scale[position, 0])
        direction = self.W_in(layer)[:, index] / sigma
        return RawParts(
            **_attention(blocks, position, [self.W_O(k) @ direction for k in range(layer + 1)]),
            mlps=np.array([blocks[k].mlp_out[position] @ direction for k in range(layer)]),
            embedding=float(embedding[position] @ direction),
            attention_biases=float(sum(self.b_O(k) @ direction for k in range(layer + 1))),
            bias=float(self.b_in(layer)[index]),
            pre=float(blocks[layer].read[0][position, index]),
        )

    def _of(self, layer: int, name: str) -> Array:
        return self.raw[f"h.{layer}.{name}"]

    def _by_head(self, x: Array) -> Array:
        return x.reshape(len(x), self.n_heads, -1).transpose(1, 0, 2)

    def _scale(self, x: Array) -> Array:
        return np.sqrt((centred(x) ** 2).mean(-1, keepdims=True) + self.eps)


class RawLlama:
    """Llama with folded weights, from its safetensors: RMSNorm, rotary positions, shared key/value heads."""

    def __init__(self, folder: Path) -> None:
        raw, self.config = load(folder)
        self.raw = {name.removeprefix("model."): values for name, values in raw.items()}
        self.n_layers = int(self.config["num_hidden_layers"])
        self.n_heads, self.n_kv = (
            int(self.config["num_attention_heads"]),
            int(self.config["num_key_value_heads"]),
        )
        self.eps = float(self.config["rms_norm_eps"])
        rope = self.config.get("rope_parameters") or self.config
        self.theta = float(rope["rope_theta"])

    def W_gate(self, layer: int) -> Array:
        return self._folded(layer, "mlp.gate_proj", "post_attention_layernorm")

    def W_in(self, layer: int) -> Array:
        return self._folded(layer, "mlp.up_proj", "post_attention_layernorm")

    def W_out(self, layer: int) -> Array:
        return self._of(layer, "mlp.down_proj.weight").T

    def W_O(self, layer: int) -> Array:
        weight = self._of(layer, "self_attn.o_proj.weight").T
        return weight.reshape(self.n_heads, -1, weight.shape[1])

    def W_U(self) -> Array:
        """[d_model, d_vocab]: the final norm's weight folded in, centred over the vocabulary."""
        unembedding = self.raw.get("lm_head.weight", self.raw["embed_tokens.weight"])
        return centred(self.raw["norm.weight"][:, None] * unembedding.T)

    def congruence(self, layer: int) -> Array:
        return self.W_out(layer) @ self.W_U()

    def run(self, tokens: list[int]) -> tuple[Array, list[Block]]:
        embedding = self.raw["embed_tokens.weight"][tokens]
        x, blocks = embedding, []
        for layer in range(self.n_layers):
            normed = x / self._scale(x)
            q = self._rotated(
                self._by_head(normed @ self._folded(layer, "self_attn.q_proj", "input_layernorm"))
            )
            k = self._rotated(
                self._by_head(normed @ self._folded(layer, "self_attn.k_proj", "input_layernorm"))
            )
            v = self._by_head(normed @ self._folded(layer, "self_attn.v_proj", "input_layernorm"))
            shared = self.n_heads // self.n_kv
            values = np.repeat(v, shared, axis=0)
            pattern = causal_pattern(q, np.repeat(k, shared, axis=0))
            x = x + np.einsum("hqd,hdm->qm", pattern @ values, self.W_O(layer))
            scale = self._scale(x)
            g, u = x / scale @ self.W_gate(layer), x / scale @ self.W_in(layer)
            activation = g / (1 + np.exp(-g)) * u
            mlp_out = activation @ self.W_out(layer)
            blocks.append(Block(pattern, values, scale, mlp_out, (g, u), activation))
            x = x + mlp_out
        return embedding, blocks

    def parts(self, tokens: list[int], position: int, layer: int, index: int) -> tuple[RawParts, RawParts]:
        """Contributions to g and to u of one neuron."""
        embedding, blocks = self.run(tokens)
        sigma = float(blocks[layer].mlp_input_scale[position, 0])
        found = []
        for place, weight in enumerate((self.W_gate(layer), self.W_in(layer))):
            direction = weight[:, index] / sigma
            found.append(
                RawParts(
                    **_attention(blocks, position, [self.W_O(k) @ direction for k in range(layer + 1)]),
                    mlps=np.array([blocks[k].mlp_out[position] @ direction for k in range(layer)]),
                    embedding=float(embedding[position] @ direction),
                    attention_biases=0.0,
                    bias=0.0,
                    pre=float(blocks[layer].read[place][position, index]),
                )
            )
        return found[0], found[1]

    def _of(self, layer: int, name: str) -> Array:
        return self.raw[f"layers.{layer}.{name}"]

    def _folded(self, layer: int, name: str, norm: str) -> Array:
        return self._of(layer, f"{norm}.weight")[:, None] * self._of(layer, f"{name}.weight").T

    def _by_head(self, x: Array) -> Array:
        d_head = self.raw["layers.0.self_attn.q_proj.weight"].shape[0] // self.n_heads
        return x.reshape(len(x), -1, d_head).transpose(1, 0, 2)

    def _rotated(self, x: Array) -> Array:
        """Rotary positions: halves of each head form the pairs that turn."""
        half = x.shape[-1] // 2
        angles = np.arange(x.shape[1])[:, None] * self.theta ** (-np.arange(half) / half)
        cos, sin = np.cos(angles), np.sin(angles)
        first, second = x[..., :half], x[..., half:]
        return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)

    def _scale(self, x: Array) -> Array:
        return np.sqrt((x**2).mean(-1, keepdims=True) + self.eps)


def _attention(blocks: list[Block], position: int, projected: list[Array]) -> dict[str, Array]:
    """Heads and their sources, given W_O @ direction [n_heads, d_head] for each reaching layer."""
    sources = [
        blocks[layer].pattern[:, position, : position + 1]
        * np.einsum("hkd,hd->hk", blocks[layer].values[:, : position + 1], w)
        for layer, w in enumerate(projected)
    ]
    return {"sources": np.stack(sources), "heads": np.stack(sources).sum(-1)}
