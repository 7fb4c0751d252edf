"""What a scan knows so far, on the model's device: constant in size, merged batch by batch.

1. Every tensor has the asked-for layers as its first axis. The state goes to a checkpoint and comes back
   bit for bit; a finished one becomes the arrays of an index.
2. All of it but the sums is the same whatever is merged first. Rounding makes the sums depend on the
   order, so they are taken over blocks of the batch plan (batch_plan.py): batches in order within a block,
   whole blocks in order. Whoever scans a block, alone or as one of many, gets its sums bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tui_lookups.analysis.copies import Copies
from tui_lookups.analysis.reductions import LayerReduction, Piece
from tui_lookups.analysis.top_k import EMPTY, encode_keys, key_prompt_ids, key_values, merge_top_k
from tui_lookups.errors import CacheError, NumericalError
from tui_lookups.ids import NeuronId
from tui_lookups.storage.index import PARTS, NeuronRecord, layer_arrays

Array = npt.NDArray[Any]

_NEGATIVE_BINS, _POSITIVE_BINS = 8, 56
_INNER, _OUTER = 0.1, 1000.0


def histogram_edges() -> npt.NDArray[np.float32]:
    """Edges of the histogram of phi, the same for every neuron so that counts add up: [65].

    Evenly spaced in asinh(phi / 0.1) up to 1000, with an edge at 0. Few bins are negative: phi is a
    maximum, and the usual activation functions go down to about -0.2.
    """
    step = np.arcsinh(_OUTER / _INNER) / _POSITIVE_BINS
    edges = _INNER * np.sinh(step * np.arange(-_NEGATIVE_BINS, _POSITIVE_BINS + 1))
    return np.asarray(edges, np.float32)


@dataclass(frozen=True, eq=False, slots=True)
class ScanState:
    """Tensors over [n_layers, ...]; see `NeuronRecord` for what they mean.

    Attributes:
        keys, positions: [n_layers, signs, parts, d_mlp, top] int64 (top_k.py) and int32.
        sums: [n_layers, 2, d_mlp] float64, over whole blocks; open_sums: likewise, of the block under way.
        positive: [n_layers, d_mlp] int64.
        extremes: [n_layers, 2, d_mlp] float32, maximum and minimum.
        histogram: [n_layers, d_mlp, bins] int32.
        sample: [n_layers, d_mlp, sample] float32, NaN where not seen yet.
        broken: [n_layers] bool, NaN or infinite activations were seen.
    """

    keys: Tensor
    positions: Tensor
    sums: Tensor
    open_sums: Tensor
    positive: Tensor
    extremes: Tensor
    histogram: Tensor
    sample: Tensor
    broken: Tensor

    @classmethod
    def empty(
        cls, n_layers: int, d_mlp: int, *, signs: int, top: int, sample: int, device: torch.device
    ) -> ScanState:
        """Nothing seen yet."""
        extremes = torch.full((n_layers, 2, d_mlp), -torch.inf, device=device)
        extremes[:, 1] = torch.inf
        places = (n_layers, signs, len(PARTS), d_mlp, top)
        bins = _NEGATIVE_BINS + _POSITIVE_BINS
        return cls(
            keys=torch.full(places, EMPTY, dtype=torch.int64, device=device),
            positions=torch.zeros(places, dtype=torch.int32, device=device),
            sums=torch.zeros(n_layers, 2, d_mlp, dtype=torch.float64, device=device),
            open_sums=torch.zeros(n_layers, 2, d_mlp, dtype=torch.float64, device=device),
            positive=torch.zeros(n_layers, d_mlp, dtype=torch.int64, device=device),
            extremes=extremes,
            histogram=torch.zeros(n_layers, d_mlp, bins, dtype=torch.int32, device=device),
            sample=torch.full((n_layers, d_mlp, sample), torch.nan, device=device),
            broken=torch.zeros(n_layers, dtype=torch.bool, device=device),
        )

    @property
    def nbytes(self) -> int:
        """What it takes."""
        return sum(getattr(self, f.name).nbytes for f in fields(self))

    def merge(
        self,
        place: int,
        part: int,
        prompt_ids: Tensor,
        found: LayerReduction,
        sampled: tuple[Sequence[int], Sequence[int]],
        texts: Tensor | None = None,
    ) -> None:
        """Take in what was found on a batch, or a piece of one.

        Args:
            place: which layer, counted on the first axis.
            prompt_ids: [batch] int64; none may have been merged before.
            sampled: rows of the batch that belong to the sample, and their slots in it.
            texts: see `merge_top_k`.
        """
        finite = torch.isfinite(found.maxima).all() & torch.isfinite(found.minima).all()
        self.broken[place] |= ~finite
        self._merge_top(place, 0, part, prompt_ids, found.maxima, found.max_positions, texts)
        if found.min_positions is not None:
            self._merge_top(place, 1, part, prompt_ids, -found.minima, found.min_positions, texts)
        self.open_sums[place] += found.sums
        self.positive[place] += found.positive
        highest, lowest = self.extremes[place]
        torch.maximum(highest, found.maxima.amax(0), out=highest)
        torch.minimum(lowest, found.minima.amin(0), out=lowest)
        _count(self.histogram[place], found.maxima)
        rows, slots = sampled
        if rows:
            self.sample[place][:, list(slots)] = found.maxima[list(rows)].T

    def close_block(self) -> None:
        """A block of the plan ends here: its sums join those of the blocks before it."""
        self.sums.add_(self.open_sums)
        self.open_sums.zero_()

    def take_open_sums(self) -> Array:
        """The sums of the block under way, [n_layers, 2, d_mlp], which starts from nothing again."""
        taken = _to_numpy(self.open_sums)
        self.open_sums.zero_()
        return taken

    def absorb(self, other: ScanState, slots: Sequence[int], texts: Tensor | None = None) -> None:
        """Take in the state of other prompts, all but its sums, on the same device.

        Args:
            other: as this one, with as many slots or fewer in its running top k, and a sample of its own.
            slots: where each of the other's sampled prompts stands in this sample.
            texts: see `merge_top_k`.
        """
        self.broken.logical_or_(other.broken)
        self.positive.add_(other.positive)
        self.histogram.add_(other.histogram)
        torch.maximum(self.extremes[:, 0], other.extremes[:, 0], out=self.extremes[:, 0])
        torch.minimum(self.extremes[:, 1], other.extremes[:, 1], out=self.extremes[:, 1])
        for place in range(len(self.keys)):  # a layer at a time: what is sorted is copied
            mine, theirs = (
                (state.keys[place].flatten(0, -2), state.positions[place].flatten(0, -2))
                for state in (self, other)
            )
            merge_top_k(*mine, *theirs, texts)
        if slots:
            self.sample[:, :, list(slots)] = other.sample

    def _merge_top(
        self,
        place: int,
        sign: int,
        part: int,
        prompt_ids: Tensor,
        values: Tensor,
        positions: Tensor,
        texts: Tensor | None,
    ) -> None:
        keys = encode_keys(values.T, prompt_ids)  # [d_mlp, batch]
        mine = self.keys[place, sign, part], self.positions[place, sign, part]
        merge_top_k(*mine, keys, positions.T, texts)

    def require_finite(self, layers: Sequence[int]) -> None:
        """Raise NumericalError naming the first layer with NaN or infinite activations."""
        for layer, broken in zip(layers, self.broken.tolist(), strict=True):
            if broken:
                raise NumericalError.of_layer(layer)

    # --- checkpoints ---

    def to_arrays(self) -> dict[str, Array]:
        """Everything, bit for bit; on the CPU these are views."""
        return {f.name: getattr(self, f.name).cpu().numpy() for f in fields(self)}

    def load_arrays(self, arrays: Mapping[str, Array]) -> None:
        """Put what `to_arrays` gave in place of what is here. Raises CacheError when it does not fit."""
        mine = self.to_arrays()
        fits = mine.keys() == arrays.keys() and all(
            arrays[name].shape == array.shape and arrays[name].dtype == array.dtype
            for name, array in mine.items()
        )
        if not fits:
            raise CacheError("The checkpoint does not fit the scan.", "The scan starts anew.")
        for name, array in arrays.items():
            # A copy: what lies on disk is mapped read-only, and torch has no such tensors.
            getattr(self, name).copy_(torch.from_numpy(np.array(array)))

    # --- answers ---

    def index_arrays(self, place: int, *, positions: int, corpus_prompts: int) -> dict[str, Array]:
        """The block of a layer in the index (storage/index.py). `positions` scanned in all."""
        top = _top_arrays(self.keys[place].permute(2, 0, 1, 3), self.positions[place].permute(2, 0, 1, 3))
        return layer_arrays(
            *top,
            moments=_moments(self._sums(place), self.positive[place], positions),
            extremes=_to_numpy(self.extremes[place].T),
            histogram=_to_numpy(self.histogram[place]),
            sample=_to_numpy(self.sample[place]),
            corpus_prompts=corpus_prompts,
        )

    def record(
        self,
        place: int,
        neuron: NeuronId,
        *,
        signs: tuple[int, ...],
        sample_prompts: Array,
        prompts: int,
        positions: int,
        copies: Copies | None,
    ) -> NeuronRecord:
        """What is known of one neuron so far; copies, which later merges leave alone."""
        here = slice(neuron.index, neuron.index + 1)
        top = _top_arrays(self.keys[place, :, :, neuron.index], self.positions[place, :, :, neuron.index])
        extremes = self.extremes[place, :, neuron.index] if prompts else torch.zeros(2)
        return NeuronRecord(
            neuron,
            signs,
            *top,
            *_texts_and_copies(top[1], copies),
            moments=_moments(self._sums(place)[:, here], self.positive[place][here], positions)[0],
            extremes=_to_numpy(extremes),
            histogram=_to_numpy(self.histogram[place, neuron.index]),
            edges=histogram_edges(),
            sample_values=_to_numpy(self.sample[place, neuron.index]),
            sample_prompts=sample_prompts,
            prompts=prompts,
            positions=positions,
        )

    def _sums(self, place: int) -> Tensor:
        return self.sums[place] + self.open_sums[place]


@cache
def _inner_edges(device: torch.device) -> Tensor:
    return torch.from_numpy(histogram_edges()[1:-1]).to(device)


def _count(histogram: Tensor, phi: Tensor) -> None:
    """Add phi [batch, d_mlp] to the counts [d_mlp, bins] (a view of contiguous memory)."""
    bins = torch.bucketize(phi, _inner_edges(phi.device), right=True)
    bins += torch.arange(histogram.shape[0], device=phi.device) * histogram.shape[1]
    ones = torch.ones(bins.numel(), dtype=histogram.dtype, device=phi.device)
    histogram.view(-1).scatter_add_(0, bins.view(-1), ones)


def _top_arrays(keys: Tensor, positions: Tensor) -> tuple[Array, Array, Array]:
    """Values (NaN where empty), prompt ids and positions (-1 where empty)."""
    filled = keys != EMPTY
    values = torch.where(filled, key_values(keys), torch.nan)
    ids = torch.where(filled, key_prompt_ids(keys), -1)
    return _to_numpy(values), _to_numpy(ids), _to_numpy(torch.where(filled, positions, -1))


def _texts_and_copies(prompts: Array, copies: Copies | None) -> tuple[Array, Array]:
    """The text of each prompt and how many have it; the prompts themselves and 0 where copies are kept."""
    if copies is None:
        return prompts, np.zeros_like(prompts)
    texts = np.where(prompts < 0, -1, copies.originals[prompts])
    return texts, np.where(prompts < 0, 0, copies.counts[prompts])


def _moments(sums: Tensor, positive: Tensor, positions: int) -> Array:
    """Mean, variance (population) and fraction above zero: [neurons, 3]; zeros before the first batch."""
    count = max(positions, 1)
    mean, square = sums / count
    variance = (square - mean * mean).clamp(min=0.0)  # rounding can take it below
    return _to_numpy(torch.stack([mean, variance, positive.double() / count], 1))


def _to_numpy(tensor: Tensor) -> Array:
    copied: Array = tensor.detach().cpu().contiguous().numpy().copy()
    return copied


def sample_slots(sample_prompts: Array, prompt_ids: Iterable[int]) -> tuple[list[int], list[int]]:
    """Rows of a batch that belong to the (ascending) sample, and their slots in it."""
    ids = np.asarray(list(prompt_ids), np.int64)
    rows = np.flatnonzero(np.isin(ids, sample_prompts))
    return rows.tolist(), np.searchsorted(sample_prompts, ids[rows]).tolist()


@dataclass(frozen=True, eq=False, slots=True)
class TextTable:
    """The texts of prompts where a state lives, for merging (see `merge_top_k`).

    Attributes:
        table: [prompts + 1] int64, -1 in the last place.
        repeated: [prompts], whether another prompt has the same text.
    """

    table: Tensor
    repeated: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, copies: Copies, device: torch.device) -> TextTable:
        """Those of all prompts of a corpus."""
        table = torch.from_numpy(np.append(copies.originals, -1)).to(device)
        return cls(table, copies.counts > 1)

    def needed(self, prompt_ids: npt.NDArray[np.int64] | slice) -> Tensor | None:
        """The table, None where none of these prompts has the text of another one."""
        return self.table if self.repeated[prompt_ids].any() else None


@torch.inference_mode()
def merge_batch(
    state: ScanState,
    part: int,
    pieces: Sequence[Piece],
    sample: npt.NDArray[np.int64],
    texts: TextTable | None = None,
) -> None:
    """Take the reductions of a batch, all of one part of the corpus, into the state.

    Args:
        sample: the prompt ids that `state` keeps as its sample, ascending.
        texts: of one text only the best prompt is kept; None keeps all prompts.
    """
    for piece in pieces:
        on_device = torch.from_numpy(piece.prompt_ids).to(state.keys.device)
        sampled = sample_slots(sample, piece.prompt_ids)
        table = None if texts is None else texts.needed(piece.prompt_ids)
        for place, found in enumerate(piece.layers):
            state.merge(place, part, on_device, found, sampled, table)
