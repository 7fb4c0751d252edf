"""What congruence needs of a model, from its files alone: what neurons write, how a token reads.

See method.md, section 2.

No weights are folded. Reading a token is a product with its unembedding, and the final norm is algebra on it:

1. The unembedding's mean over the vocabulary is taken off (unless a soft cap on the logits makes it count).
2. The final norm's weight multiplies it, 1 + weight in Gemma's families; a LayerNorm takes its mean over the
   residual stream off, since it takes off that of whatever it reads.
3. What a neuron writes is its row of W_out, times the weight of a norm after the MLP where there is one;
   models with LayerNorm have the row centred, which changes its length and no congruence. In a Post-LN model
   the row goes through the norms above it, their scales and the size of their weights left out.

In the raw basis none of this is done. What a family multiplies everything that blocks write by, or its
logits, is in both. Matrices are multiplied block by block as they are read; none is kept.
Equal to what a loaded model gives, to rounding (tests/model/test_file_weights.py); no torch is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tui_lookups.errors import ModelLoadError, NumericalError
from tui_lookups.ids import NeuronId
from tui_lookups.model.named_tensors import BLOCK_NUMBERS, NamedTensors
from tui_lookups.model.sources import LocalModel
from tui_lookups.model.tensor_files import Floats
from tui_lookups.model.vocabulary import Vocabulary
from tui_lookups.results import Basis, ModelInfo

Ints = npt.NDArray[np.integer[Any]]

_SAME, _SAME_IN_HALF = 1e-4, 5e-2


@dataclass(frozen=True, slots=True)
class Extremes:
    """The extremes of congruences [neurons, tokens], of a block or of a whole layer.

    Attributes:
        largest, largest_ids: [neurons], s(l, i) and the token that attains it, the smaller id on ties.
        smallest, smallest_ids: [neurons], the same of the most suppressed token.
        token_largest, token_smallest: [tokens], over the neurons.
    """

    largest: Floats
    largest_ids: Ints
    smallest: Floats
    smallest_ids: Ints
    token_largest: Floats
    token_smallest: Floats


class Writes(Protocol):
    """What congruence needs of a model: its files alone (FileWeights) or the loaded one (LookupModel).

    All arrays are of one floating type and on the CPU; everything is in the basis that was asked for.
    """

    @property
    def vocabulary(self) -> Vocabulary: ...

    @property
    def info(self) -> ModelInfo: ...

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

    def write_block(self, layer: int, neurons: slice) -> Floats:
        """What neurons of a layer write that stand beside each other: [n, d_model]."""

    def unembedding(self, token_id: int) -> Floats:
        """The direction that a token reads: [d_model]."""

    def mean_unembedding(self) -> Floats:
        """The mean of those over the vocabulary: [d_model]."""

    def congruences(self, directions: Floats) -> Floats:
        """Directions [n, d_model] times the unembedding of every token: [n, d_vocab]."""

    def extremes(self, directions: Floats, tokens: slice, unused: Ints) -> Extremes:
        """The extremes of directions [n, d_model] times the unembedding of some tokens, over both axes.

        They are made where the products are. `unused`: places among `tokens` that are no tokens, and in no
        direction's extremes; their own are -inf and inf.
        """


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
        self.tensors = NamedTensors(local, config, dtype)
        self._files, self._head = self.tensors.files, self.tensors.head
        self._norm_weight, self._post_weights = self.tensors.final_norm(), self.tensors.post_norms()
        self._project_out = self.tensors.project_out()
        between = self.tensors.sum_norms() if basis == "folded" else []
        self._sum_norms = [weight / np.sqrt(np.square(weight).mean()) for weight in between]
        self.vocabulary = vocabulary.padded(self.tensors.sizes["d_vocab"])
        self.info = self.tensors.info(local, self.vocabulary.bos)
        self._d_mlp, self._d_model = self.info.d_mlp, self.info.d_model

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

    # --- what neurons write ---

    @np.errstate(over="ignore", invalid="ignore")  # said in a sentence where they are used
    def toward(self, layer: int, direction: Floats) -> Floats:
        """Every neuron's W_out times one direction: [d_mlp]."""
        name, read = self.tensors.W_out(layer), self._carried_down(layer, direction)
        if self.tensors.layout.neurons_in_rows:
            return np.concatenate([block @ read for _, block in self._files.blocks(name, BLOCK_NUMBERS)])
        congruences = np.zeros(self._d_mlp, dtype=self._files.number_type)
        for rows, block in self._files.blocks(name, BLOCK_NUMBERS):
            congruences += read[rows] @ block
        return congruences

    def lengths(self, layer: int) -> Floats:
        """The length of what each neuron writes: [d_mlp]."""
        return np.asarray(np.linalg.norm(self._writes(layer), axis=1))

    def directions(self, neurons: Sequence[NeuronId]) -> Floats:
        """What these neurons write: [n, d_model]."""
        directions = np.empty((len(neurons), self._d_model), dtype=self._files.number_type)
        for layer in sorted({neuron.layer for neuron in neurons}):
            numbers = [number for number, neuron in enumerate(neurons) if neuron.layer == layer]
            directions[numbers] = self._writes(layer, [neurons[number].index for number in numbers])
        return directions

    def write_block(self, layer: int, neurons: slice) -> Floats:
        """What neurons of a layer write that stand beside each other: [n, d_model]."""
        return self._writes(layer, range(self._d_mlp)[neurons])

    def _writes(self, layer: int, indices: Sequence[int] | None = None) -> Floats:
        """What these neurons of a layer write, by default all of them: [n, d_model]."""
        name, files = self.tensors.W_out(layer), self._files
        beside = range(self._d_mlp) if indices is None else indices
        if isinstance(beside, range):
            in_rows = self.tensors.layout.neurons_in_rows
            rows = (files.rows if in_rows else files.columns)(name, beside.start, beside.stop)
            rows = rows if in_rows else rows.T
        elif self.tensors.layout.neurons_in_rows:
            rows = np.concatenate([files.rows(name, i, i + 1) for i in beside])
        else:
            chosen = np.asarray(beside)
            rows = np.concatenate([block[:, chosen] for _, block in files.blocks(name, BLOCK_NUMBERS)]).T
        return self._as_written(layer, rows)

    def _as_written(self, layer: int, rows: Floats) -> Floats:
        """Rows of W_out [n, d_model] as the unembedding sees them. Raises NumericalError."""
        rows = self._carried_up(layer, rows)
        if self.basis == "folded" and self._is_centred:
            rows = rows - rows.mean(axis=1, keepdims=True)
        if not bool(np.isfinite(rows).all()):
            raise NumericalError.of_layer(layer)
        return rows

    def _carried_up(self, layer: int, rows: Floats) -> Floats:
        """What is written [n, d_model] by an MLP, as it stands in the last residual sum."""
        for weight in self._sum_norms[2 * layer + 1 :]:
            rows = (rows - rows.mean(axis=-1, keepdims=True)) * weight
        return self._after_mlp(layer, rows)

    def _carried_down(self, layer: int, read: Floats) -> Floats:
        """What reads what an MLP writes where `read` [d_model] reads the last residual sum."""
        for weight in reversed(self._sum_norms[2 * layer + 1 :]):
            read = read * weight
            read = read - read.mean()
        return self._after_mlp(layer, read)

    def _after_mlp(self, layer: int, values: Floats) -> Floats:
        """What is written along d_model, or read there, as what follows the MLP weights it."""
        weighted = values if self._post_weights is None else values * self._post_weights[layer]
        return weighted if self.tensors.write_scale == 1 else weighted * self.tensors.write_scale

    # --- how a token reads it ---

    def unembedding(self, token_id: int) -> Floats:
        """The direction that a token reads: [d_model]."""
        row = self._in_stream(self._files.rows(self._head, token_id, token_id + 1)[0])
        return self._as_read(row - self._mean)

    def mean_unembedding(self) -> Floats:
        """The mean of `unembedding` over the vocabulary: [d_model]."""
        if self._is_vocabulary_centred:
            return np.zeros(self._d_model, dtype=self._files.number_type)
        return self._as_read(self._vocabulary_mean)

    @np.errstate(over="ignore", invalid="ignore")  # said in a sentence where they are used
    def congruences(self, directions: Floats) -> Floats:
        """Directions times the unembedding of every token: [n, d_vocab]."""
        normed = self._before_unembedding(directions)
        read = self._into_unembedding(normed)
        congruences = np.empty((len(directions), self.info.d_vocab), dtype=self._files.number_type)
        for rows, block in self._files.blocks(self._head, BLOCK_NUMBERS):
            np.matmul(read, block.T, out=congruences[:, rows])
        congruences -= (normed @ self._mean)[:, None]
        return congruences

    @np.errstate(over="ignore", invalid="ignore")  # said in a sentence where they are used
    def extremes(self, directions: Floats, tokens: slice, unused: Ints) -> Extremes:
        """The extremes of directions times the unembedding of some tokens, over both axes."""
        block = self._in_stream(self._files.rows(self._head, tokens.start, tokens.stop))
        block -= self._mean
        congruence = self._before_unembedding(directions) @ block.T
        every = np.arange(len(congruence))
        congruence[:, unused] = np.inf
        smallest_ids, token_smallest = congruence.argmin(1), congruence.min(0)
        smallest = congruence[every, smallest_ids]
        congruence[:, unused] = -np.inf
        largest_ids, token_largest = congruence.argmax(1), congruence.max(0)
        return Extremes(
            largest=congruence[every, largest_ids],
            largest_ids=largest_ids + tokens.start,
            smallest=smallest,
            smallest_ids=smallest_ids + tokens.start,
            token_largest=token_largest,
            token_smallest=token_smallest,
        )

    def _before_unembedding(self, directions: Floats) -> Floats:
        """The algebra of `_as_read` done to the other factor, as it may be: [n, d_model]."""
        read = directions
        if self.basis == "folded":
            read = (read - read.mean(axis=1, keepdims=True) if self._is_centred else read) * self._norm_weight
        scale = self.tensors.read_scale
        return read if scale == 1 else read * scale

    def _in_stream(self, unembedding: Floats) -> Floats:
        """Rows of the unembedding as they read what the final norm gives: [..., d_model]."""
        return unembedding if self._project_out is None else unembedding @ self._project_out

    def _into_unembedding(self, normed: Floats) -> Floats:
        """What the final norm gives [n, d_model] as the unembedding is given it."""
        return normed if self._project_out is None else normed @ self._project_out.T

    def _as_read(self, unembedding: Floats) -> Floats:
        scaled = unembedding if self.tensors.read_scale == 1 else unembedding * self.tensors.read_scale
        if self.basis == "raw":
            return scaled
        weighted = scaled * self._norm_weight
        return weighted - weighted.mean() if self._is_centred else weighted

    @property
    def _is_centred(self) -> bool:
        return self.tensors.family.norm == "LayerNorm"

    @property
    def _is_vocabulary_centred(self) -> bool:
        return self.basis == "folded" and not self.tensors.is_capped

    @property
    def _mean(self) -> Floats:
        if self._is_vocabulary_centred:
            return self._vocabulary_mean
        return np.zeros(self._d_model, dtype=self._files.number_type)

    @cached_property
    @np.errstate(over="ignore", invalid="ignore")  # said in a sentence where they are used
    def _vocabulary_mean(self) -> Floats:
        total = np.zeros(self._files.matrix(self._head)[1], dtype=np.float64)
        for _, block in self._files.blocks(self._head, BLOCK_NUMBERS):
            total += np.ones(len(block), dtype=block.dtype) @ block
        if not bool(np.isfinite(total).all()):
            raise NumericalError("The unembedding has NaN or infinite weights.", "Fetch the model again.")
        return self._in_stream((total / self.info.d_vocab).astype(self._files.number_type))


def require_same_writes(files: FileWeights, model: Writes, info: ModelInfo, *, exact: bool) -> None:
    """Raise ModelLoadError when the loaded model writes or reads otherwise than its files say.

    One token's congruences in the first and the last layer, and what the model is, are compared; to 1e-4 of
    the largest congruence, in half precision (not `exact`) to 5e-2.
    """
    differing = [f.name for f in fields(ModelInfo) if getattr(files.info, f.name) != getattr(info, f.name)]
    token = info.d_vocab // 3
    for layer in {0, info.n_layers - 1} if not differing else ():
        expected = model.toward(layer, model.unembedding(token))
        from_files = files.toward(layer, files.unembedding(token))
        bound = (_SAME if exact else _SAME_IN_HALF) * float(np.abs(expected).max())
        if not float(np.abs(from_files - expected).max()) <= bound:
            differing.append(f"the congruences of layer {layer}")
    if differing:
        raise ModelLoadError(
            f"{info.name} as it is loaded differs from what its files say: {', '.join(differing)}.",
            "Its figures may be wrong, so it is refused; please report the model's name.",
        )
