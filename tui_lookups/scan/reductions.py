"""From a layer's activations on a batch to what the scan keeps of them (method.md, section 3).

1. On a CPU, rows of a batch, sorted by length, are reduced together with those of their length over
   positions 1 to length - 1: neither position 0 nor padding is looked at, nothing is masked or copied. A run
   of rows is cut into pieces that stay in the processor's cache for all reductions.
2. Elsewhere a run a length would be a thousand small operations a layer, which take longer to launch than to
   do. There a copy of the layer is filled, at position 0 and in the padding, with what cannot be the maximum,
   then the minimum, then with zeros, and reduced whole: 17 operations (21 with both signs) whatever the
   lengths. What comes out is the same but for the sums' rounding, which depends on how many zeros are among
   the terms.
3. A batch that does not fit into memory is cut in two, again and again; the pieces merge to the same.
4. A layer is reduced on the device where its block is; what is left of it, a row a prompt, goes to the one
   where the scan's state is, that of the first block. There all layers lie side by side, to be merged at once
   (state.py): 8 bytes a prompt, neuron and sign until the batch is merged.
5. What goes to an accelerator goes from pinned memory, and the host does not wait for it.
6. Where an extreme is attained is found on a CPU by comparing with it and taking the largest of weights
   that fall along the positions: three vectorised passes, five times as fast as torch's max with indices.
   With position p = 1, 2, ... of n tokens goes the weight n - p. What is small, a number a row and neuron, is
   worked out once a layer and not once a piece.
7. Late in a scan hardly an extreme enters a running top k any more, and only those that do need a position.
   Where the first rows of a layer show that, the few are looked up one by one.
8. On a CPU each of torch's threads reduces a share of the rows (threads.py): what is done at a time is over
   before a second thread is awake to help with it.
9. Sums are taken in the precision of the activations (at least float32) over one prompt's positions, and
   in float64 over prompts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache
from itertools import groupby, pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tui_lookups.errors import LookupsError, Poll, is_out_of_memory
from tui_lookups.model.lookup_model import LookupModel, pad
from tui_lookups.scan.threads import one_thread, shares_at_once, work_on_shares

Window = npt.NDArray[np.int64]

_log = logging.getLogger(__name__)

_CPU_PIECE = 1 << 19
"""Elements reduced at once on a CPU: 2 MB of float32."""

_FEW = 1 / 32
"""Share of extremes that enter a running top k below which looking up each of their positions is cheaper."""


@dataclass(frozen=True, eq=False, slots=True)
class Reductions:
    """What was found on prompts that ran together, written layer by layer where the state is.

    `signs` is 2 where the minimum is sought as well, as the maximum of the negated activation.

    Attributes:
        values: [n_layers, signs, batch, d_mlp] float32, the maxima over the positions that count.
        positions: [n_layers, signs, batch, d_mlp] int32, the first position that attains each; any position
            where a maximum is below the floor that was given.
        lowest: [n_layers, d_mlp] float32, the minimum over all rows and positions.
        sums: [n_layers, 2, d_mlp] float64: the sum and the sum of squares over all rows and positions.
        positive: [n_layers, d_mlp] int32, how many are above zero.
    """

    values: Tensor
    positions: Tensor
    lowest: Tensor
    sums: Tensor
    positive: Tensor

    @classmethod
    def empty(
        cls, n_layers: int, batch: int, d_mlp: int, *, both_signs: bool, device: torch.device
    ) -> Reductions:
        """Room for the reductions of a batch; what stands in it means nothing."""
        rows = (n_layers, 1 + both_signs, batch, d_mlp)
        return cls(
            values=torch.empty(rows, device=device),
            positions=torch.empty(rows, dtype=torch.int32, device=device),
            lowest=torch.empty(n_layers, d_mlp, device=device),
            sums=torch.empty(n_layers, 2, d_mlp, dtype=torch.float64, device=device),
            positive=torch.empty(n_layers, d_mlp, dtype=torch.int32, device=device),
        )

    def layer(self, place: int) -> Reductions:
        """The room of a layer: views without the first axis."""
        return Reductions(*(getattr(self, field.name)[place] for field in fields(self)))


def reduce_activations(
    activation: Tensor,
    lengths: Sequence[int],
    found: Reductions,
    *,
    uncounted: Tensor | None = None,
    floor: Tensor | None = None,
) -> None:
    """Reduce hook_post of one layer.

    Args:
        activation: [batch, pos, d_mlp], padded on the right.
        lengths: tokens of each row, padding excluded; at least 2; equal lengths side by side.
        found: the room of the layer, on any device.
        uncounted: see `uncounted_positions`, on the same device; made here where it is not given.
        floor: [signs, d_mlp] float32, the least maximum whose position is asked for; None asks for all.
    """
    if activation.device.type == "cpu":
        shares = shares_at_once()
        with one_thread():
            reduce_by_length(activation, lengths, found, floor, shares=shares)
        return
    if uncounted is None:
        uncounted = uncounted_positions(lengths, activation.device)
    reduce_masked(activation, uncounted, found)


def uncounted_positions(lengths: Sequence[int], device: torch.device) -> Tensor:
    """Position 0 and the padding of each row: [batch, pos, 1] bool."""
    positions = np.arange(max(lengths))
    beyond = (positions == 0) | (positions >= np.asarray(lengths)[:, None])
    return to_device(torch.from_numpy(beyond).unsqueeze(2), device)


def reduce_masked(activation: Tensor, uncounted: Tensor, found: Reductions) -> None:
    """As `reduce_activations`, over all positions at once: the way of accelerators."""
    home = found.values.device
    wide = activation.dtype if activation.dtype == torch.float64 else torch.float32
    scratch = activation.to(wide, copy=True)
    maxima, positions = scratch.masked_fill_(uncounted, -torch.inf).max(1)
    found.values[0].copy_(maxima)
    found.positions[0].copy_(positions)
    scratch.masked_fill_(uncounted, torch.inf)
    if len(found.values) == 2:
        minima, positions = scratch.min(1)
        found.lowest.copy_(minima.amin(0))
        found.values[1].copy_(minima.neg_())
        found.positions[1].copy_(positions)
    else:
        found.lowest.copy_(scratch.amin((0, 1)))
    scratch.masked_fill_(uncounted, 0.0)
    # On the way an int32: MPS is short of int64.
    found.positive.copy_(torch.gt(scratch, 0).sum((0, 1), dtype=torch.int32))
    torch.sum(scratch.sum(1).to(home), 0, dtype=torch.float64, out=found.sums[0])
    torch.sum(scratch.mul_(scratch).sum(1).to(home), 0, dtype=torch.float64, out=found.sums[1])


def reduce_by_length(
    activation: Tensor,
    lengths: Sequence[int],
    found: Reductions,
    floor: Tensor | None = None,
    *,
    shares: int = 1,
) -> None:
    """As `reduce_activations`, a run of rows of one length at a time: the way of a CPU.

    Args:
        shares: how many threads do it; with more than one, call it within `one_thread`.
    """
    pieces = list(_pieces(activation, lengths))
    rows = _Rows.empty(activation, len(found.values))
    work_on_shares(lambda share: _reduce_pieces(activation, share, rows, floor), _shares(pieces, shares))
    found.values[0].copy_(rows.extremes[0])
    found.lowest.copy_(rows.extremes[1].amin(0))
    if len(found.values) == 2:
        found.values[1].copy_(rows.extremes[1].neg_())
    ends = torch.tensor(lengths, dtype=rows.falls.dtype).unsqueeze(1)
    found.positions.copy_(torch.minimum(ends - rows.falls, ends - 1))  # with NaN a place that means nothing
    found.positive.copy_(rows.sums[2].sum(0, dtype=torch.float64))
    found.sums.zero_()
    for run, _ in pieces:  # in this order, which is part of how the sums are rounded
        for total, of_rows in zip(found.sums, rows.sums[:2, run], strict=True):
            total += of_rows.sum(0, dtype=torch.float64)


@dataclass(frozen=True, slots=True)
class _Rows:
    """What is found of each row and neuron.

    Attributes:
        extremes: [2, batch, d_mlp], maximum and minimum; falls: [signs, batch, d_mlp], the weights of step 6.
        sums: [3, batch, d_mlp], of values, of squares, and how many are above zero.
    """

    extremes: Tensor
    falls: Tensor
    sums: Tensor

    @classmethod
    def empty(cls, activation: Tensor, signs: int) -> _Rows:
        """For activations [batch, pos, d_mlp]; what stands in it means nothing."""
        batch, _, d_mlp = activation.shape
        wide = activation.dtype if activation.dtype in (torch.float32, torch.float64) else torch.float32
        extremes = torch.empty(2, batch, d_mlp, dtype=wide)
        return cls(extremes, extremes.new_zeros(signs, batch, d_mlp), extremes.new_empty(3, batch, d_mlp))

    def of(self, run: slice) -> _Rows:
        """Views of some rows."""
        return _Rows(self.extremes[:, run], self.falls[:, run], self.sums[:, run])


def _reduce_pieces(
    activation: Tensor, pieces: Sequence[tuple[slice, int]], rows: _Rows, floor: Tensor | None
) -> None:
    """Fill in the rows of these pieces, which lie side by side."""
    wide, longest = rows.extremes.dtype, pieces[-1][1]
    falling = torch.arange(longest - 1, 0, -1, dtype=wide).view(1, -1, 1)
    most = max((run.stop - run.start) * (length - 1) for run, length in pieces)
    buffer = rows.extremes.new_empty(most * activation.shape[2])
    few = False
    for number, (run, length) in enumerate(pieces):
        piece, into = activation[run, 1:length].to(wide), rows.of(run)
        room = buffer[: piece.numel()].view(piece.shape)
        torch.amax(piece, 1, out=into.extremes[0])
        torch.amin(piece, 1, out=into.extremes[1])
        if number == 0 and floor is not None:  # step 7
            few = bool(_entering(into.extremes, floor).float().mean() < _FEW)
        for extreme, fall in zip(into.extremes, () if few else into.falls, strict=False):  # step 6
            torch.eq(piece, extreme.unsqueeze(1), out=room)
            torch.amax(room.mul_(falling[:, 1 - length :]), 1, out=fall)
        torch.sum(piece, 1, out=into.sums[0])
        torch.sum(torch.mul(piece, piece, out=room), 1, out=into.sums[1])
        torch.sum(torch.gt(piece, 0, out=room), 1, out=into.sums[2])
    if few and floor is not None:
        every = slice(pieces[0][0].start, pieces[-1][0].stop)
        ends = torch.tensor(
            [length for run, length in pieces for _ in range(run.start, run.stop)], dtype=wide
        )
        _look_up(activation[every], ends.unsqueeze(1), rows.of(every), floor)


def _entering(extremes: Tensor, floor: Tensor) -> Tensor:
    """Which maxima, and with both signs which negated minima, reach the floor: [signs, batch, d_mlp]."""
    values = torch.stack([extremes[0], -extremes[1]])[: len(floor)]
    return values.float() >= floor.unsqueeze(1)


def _look_up(activation: Tensor, ends: Tensor, rows: _Rows, floor: Tensor) -> None:
    """Fill in the weights of step 6 of those that enter; `ends` [batch, 1] are the rows' lengths."""
    signs, where, neurons = _entering(rows.extremes, floor).nonzero(as_tuple=True)
    if not len(where):
        return
    sought = rows.extremes[signs, where, neurons].unsqueeze(1)
    attained = activation[where, 1:, neurons].to(sought.dtype) == sought  # [entering, pos - 1]
    weights = ends[where] - torch.arange(1, activation.shape[1], dtype=ends.dtype)  # below 1 in the padding
    rows.falls[signs, where, neurons] = (attained * weights).amax(1)


def state_device(device: torch.device) -> torch.device:
    """Where reductions and the scan's state live: with the model, but for MPS, which has no float64."""
    return torch.device("cpu") if device.type == "mps" else device


def _pieces(activation: Tensor, lengths: Sequence[int]) -> Iterator[tuple[slice, int]]:
    """Slices of rows of one length, small enough for the processor's cache."""
    first = 0
    for length, run in groupby(lengths):
        end = first + len(list(run))
        rows = max(1, _CPU_PIECE // (length * activation.shape[2]))
        for start in range(first, end, rows):
            yield slice(start, min(end, start + rows)), length
        first = end


def _shares(pieces: Sequence[tuple[slice, int]], most: int) -> list[Sequence[tuple[slice, int]]]:
    """The pieces in order, cut into at most so many runs of about as many positions each."""
    positions = np.cumsum([(run.stop - run.start) * length for run, length in pieces])
    cuts = np.searchsorted(positions, positions[-1] * np.arange(1, most) / most) + 1
    bounds = [0, *cuts.tolist(), len(pieces)]
    return [pieces[start:end] for start, end in pairwise(bounds) if start < end]


@dataclass(frozen=True, slots=True)
class Piece:
    """Prompts that ran together, and what was found on each layer, in the order of the layers."""

    prompt_ids: npt.NDArray[np.int64]
    found: Reductions


class BatchReducer:
    """Runs batches of prompts and reduces every asked-for layer.

    Args:
        window_tokens: token ids of a prompt.
        layers: ascending.
        both_signs: also find where minima are attained.
    """

    def __init__(
        self,
        model: LookupModel,
        window_tokens: Callable[[int], Window],
        layers: Sequence[int],
        *,
        both_signs: bool,
    ) -> None:
        self._model, self._window_tokens = model, window_tokens
        self._layers, self._both_signs = tuple(layers), both_signs
        self.limit: int | None = None
        """Padded tokens that fit into memory, once that was learnt; may be set to what was learnt before."""

    def __call__(
        self, prompt_ids: npt.NDArray[np.int64], poll: Poll, floors: Tensor | None = None
    ) -> list[Piece]:
        """Reductions of a batch (prompts sorted by length), usually in one piece.

        Args:
            floors: [n_layers, signs, d_mlp], see `reduce_activations`.

        Raises LookupsError when not even one prompt fits into memory, and what `poll` raises.
        """
        windows = [self._window_tokens(int(prompt)) for prompt in prompt_ids]
        padded = len(windows) * max(map(len, windows))
        if self.limit is None or padded <= self.limit or len(prompt_ids) == 1:
            try:
                return [Piece(prompt_ids, self._forward(windows, poll, floors))]
            except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
                if not is_out_of_memory(error):
                    raise
                if len(prompt_ids) == 1:
                    raise LookupsError(
                        f"One prompt of {padded} tokens does not fit into memory on {self._model.device}.",
                        "Try --dtype bfloat16, a shorter window or --device cpu.",
                    ) from error
            # Only here are the failed pass's tensors let go, which the traceback referred to.
            self.limit = padded // 2
            _log.warning("a batch of %d tokens did not fit into memory; cut to %d", padded, self.limit)
            if self._model.device.type == "cuda":
                torch.cuda.empty_cache()
        half = len(prompt_ids) // 2
        return self(prompt_ids[:half], poll, floors) + self(prompt_ids[half:], poll, floors)

    def _forward(self, windows: Sequence[Window], poll: Poll, floors: Tensor | None) -> Reductions:
        found, reduce = self._begin(windows, len(self._layers), floors)
        tokens = to_device(pad(windows), self._model.device)
        self._model.mlp_activations(
            tokens,
            self._layers,
            lambda layer, activation: reduce(self._layers.index(layer), activation),
            poll=poll,
        )
        return found

    def _begin(
        self, windows: Sequence[Window], slots: int, floors: Tensor | None
    ) -> tuple[Reductions, Callable[[int, Tensor], None]]:
        """Room for the reductions of a batch in so many slots, and what reduces activations into one."""
        lengths = [len(window) for window in windows]
        found = Reductions.empty(
            slots,
            len(windows),
            self._model.info.d_mlp,
            both_signs=self._both_signs,
            device=state_device(self._model.device),
        )

        @cache  # once a batch and device
        def uncounted(device: torch.device) -> Tensor | None:
            return None if device.type == "cpu" else uncounted_positions(lengths, device)

        def reduce(slot: int, activation: Tensor) -> None:
            floor, beyond = None if floors is None else floors[slot], uncounted(activation.device)
            reduce_activations(activation, lengths, found.layer(slot), uncounted=beyond, floor=floor)

        return found, reduce


def to_device(made: Tensor, device: torch.device) -> Tensor:
    """A copy that the host does not wait for: an accelerator takes it out of pinned memory on its own."""
    if device.type in ("cpu", "mps"):
        return made.to(device)
    return made.pin_memory().to(device, non_blocking=True)
