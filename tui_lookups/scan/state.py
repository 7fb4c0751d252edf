"""What a scan knows so far, on the model's device: constant in size, merged batch by batch.

1. Every tensor has the asked-for layers as its first axis. The state goes to a checkpoint and comes back
   bit for bit; a finished one becomes the arrays of an index.
2. A batch is merged for as many layers at once as `_AT_ONCE` allows, with all signs, so that an accelerator
   is given few operations: about 20 for these layers, 33 where texts repeat. What is sorted is copied, some
   100 bytes a value: 200 MB beside the state, or what one layer takes where that is more.
3. All of it but the sums is the same whatever is merged first. Rounding makes the sums depend on the
   order, so they are taken over blocks of the batch plan (plan.py): batches in order within a block,
   whole blocks in order. Whoever scans a block, alone or as one of many, gets its sums bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tui_lookups.errors import CacheError, NumericalError
from tui_lookups.ids import NeuronId
from tui_lookups.scan.copies import Copies
from tui_lookups.scan.reductions import Piece, to_device
from tui_lookups.scan.top_k import (
    EMPTY,
    encode_keys,
    key_prompt_ids,
    key_values,
    merge_top_k,
    rows_to_merge,
)
from tui_lookups.storage.index import PARTS, layer_arrays
from tui_lookups.storage.neuron_record import NeuronRecord

Array = npt.NDArray[Any]

_NEGATIVE_BINS, _POSITIVE_BINS = 8, 56
_INNER, _OUTER = 0.1, 1000.0

_AT_ONCE = 1 << 21
"""Values, of all signs, that are merged at once."""


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
        extremes: [n_layers, 2, d_mlp] float32, maximum and minimum; NaN or infinite where an activation was.
        histogram: [n_layers, d_mlp, bins] int32.
        sample: [n_layers, d_mlp, sample] float32, NaN where not seen yet.
    """

    keys: Tensor
    positions: Tensor
    sums: Tensor
    open_sums: Tensor
    positive: Tensor
    extremes: Tensor
    histogram: Tensor
    sample: Tensor

    @classmethod
    def empty(
        cls, n_layers: int, d_mlp: int, *, signs: int, top: int, sample: int, device: torch.device
    ) -> ScanState:
        """Nothing seen yet."""
        extremes = torch.full((n_layers, 2, d_mlp), -torch.inf, device=device)
        extremes[:, 1] = torch.inf
        slots = (n_layers, signs, len(PARTS), d_mlp, top)
        bins = _NEGATIVE_BINS + _POSITIVE_BINS
        return cls(
            keys=torch.full(slots, EMPTY, dtype=torch.int64, device=device),
            positions=torch.zeros(slots, dtype=torch.int32, device=device),
            sums=torch.zeros(n_layers, 2, d_mlp, dtype=torch.float64, device=device),
            open_sums=torch.zeros(n_layers, 2, d_mlp, dtype=torch.float64, device=device),
            positive=torch.zeros(n_layers, d_mlp, dtype=torch.int64, device=device),
            extremes=extremes,
            histogram=torch.zeros(n_layers, d_mlp, bins, dtype=torch.int32, device=device),
            sample=torch.full((n_layers, d_mlp, sample), torch.nan, device=device),
        )

    @property
    def nbytes(self) -> int:
        """What it takes."""
        return sum(getattr(self, f.name).nbytes for f in fields(self))

    def floors(self, part: int) -> Tensor | None:
        """What a value of a part must reach to enter each running top k: [n_layers, signs, d_mlp] float32.

        It only rises while more is merged. None where looking would make the host wait for the device.
        """
        if self.keys.device.type != "cpu":
            return None
        last = self.keys[:, :, part, :, -1]
        return torch.where(last == EMPTY, -torch.inf, key_values(last))

    def merge(
        self, part: int, piece: Piece, sample: npt.NDArray[np.int64], texts: Tensor | None = None
    ) -> None:
        """Take in what was found on a batch, or a piece of one, all of one part of the corpus.

        Args:
            piece: none of its prompts may have been merged before.
            sample: the prompt ids of the sample, ascending.
            texts: see `merge_top_k`.
        """
        found, device = piece.found, self.keys.device
        ids = to_device(torch.from_numpy(piece.prompt_ids), device)
        edges = to_device(torch.from_numpy(histogram_edges()[1:-1]), device)
        best = found.values.amax(2)
        for layers in _blocks(found.values.shape):
            keys, positions = self.keys[layers, :, part], self.positions[layers, :, part]
            values, positions_found = found.values[layers].mT, found.positions[layers].mT
            rows = rows_to_merge(keys, best[layers])
            new_keys = encode_keys(values[rows], ids)
            keys[rows], positions[rows] = merge_top_k(
                keys[rows], positions[rows], new_keys, positions_found[rows], texts
            )
            _count(self.histogram[layers], found.values[layers, 0], edges)
        self.open_sums.add_(found.sums)
        self.positive.add_(found.positive)
        self._widen(best[:, 0], found.lowest)
        where = np.flatnonzero(np.isin(piece.prompt_ids, sample))
        if len(where):
            slots = np.searchsorted(sample, piece.prompt_ids[where])
            at, to = (to_device(torch.from_numpy(indices), device) for indices in (where, slots))
            self.sample.index_copy_(2, to, found.values[:, 0].index_select(1, at).mT)

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
        self.positive.add_(other.positive)
        self.histogram.add_(other.histogram)
        self._widen(*other.extremes.unbind(1))
        for slot in range(len(self.keys)):  # a layer at a time: what is sorted is copied
            keys, positions, new_keys, new_positions = (
                tensor[slot] for tensor in (self.keys, self.positions, other.keys, other.positions)
            )
            rows = rows_to_merge(keys, key_values(new_keys[..., 0]))
            keys[rows], positions[rows] = merge_top_k(
                keys[rows], positions[rows], new_keys[rows], new_positions[rows], texts
            )
        if slots:
            self.sample[:, :, list(slots)] = other.sample

    def _widen(self, highest: Tensor, lowest: Tensor) -> None:
        """Let the extremes reach to these, [n_layers, d_mlp] each; NaN stays NaN."""
        torch.maximum(self.extremes[:, 0], highest, out=self.extremes[:, 0])
        torch.minimum(self.extremes[:, 1], lowest, out=self.extremes[:, 1])

    def require_finite(self, layers: Sequence[int]) -> None:
        """Raise NumericalError naming the first layer with NaN or infinite activations."""
        highest, lowest = self.extremes.unbind(1)
        finite = ((highest < torch.inf) & (lowest > -torch.inf)).all(1)  # false of NaN as well
        for layer, sound in zip(layers, finite.tolist(), strict=True):
            if not sound:
                raise NumericalError.of_layer(layer)

    # --- checkpoints ---

    def to_arrays(self) -> dict[str, Array]:
        """Everything, bit for bit; on the CPU these are views."""
        return {f.name: getattr(self, f.name).cpu().numpy() for f in fields(self)}

    def load_arrays(self, arrays: Mapping[str, Array]) -> None:
        """Put what `to_arrays` gave in place of what is here. Raises CacheError when it does not fit."""
        mine = self.to_arrays()
        # Earlier versions kept `broken` as well, which the extremes tell.
        fits = mine.keys() == arrays.keys() - {"broken"} and all(
            arrays[name].shape == array.shape and arrays[name].dtype == array.dtype
            for name, array in mine.items()
        )
        if not fits:
            raise CacheError("The checkpoint does not fit the scan.", "The scan starts anew.")
        for name in mine:
            # A copy: what lies on disk is mapped read-only, and torch has no such tensors.
            getattr(self, name).copy_(torch.from_numpy(np.array(arrays[name])))

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


def _count(histogram: Tensor, phi: Tensor, edges: Tensor) -> None:
    """Add phi [n_layers, batch, d_mlp] to the counts [n_layers, d_mlp, bins], contiguous in memory.

    `edges` [bins - 1] are those between two bins.
    """
    n_layers, d_mlp, bins = histogram.shape
    firsts = torch.arange(0, histogram.numel(), bins, device=phi.device).view(n_layers, 1, d_mlp)
    which = torch.bucketize(phi.contiguous(), edges, right=True).add_(firsts).view(-1)
    one = torch.ones((), dtype=histogram.dtype, device=phi.device)
    histogram.view(-1).scatter_add_(0, which, one.expand(which.shape))


def _blocks(shape: torch.Size) -> Iterator[slice]:
    """Runs of layers that are merged at once, for values of [n_layers, signs, batch, d_mlp]."""
    step = max(1, _AT_ONCE // shape[1:].numel())
    for first in range(0, shape[0], step):
        yield slice(first, first + step)


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
        state.merge(part, piece, sample, None if texts is None else texts.needed(piece.prompt_ids))
