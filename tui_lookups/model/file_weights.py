"""What congruence needs of a model, from its files alone: what neurons write, how a token reads.

See method.md, section 2.

Nothing is folded. Reading a token is a product with its unembedding, and the final norm is algebra on it:

1. The unembedding's mean over the vocabulary is taken off (unless a soft cap on the logits makes it count).
2. The final norm's weight multiplies it, 1 + weight in Gemma's families; a LayerNorm takes its mean over the
   residual stream off, since it takes off that of whatever it reads.
3. What a neuron writes is its row of W_out, times the weight of a norm after the MLP where there is one;
   models with LayerNorm have the row centred, which changes its length and no congruence.

In the raw basis none of this is done. Matrices are multiplied block by block as they are read; none is kept.
Equal to what a loaded model gives, to rounding (tests/model/test_file_weights.py); no torch is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from tui_lookups.errors import ModelLoadError, NumericalError
from tui_lookups.ids import NeuronId
from tui_lookups.model.architecture import FAMILIES, refuse_unsupported
from tui_lookups.model.checkpoint import FLOATS, require_weights, weight_files
from tui_lookups.model.configuration import left_to_loading
from tui_lookups.model.fates import require_none_refused
from tui_lookups.model.file_layouts import LAYOUTS, PREFIXES, SIZE_KEYS, FileLayout
from tui_lookups.model.inventory import judge_files
from tui_lookups.model.sources import LocalModel
from tui_lookups.model.tensor_files import Floats, NotInFilesError, TensorFiles
from tui_lookups.model.vocabulary import Vocabulary
from tui_lookups.results import Basis, ModelInfo

_BLOCK_NUMBERS = 4_000_000
"""Numbers of a matrix that are converted at once: 16 MB in float32."""

_SAME, _SAME_IN_HALF = 1e-4, 5e-2

_CAP, _CAPPED = "final_logit_softcapping", ("gemma2", "gemma3_text")
"""The key of a soft cap on the logits, and the families that apply it."""

_TABLES = (
    ".attn.bias",
    ".attn.masked_bias",
    ".attention.bias",
    ".attention.masked_bias",
    "rotary_emb.inv_freq",
)
"""Tensors of some files that the model makes for itself: masks, rotary frequencies."""


class Writes(Protocol):
    """What congruence needs of a model: its files alone (FileWeights) or the loaded one (LookupModel).

    All arrays are of one floating type and on the CPU; everything is in the basis that was asked for.
    """

    @property
    def vocabulary(self) -> Vocabulary: ...

    @property
    def ran_on(self) -> str:
        """The device that the products are made on."""

    @property
    def d_vocab(self) -> int:
        """Rows of the unembedding."""

    def check_token(self, token_id: int) -> None:
        """Raise UnknownTokenError when the unembedding has no row for a token."""

    def toward(self, layer: int, direction: Floats) -> Floats:
        """Every neuron's W_out times a direction [d_model]: [d_mlp]."""

    def lengths(self, layer: int) -> Floats:
        """The length of what each neuron writes: [d_mlp]."""

    def directions(self, neurons: Sequence[NeuronId]) -> Floats:
        """What these neurons write: [n, d_model]."""

    def unembedding(self, token_id: int) -> Floats:
        """The direction that a token reads: [d_model]."""

    def mean_unembedding(self) -> Floats:
        """The mean of those over the vocabulary: [d_model]."""

    def congruences(self, directions: Floats) -> Floats:
        """Directions [n, d_model] times the unembedding of every token: [n, d_vocab]."""


class FileWeights:
    """A model's writes and unembedding, out of its safetensors files. Thread-safe.

    Args:
        config: of config.json.
        vocabulary: of the same folder.
        dtype: of the settings: what the values are rounded to before anything is computed with them.
    Raises:
        NotInFilesError: another family, kind of file or number format than can be read here, or a tensor or
            key whose part in the model only loading it decides.
        LookupsError: damaged files; a model without MLP neurons; files that are refused by name.
    """

    def __init__(
        self, local: LocalModel, config: dict[str, Any], vocabulary: Vocabulary, dtype: str, basis: Basis
    ) -> None:
        self.basis: Basis = basis
        self._config = config
        family = str(config.get("model_type", ""))
        if family not in LAYOUTS:
            raise NotInFilesError(f"{family or 'this family'} is read by loading it")
        refuse_unsupported(config, local.name)
        key = left_to_loading(config)
        if key is None and config.get(_CAP) and family not in _CAPPED:
            key = _CAP
        if key is not None:
            raise NotInFilesError(f"its configuration has {key}")
        self._family = FAMILIES[family]
        self._layout: FileLayout = LAYOUTS[family]
        width = config.get("hidden_size")
        if family == "opt" and config.get("word_embed_proj_dim", width) != width:
            raise NotInFilesError("its embedding is projected")
        require_weights(local.folder)
        require_none_refused(judge_files(local.folder), local.name)
        self._files = TensorFiles(weight_files(local.folder), dtype)
        self._prefix = self._find_prefix()
        self._head = self._find_head()
        sizes = self._sizes()
        self._d_mlp, self._d_model = sizes["d_mlp"], sizes["d_model"]
        self._norm_weight = self._norm(self._layout.final_norm)
        post = self._layout.post_norm
        blocks = [self._layout.block.format(layer) for layer in range(sizes["n_layers"])]
        self._post_weights = None if post is None else [self._norm(block + post) for block in blocks]
        self._require_expected(sizes["n_layers"])
        self.vocabulary = vocabulary.padded(sizes["d_vocab"])
        self.info = self._info(local, sizes)

    @property
    def d_vocab(self) -> int:
        """Rows of the unembedding."""
        return self.info.d_vocab

    def check_token(self, token_id: int) -> None:
        """Raise UnknownTokenError when the unembedding has no row for a token."""
        self.info.check_token(self.vocabulary.token(token_id))

    @property
    def ran_on(self) -> str:
        """NumPy's products are made on the processor."""
        return "cpu"

    def require_unchanged(self) -> None:
        """Raise ModelLoadError when the files changed since they were opened."""
        self._files.require_unchanged()

    def _info(self, local: LocalModel, sizes: dict[str, int]) -> ModelInfo:
        """What the model is, as loading it would say."""
        own_layer, gated = self._family.own_layer, self._family.gated
        assert gated is not None  # the configuration decides in no family that has a layout
        return ModelInfo(
            name=local.name,
            source=local.source,
            fingerprint=local.fingerprint,
            family=str(self._config["model_type"]),
            n_layers=sizes["n_layers"],
            n_heads=sizes["n_heads"],
            d_model=sizes["d_model"],
            d_head=int(self._config.get("head_dim") or sizes["d_model"] // sizes["n_heads"]),
            d_mlp=sizes["d_mlp"],
            d_vocab=sizes["d_vocab"],
            n_ctx=sizes["n_ctx"],
            parameters=sum(
                tensor.numbers for key, tensor in self._files.tensors.items() if not key.endswith(_TABLES)
            ),
            gated=gated,
            own_layer=not self._config.get("use_parallel_residual", True) if own_layer is None else own_layer,
            bos=self.vocabulary.bos,
        )

    # --- what neurons write ---

    @np.errstate(over="ignore", invalid="ignore")  # said in a sentence where they are used
    def toward(self, layer: int, direction: Floats) -> Floats:
        """Every neuron's W_out times one direction: [d_mlp]."""
        name, read = self._W_out(layer), self._after_mlp(layer, direction)
        if self._layout.neurons_in_rows:
            return np.concatenate([block @ read for _, block in self._files.blocks(name, _BLOCK_NUMBERS)])
        found = np.zeros(self._d_mlp, dtype=self._files.number_type)
        for rows, block in self._files.blocks(name, _BLOCK_NUMBERS):
            found += read[rows] @ block
        return found

    def lengths(self, layer: int) -> Floats:
        """The length of what each neuron writes: [d_mlp]."""
        return np.asarray(np.linalg.norm(self._writes(layer), axis=1))

    def directions(self, neurons: Sequence[NeuronId]) -> Floats:
        """What these neurons write: [n, d_model]."""
        found = np.empty((len(neurons), self._d_model), dtype=self._files.number_type)
        for layer in sorted({neuron.layer for neuron in neurons}):
            places = [place for place, neuron in enumerate(neurons) if neuron.layer == layer]
            found[places] = self._writes(layer, [neurons[place].index for place in places])
        return found

    def _writes(self, layer: int, indices: Sequence[int] | None = None) -> Floats:
        """What these neurons of a layer write, by default all of them: [n, d_model]."""
        name = self._W_out(layer)
        if indices is None:
            rows = self._files.rows(name) if self._layout.neurons_in_rows else self._files.rows(name).T
        elif self._layout.neurons_in_rows:
            rows = np.concatenate([self._files.rows(name, i, i + 1) for i in indices])
        else:
            chosen = np.asarray(indices)
            blocks = self._files.blocks(name, _BLOCK_NUMBERS)
            rows = np.concatenate([block[:, chosen] for _, block in blocks]).T
        rows = self._after_mlp(layer, rows)
        if self.basis == "folded" and self._is_centred:
            rows = rows - rows.mean(axis=1, keepdims=True)
        if not bool(np.isfinite(rows).all()):
            raise NumericalError.of_layer(layer)
        return rows

    def _after_mlp(self, layer: int, values: Floats) -> Floats:
        """What is written along d_model, or read there, as the norm after the MLP weights it."""
        return values if self._post_weights is None else values * self._post_weights[layer]

    # --- how a token reads it ---

    def unembedding(self, token_id: int) -> Floats:
        """The direction that a token reads: [d_model]."""
        return self._as_read(self._files.rows(self._head, token_id, token_id + 1)[0] - self._mean)

    def mean_unembedding(self) -> Floats:
        """The mean of `unembedding` over the vocabulary: [d_model]."""
        if self._is_vocabulary_centred:
            return np.zeros(self._d_model, dtype=self._files.number_type)
        return self._as_read(self._vocabulary_mean)

    @np.errstate(over="ignore", invalid="ignore")  # said in a sentence where they are used
    def congruences(self, directions: Floats) -> Floats:
        """Directions times the unembedding of every token: [n, d_vocab]."""
        read = directions
        if self.basis == "folded":
            # The algebra of `_as_read` is symmetric: it may as well be done to the other factor.
            read = (read - read.mean(axis=1, keepdims=True) if self._is_centred else read) * self._norm_weight
        found = np.empty((len(directions), self.info.d_vocab), dtype=self._files.number_type)
        for rows, block in self._files.blocks(self._head, _BLOCK_NUMBERS):
            np.matmul(read, block.T, out=found[:, rows])
        found -= (read @ self._mean)[:, None]
        return found

    def _as_read(self, unembedding: Floats) -> Floats:
        if self.basis == "raw":
            return unembedding
        weighted = unembedding * self._norm_weight
        return weighted - weighted.mean() if self._is_centred else weighted

    @property
    def _is_centred(self) -> bool:
        return self._family.norm == "LayerNorm"

    @property
    def _is_vocabulary_centred(self) -> bool:
        return self.basis == "folded" and not self._config.get(_CAP)

    @property
    def _mean(self) -> Floats:
        if self._is_vocabulary_centred:
            return self._vocabulary_mean
        return np.zeros(self._d_model, dtype=self._files.number_type)

    @cached_property
    @np.errstate(over="ignore", invalid="ignore")  # said in a sentence where they are used
    def _vocabulary_mean(self) -> Floats:
        total = np.zeros(self._d_model, dtype=np.float64)
        for _, block in self._files.blocks(self._head, _BLOCK_NUMBERS):
            total += np.ones(len(block), dtype=block.dtype) @ block
        if not bool(np.isfinite(total).all()):
            raise NumericalError("The unembedding has NaN or infinite weights.", "Fetch the model again.")
        return (total / self.info.d_vocab).astype(self._files.number_type)

    # --- names and sizes ---

    def _find_prefix(self) -> str:
        first = f"{self._layout.block.format(0)}{self._layout.W_out}.weight"
        for prefix in PREFIXES:
            if f"{prefix}{first}" in self._files.tensors:
                return prefix
        raise NotInFilesError(f"it has no tensor named like {first}")

    def _require_expected(self, n_layers: int) -> None:
        attention_bias = bool(self._config.get("attention_bias"))
        for name, tensor in self._files.tensors.items():
            if name.endswith(_TABLES):
                continue
            if not self._layout.expects(name, self._prefix, n_layers, attention_bias=attention_bias):
                raise NotInFilesError(f"its files hold {name}")
            if tensor.stored not in FLOATS:
                raise NotInFilesError(f"{name} is stored as {tensor.stored}")

    def _find_head(self) -> str:
        own = f"{self._layout.head}.weight"
        is_tied = bool(self._config.get("tie_word_embeddings", self._layout.tied))
        if is_tied == (own in self._files.tensors):
            # transformers ties a head of the same values, and leaves one of other values as it is.
            raise NotInFilesError(
                f"its embedding is tied, and there is {own}" if is_tied else f"it has no {own}"
            )
        return self._named(self._layout.embedding) if is_tied else own

    def _named(self, module: str) -> str:
        name = f"{self._prefix}{module}.weight"
        if name not in self._files.tensors:
            raise NotInFilesError(f"it has no {name}")
        return name

    def _W_out(self, layer: int) -> str:
        return self._named(f"{self._layout.block.format(layer)}{self._layout.W_out}")

    def _norm(self, module: str) -> Floats:
        if not self._layout.norms_have_weights:
            return np.ones(self._d_model, dtype=self._files.number_type)
        weight = self._files.rows(self._named(module))
        if weight.shape != (self._d_model,):
            raise NotInFilesError(f"{module} has another width")
        return weight + 1 if self._layout.norm_adds_one else weight

    def _sizes(self) -> dict[str, int]:
        sizes = {}
        for size, keys in SIZE_KEYS.items():
            given = [self._config[key] for key in keys if self._config.get(key) is not None]
            if not given or type(given[0]) is not int:
                raise NotInFilesError(f"its configuration does not give {keys[0]}")
            sizes[size] = given[0]
        sizes["n_ctx"] = self._context_length(sizes["n_ctx"])
        sizes["d_vocab"], sizes["d_model"] = self._files.matrix(self._head)
        for layer in range(sizes["n_layers"]):
            shape = self._files.matrix(self._W_out(layer))
            d_mlp, d_model = shape if self._layout.neurons_in_rows else shape[::-1]
            if d_model != sizes["d_model"] or d_mlp != sizes.setdefault("d_mlp", d_mlp):
                raise NotInFilesError(f"layer {layer} has another width")
        return sizes

    def _context_length(self, n_ctx: int) -> int:
        """How many tokens a text may have: loading.py says why longrope ends it."""
        rotary = self._config.get("rope_scaling") or self._config.get("rope_parameters") or {}
        if not isinstance(rotary, dict) or "longrope" not in (rotary.get("rope_type"), rotary.get("type")):
            return n_ctx
        original = rotary.get("original_max_position_embeddings")
        if type(original) is not int:
            raise NotInFilesError(
                "its rotary embedding changes at a length that its configuration does not give"
            )
        return min(n_ctx, original)


def require_same_writes(files: FileWeights, model: Writes, info: ModelInfo, *, exact: bool) -> None:
    """Raise ModelLoadError when the loaded model writes or reads otherwise than its files say.

    One token's congruences in the first and the last layer, and what the model is, are compared; to 1e-4 of
    the largest congruence, in half precision (not `exact`), whose weights are rounded once folded, to 5e-2.
    """
    differing = [f.name for f in fields(ModelInfo) if getattr(files.info, f.name) != getattr(info, f.name)]
    token = info.d_vocab // 3
    for layer in {0, info.n_layers - 1} if not differing else ():
        expected = model.toward(layer, model.unembedding(token))
        found = files.toward(layer, files.unembedding(token))
        bound = (_SAME if exact else _SAME_IN_HALF) * float(np.abs(expected).max())
        if not float(np.abs(found - expected).max()) <= bound:
            differing.append(f"the congruences of layer {layer}")
    if differing:
        raise ModelLoadError(
            f"{info.name} as it is loaded differs from what its files say: {', '.join(differing)}.",
            "Its figures may be wrong, so it is refused; please report the model's name.",
        )
