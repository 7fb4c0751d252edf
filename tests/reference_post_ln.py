"""Reference for Post-LN models: their files in float64, and every component carried up through held norms.

Written from method.md, sections 2, 4 and 8; nothing here uses transformers or the code under test. Where that
folds norms into what reads, this does the opposite: each component is a vector in the residual sum, and at a
norm it is centred, weighted and divided by the scale that the whole sum has there.

1. A sum starts as the embedding. A block adds its heads and their biases, the sum is normalised; it adds its
   neurons and the bias of its MLP, the sum is normalised. Attention and the unembedding read what the last
   norm gave, the MLP what the norm after attention gave.
2. What reads through a norm gets its bias as a bias of its own. In the sum that goes on, the bias belongs to
   the biases of what was added before that norm.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

F64 = torch.float64


@dataclass(frozen=True)
class Linear:
    """weight [d_in, d_out]; bias [d_out]."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


@dataclass(frozen=True)
class Norm:
    weight: Tensor
    bias: Tensor

    def linear(self, x: Tensor) -> Tensor:
        return (x - x.mean(-1, keepdim=True)) * self.weight

    @staticmethod
    def scale(x: Tensor) -> Tensor:
        return (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()


@dataclass(frozen=True)
class Layer:
    query: Linear
    key: Linear
    value: Linear
    out: Linear
    after_attention: Norm
    up: Linear
    down: Linear
    after_mlp: Norm


@dataclass
class Parts:
    """Components of a sum at one position, [..., d_model]: those of each layer that has written."""

    embedding: Tensor
    heads: list[Tensor] = field(default_factory=list)  # [n_heads, d_model] each
    neurons: list[Tensor] = field(default_factory=list)  # [d_mlp, d_model] each
    attention_biases: list[Tensor] = field(default_factory=list)
    mlp_biases: list[Tensor] = field(default_factory=list)

    def through(self, norm: Norm, scale: Tensor | float) -> Parts:
        def carried(vectors: list[Tensor]) -> list[Tensor]:
            return [norm.linear(vector) / scale for vector in vectors]

        (embedding,) = carried([self.embedding])
        lists = (self.heads, self.neurons, self.attention_biases, self.mlp_biases)
        return Parts(embedding, *map(carried, lists))

    @property
    def sum(self) -> Tensor:
        summed = [vectors.sum(0) for vectors in (*self.heads, *self.neurons)]
        return torch.stack([self.embedding, *summed, *self.attention_biases, *self.mlp_biases]).sum(0)


@dataclass(frozen=True)
class Read:
    """What reads a sum, as parts that the norm has gone over already, and the bias that it adds itself."""

    parts: Parts
    reading: Tensor
    bias: float

    def of(self, written: Tensor) -> Tensor:
        return written @ self.reading

    @property
    def whole(self) -> float:
        return float(self.parts.sum @ self.reading) + self.bias


class PostLnReference:
    """One text on a folder's model.

    Attributes:
        patterns: by layer, [n_heads, q, k]; a: activations by layer, [pos, d_mlp]; logits: [pos, d_vocab].
    """

    def __init__(self, folder: Path, tokens: list[int]) -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self._tensors = {
            name: values.to(F64) for name, values in load_file(folder / "model.safetensors").items()
        }
        openai = config["model_type"] == "openai-gpt"
        n_layers = config["n_layer" if openai else "num_hidden_layers"]
        self.n_heads = config["n_head" if openai else "num_attention_heads"]
        self.layers = [self._openai(n) if openai else self._opt(n) for n in range(n_layers)]
        prefix = "transformer." if openai else "model.decoder."
        rows = self._tensors[f"{prefix}{'tokens_embed' if openai else 'embed_tokens'}.weight"]
        places = self._tensors[f"{prefix}{'positions_embed' if openai else 'embed_positions'}.weight"]
        into, out = (self._tensors.get(f"{prefix}project_{way}.weight") for way in ("in", "out"))
        self.unembedding = rows if out is None else rows @ out  # [d_vocab, d_model]
        embedded = rows[tokens] if into is None else rows[tokens] @ into.T
        self._act = torch.nn.functional.relu if config.get("activation_function") == "relu" else _gelu_new
        start = 0 if openai else 2  # OPT's first two rows are no positions
        self._run(embedded + places[start : start + len(tokens)])

    def _linear(self, name: str, transposed: bool) -> Linear:
        weight = self._tensors[f"{name}.weight"]
        return Linear(weight.T if transposed else weight, self._tensors[f"{name}.bias"])

    def _norm(self, name: str) -> Norm:
        return Norm(self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"])

    def _openai(self, n: int) -> Layer:
        block = f"transformer.h.{n}."
        joint = self._linear(f"{block}attn.c_attn", False)
        split = zip(joint.weight.chunk(3, 1), joint.bias.chunk(3), strict=True)
        return Layer(
            *(Linear(*part) for part in split),
            self._linear(f"{block}attn.c_proj", False),
            self._norm(f"{block}ln_1"),
            self._linear(f"{block}mlp.c_fc", False),
            self._linear(f"{block}mlp.c_proj", False),
            self._norm(f"{block}ln_2"),
        )

    def _opt(self, n: int) -> Layer:
        block = f"model.decoder.layers.{n}."
        query, key, value, out = (
            self._linear(f"{block}self_attn.{own}_proj", True) for own in ("q", "k", "v", "out")
        )
        return Layer(
            query, key, value, out,
            self._norm(f"{block}self_attn_layer_norm"),
            self._linear(f"{block}fc1", True),
            self._linear(f"{block}fc2", True),
            self._norm(f"{block}final_layer_norm"),
        )  # fmt: skip

    def _run(self, embedding: Tensor) -> None:
        self.embedding, n = embedding, len(embedding)
        self.patterns, self.values, self.a = [], [], []
        self.middle: list[Tensor] = []  # the sum after attention
        self.end: list[Tensor] = []  # the sum after the MLP
        x, mask = embedding, torch.ones(n, n, dtype=torch.bool).tril()
        for layer in self.layers:
            q, k, v = (
                part(x).unflatten(-1, (self.n_heads, -1)) for part in (layer.query, layer.key, layer.value)
            )
            scores = torch.einsum("qhd,khd->hqk", q, k) / q.shape[-1] ** 0.5
            # Both families take the softmax of what they computed; OPT in single precision.
            pattern = scores.masked_fill(~mask, -torch.inf).softmax(-1)
            z = torch.einsum("hqk,khd->qhd", pattern, v)
            self.patterns.append(pattern)
            self.values.append(v)
            self.middle.append(x + layer.out(z.flatten(1)))
            y = self._normed(layer.after_attention, self.middle[-1])
            self.a.append(self._act(layer.up(y)))
            self.end.append(y + layer.down(self.a[-1]))
            x = self._normed(layer.after_mlp, self.end[-1])
        self.logits = x @ self.unembedding.T

    @staticmethod
    def _normed(norm: Norm, x: Tensor) -> Tensor:
        return norm.linear(x) / norm.scale(x) + norm.bias

    def value_biases(self, layer: int) -> Tensor:
        """What values come to whatever is attended to, [n_heads, d_head]: their bias, and W_V times the bias
        of the norm that attention reads through."""
        own, biases = self.layers[layer], self.layers[layer].value.bias
        if layer > 0:
            biases = biases + self.layers[layer - 1].after_mlp.bias @ own.value.weight
        return biases.unflatten(0, (self.n_heads, -1))

    def at(self, position: int, n_layers: int, *, middle: bool) -> Parts:
        """The components of the sum after `n_layers` blocks, or in the middle of the next one."""
        parts = Parts(self.embedding[position])
        for number, layer in enumerate(self.layers[: n_layers + middle]):
            if number > 0:
                parts = self._go_on(parts, number - 1, position)
            biases = self.value_biases(number)
            W_O = layer.out.weight.unflatten(0, (self.n_heads, -1))
            z = torch.einsum("hk,khd->hd", self.patterns[number][:, position], self.values[number]) - biases
            parts.heads.append(torch.einsum("hd,hde->he", z, W_O))
            parts.attention_biases.append(layer.out.bias + torch.einsum("hd,hde->e", biases, W_O))
            if number == n_layers:
                break
            parts = parts.through(layer.after_attention, self._scale(self.middle[number], position))
            parts.attention_biases[-1] = parts.attention_biases[-1] + layer.after_attention.bias
            parts.neurons.append(self.a[number][position, :, None] * layer.down.weight)
            parts.mlp_biases.append(layer.down.bias)
        return parts

    def _go_on(self, parts: Parts, number: int, position: int) -> Parts:
        norm = self.layers[number].after_mlp
        parts = parts.through(norm, self._scale(self.end[number], position))
        parts.mlp_biases[-1] = parts.mlp_biases[-1] + norm.bias
        return parts

    @staticmethod
    def _scale(sums: Tensor, position: int) -> Tensor:
        return Norm.scale(sums[position])

    def neuron(self, layer: int, index: int, position: int) -> Read:
        own, sums = self.layers[layer], self.middle[layer]
        parts = self.at(position, layer, middle=True)
        reading = own.up.weight[:, index]
        bias = float(own.after_attention.bias @ reading + own.up.bias[index])
        return Read(parts.through(own.after_attention, self._scale(sums, position)), reading, bias)

    def token(self, token: int, position: int) -> Read:
        norm, n = self.layers[-1].after_mlp, len(self.layers)
        parts = self.at(position, n, middle=False)
        reading = self.unembedding[token] - self.unembedding.mean(0)
        through = parts.through(norm, self._scale(self.end[-1], position))
        return Read(through, reading, float(norm.bias @ reading))

    def congruences(self, layer: int, token: int) -> Tensor:
        """Of every neuron of a layer: its row of W_out through all norms above it, but for their scales and
        for the size of their weights (that of the last counts)."""
        written = self.layers[layer].down.weight
        for number, above in enumerate(self.layers[layer:]):
            if number > 0:
                written = _of_size_one(above.after_attention).linear(written)
            last = layer + number + 1 == len(self.layers)
            written = (above.after_mlp if last else _of_size_one(above.after_mlp)).linear(written)
        return written @ (self.unembedding[token] - self.unembedding.mean(0))

    def scales_above(self, layer: int, position: int) -> float:
        """The product of the scales of the norms between an MLP and the unembedding, each over the size of
        its weight but for the last."""
        between = [(self.end[layer], self.layers[layer].after_mlp)]
        for number in range(layer + 1, len(self.layers)):
            own = self.layers[number]
            between += [(self.middle[number], own.after_attention), (self.end[number], own.after_mlp)]
        sizes = [float(norm.weight.pow(2).mean().sqrt()) for _, norm in between[:-1]]
        scales = [float(self._scale(sums, position)) for sums, _ in between]
        return float(np.prod(scales) / np.prod(sizes))


def _of_size_one(norm: Norm) -> Norm:
    return Norm(norm.weight / norm.weight.pow(2).mean().sqrt(), norm.bias)


def _gelu_new(x: Tensor) -> Tensor:
    return torch.nn.functional.gelu(x, approximate="tanh")
