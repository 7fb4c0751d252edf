"""The matrices that read and write in a model, to be compared with another's (method.md, section 13).

1. What neurons write is what congruence takes (file_weights.py). What they read with is W_in, and W_gate of a
   gated MLP, the norm before the MLP folded in; in the raw basis as it lies.
2. Heads are given as they lie: [n, d_head, d_model] each, keys and values once a group that shares them.
3. Tensors are all those of the model by the names its files give them, without a prefix.

`FileMatrices` reads them from a family's files, by the names of `READ_NAMES`: without torch, a matrix of a
layer at a time. Other families are compared as they are loaded (loaded_matrices.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Literal, Protocol

import numpy as np

from tui_lookups.model.file_weights import FileWeights, Writes
from tui_lookups.model.named_tensors import BLOCK_NUMBERS
from tui_lookups.model.tensor_files import Floats, NotInFilesError


def row_blocks(shape: tuple[int, ...], numbers: int) -> Iterator[slice]:
    """Blocks of about so many numbers along the first axis of a tensor; none of a single number."""
    if shape:
        rows = max(1, numbers // max(1, prod(shape[1:])))
        for start in range(0, shape[0], rows):
            yield slice(start, start + rows)


HeadMatrix = Literal["W_Q", "W_K", "W_V", "W_O"]


class Matrices(Protocol):
    """What is compared of a model."""

    @property
    def writes(self) -> Writes: ...

    def reads(self, layer: int) -> list[Floats]:
        """What each neuron of a layer reads with: W_in, and W_gate of a gated MLP, [d_mlp, d_model] each."""

    def heads(self, layer: int) -> Mapping[HeadMatrix, Floats]:
        """The matrices of the heads of a layer that are known apart: [n, d_head, d_model] each."""

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Every tensor of the model, and its shape."""

    def blocks(self, name: str) -> Iterator[Floats]:
        """The values of a tensor as they lie, a block of its first axis at a time."""


@dataclass(frozen=True, slots=True)
class ReadNames:
    """How a family's files name what reads the residual stream in a block, and what heads write with.

    Attributes:
        W_in: the MLP's first module.
        norm: of the norm before the MLP; "" where there is none.
        heads_out: the module that heads write through.
        W_gate: of a gated MLP.
        queries, keys, values: modules of their own; one for all three where the others are "".
        by_head: one module gives a head's query, key and value side by side (GPT-NeoX); else all queries come
            first.
        inputs_first: matrices lie [d_in, d_out], as in GPT-2.
    """

    W_in: str
    norm: str
    heads_out: str
    W_gate: str = ""
    queries: str = "self_attn.q_proj"
    keys: str = "self_attn.k_proj"
    values: str = "self_attn.v_proj"
    by_head: bool = False
    inputs_first: bool = False


_LLAMA = ReadNames("mlp.up_proj", "post_attention_layernorm", "self_attn.o_proj", "mlp.gate_proj")
_GEMMA2 = replace(_LLAMA, norm="pre_feedforward_layernorm")
_OLMO2 = replace(_LLAMA, norm="")
_PLAIN = replace(_LLAMA, W_gate="")
_GPTJ = ReadNames(
    "mlp.fc_in", "ln_1", "attn.out_proj", queries="attn.q_proj", keys="attn.k_proj", values="attn.v_proj"
)
_GPT2 = ReadNames(
    "mlp.c_fc", "ln_2", "attn.c_proj", queries="attn.c_attn", keys="", values="", inputs_first=True
)

READ_NAMES: dict[str, ReadNames] = {
    "gpt2": _GPT2,
    "gpt_neo": ReadNames(
        "mlp.c_fc",
        "ln_2",
        "attn.attention.out_proj",
        queries="attn.attention.q_proj",
        keys="attn.attention.k_proj",
        values="attn.attention.v_proj",
    ),
    "gpt_neox": ReadNames(
        "mlp.dense_h_to_4h",
        "post_attention_layernorm",
        "attention.dense",
        queries="attention.query_key_value",
        keys="",
        values="",
        by_head=True,
    ),
    "gptj": _GPTJ,
    "openai-gpt": _GPT2,
    "opt": replace(_PLAIN, W_in="fc1", norm="final_layer_norm", heads_out="self_attn.out_proj"),
    "phi": replace(_PLAIN, W_in="mlp.fc1", norm="input_layernorm", heads_out="self_attn.dense"),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "ministral3": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "olmo": _LLAMA,
    "gemma": _LLAMA,
    "gemma2": _GEMMA2,
    "gemma3_text": _GEMMA2,
    "olmo2": _OLMO2,
    "olmo3": _OLMO2,
    "exaone4": _OLMO2,
    "apertus": replace(_PLAIN, norm="feedforward_layernorm"),
    "arcee": _PLAIN,
    "nemotron": _PLAIN,
    "cohere": replace(_LLAMA, norm="input_layernorm"),
    "cohere2": replace(_LLAMA, norm="input_layernorm"),
    "ernie4_5": _LLAMA,
    "granite": _LLAMA,
    "hunyuan_v1_dense": _LLAMA,
    "seed_oss": _LLAMA,
    "smollm3": _LLAMA,
    "starcoder2": replace(_PLAIN, W_in="mlp.c_fc"),
}
"""By the `model_type` of the configuration; the other families are compared as they are loaded."""


class FileMatrices:
    """The matrices of a model in its files. Thread-safe.

    Raises:
        NotInFilesError: a family that `READ_NAMES` does not have.
    """

    def __init__(self, writes: FileWeights) -> None:
        family = writes.info.family
        if family not in READ_NAMES:
            raise NotInFilesError(f"what {family} reads with is known once it is loaded")
        self.writes = writes
        self._names, self._tensors = READ_NAMES[family], writes.tensors
        self._shapes = {name: tensor.shape for name, tensor in self._tensors.unprefixed().items()}

    def reads(self, layer: int) -> list[Floats]:
        names, tensors = self._names, self._tensors
        folds = self.writes.basis == "folded" and names.norm and tensors.layout.norms_have_weights
        sum_norms = tensors.layout.sum_norms
        norm = names.norm if sum_norms is None else sum_norms[0]
        weight = tensors.norm_in(layer, norm) if folds else None
        matrices = []
        for module in filter(None, (names.W_in, names.W_gate)):
            rows = self._matrix(layer, module)
            if weight is not None:
                rows = rows * weight
            if self.writes.basis == "folded" and names.norm and tensors.family.norm == "LayerNorm":
                rows = rows - rows.mean(axis=1, keepdims=True)
            matrices.append(rows)
        return matrices

    def heads(self, layer: int) -> Mapping[HeadMatrix, Floats]:
        names, info = self._names, self.writes.info
        d_head, width = info.d_head, info.d_model
        out = self._matrix(layer, names.heads_out)  # [d_model, n_heads * d_head]
        matrices: dict[HeadMatrix, Floats] = {"W_O": out.T.reshape(-1, d_head, width)}
        own: tuple[HeadMatrix, ...] = ("W_Q", "W_K", "W_V")
        if names.keys:
            modules = (names.queries, names.keys, names.values)
            parts = [self._matrix(layer, module) for module in modules]
        else:
            rows = self._matrix(layer, names.queries)  # [3 * n_heads * d_head, d_model]
            shape = (-1, 3, d_head, width) if names.by_head else (3, -1, d_head, width)
            parts = list(np.moveaxis(rows.reshape(shape), 1 if names.by_head else 0, 0))
        return matrices | {
            name: part.reshape(-1, d_head, width) for name, part in zip(own, parts, strict=True)
        }

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return self._shapes

    def blocks(self, name: str) -> Iterator[Floats]:
        stored, files = self._tensors.stored_name(name), self._tensors.files
        for rows in row_blocks(self._shapes[name], BLOCK_NUMBERS):
            yield files.rows(stored, rows.start, rows.stop)

    def _matrix(self, layer: int, module: str) -> Floats:
        """A module's matrix as [d_out, d_in]."""
        rows = self._tensors.files.rows(self._tensors.in_block(layer, module))
        return rows.T if self._names.inputs_first else rows
