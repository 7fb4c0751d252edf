"""From a layer's activations on a batch to what the scan keeps of them (method.md, section 3).

1. On a CPU, rows of a batch, sorted by length, are reduced together with those of their length over
   positions 1 to length - 1: neither position 0 nor padding is looked at, nothing is masked or copied. A run
   of rows is cut into pieces that stay in the processor's cache for all reductions.
2. Elsewhere a run a length would be a thousand small operations a layer, which take longer to launch than to
   do. There a copy of the layer is filled, at position 0 and in the padding, with what cannot be the maximum,
   then the minimum, then with zeros, and reduced whole: 16 operations whatever the lengths. What comes out
   is the same but for the sums' rounding, which depends on how many zeros are among the terms.
3. A batch that does not fit into memory is cut in two, again and again; the pieces merge to the same.
4. A layer is reduced on the device where its block is; what is left of it, a row a prompt, goes to the one
   where the scan's state is, that of the first block.
5. What goes to an accelerator goes from pinned memory, and the host does not wait for it.
6. Where an extreme is attained is found on a CPU by comparing with it and taking the largest of weights
   that fall along the positions: three vectorised passes, five times as fast as torch's max with indices.
7. Sums are taken in the precision of the activations (at least float32) over one prompt's positions, and
   in float64 over prompts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tui_lookups.errors import LookupsError, Poll, is_out_of_memory
from tui_lookups.model.lookup_model import LookupModel

Window = npt.NDArray[np.int64]

_log = logging.getLogger(__name__)

_CPU_PIECE = 1 << 18
"""Elements reduced at once on a CPU: 1 MB of float32."""


@dataclass(frozen=True, slots=True)
class LayerReduction:
    """One layer on one batch.

    Attributes:
        maxima, minima: [batch, d_mlp] float32, over the positions that count.
        max_positions: [batch, d_mlp] int32, the first position that attains it; min_positions likewise,
            None unless asked for.
        sums: [2, d_mlp] float64: the sum and the sum of squares over all rows and positions.
        positive: [d_mlp] int64, how many are above zero.
    """

    maxima: Tensor
    max_positions: Tensor
    minima: Tensor
    min_positions: Tensor | None
    sums: Tensor
    positive: Tensor

    def to(self, device: torch.device) -> LayerReduction:
        """The same on another device."""
        places = None if self.min_positions is None else self.min_positions.to(device)
        others = (self.maxima, self.max_positions, self.minima, self.sums, self.positive)
        maxima, max_positions, minima, sums, positive = (tensor.to(device) for tensor in others)
        return LayerReduction(maxima, max_positions, minima, places, sums, positive)


def reduce_activations(
    activation: Tensor, lengths: Sequence[int], *, both_signs: bool, uncounted: Tensor | None = None
) -> LayerReduction:
    """Reduce hook_post of one layer.

    Args:
        activation: [batch, pos, d_mlp], padded on the right.
        lengths: tokens of each row, padding excluded; at least 2; equal lengths side by side.
        both_signs: also find where the minimum is attained.
        uncounted: see `uncounted_positions`, on the same device; made here where it is not given.
    """
    if activation.device.type == "cpu":
        return reduce_by_length(activation, lengths, both_signs=both_signs)
    if uncounted is None:
        uncounted = uncounted_positions(lengths, activation.device)
    return reduce_masked(activation, uncounted, both_signs=both_signs)


def uncounted_positions(lengths: Sequence[int], device: torch.device) -> Tensor:
    """Position 0 and the padding of each row: [batch, pos, 1] bool."""
    positions = np.arange(max(lengths))
    beyond = (positions == 0) | (positions >= np.asarray(lengths)[:, None])
    return _to_device(torch.from_numpy(beyond).unsqueeze(2), device)


def reduce_masked(activation: Tensor, uncounted: Tensor, *, both_signs: bool) -> LayerReduction:
    """As `reduce_activations`, over all positions at once: the way of accelerators."""
    home = state_device(activation.device)
    wide = activation.dtype if activation.dtype == torch.float64 else torch.float32
    scratch = activation.to(wide, copy=True)
    maxima, max_positions = scratch.masked_fill_(uncounted, -torch.inf).max(1)
    scratch.masked_fill_(uncounted, torch.inf)
    minima, min_positions = scratch.min(1) if both_signs else (scratch.amin(1), None)
    scratch.masked_fill_(uncounted, 0.0)
    positive = torch.gt(scratch, 0).sum((0, 1), dtype=torch.int32)  # MPS is short of int64
    total = scratch.sum(1).to(home).sum(0, dtype=torch.float64)
    squares = scratch.mul_(scratch).sum(1).to(home).sum(0, dtype=torch.float64)
    return LayerReduction(
        maxima.to(home, torch.float32),
        max_positions.to(home, torch.int32),
        minima.to(home, torch.float32),
        None if min_positions is None else min_positions.to(home, torch.int32),
        torch.stack([total, squares]),
        positive.to(home, torch.int64),
    )


def reduce_by_length(activation: Tensor, lengths: Sequence[int], *, both_signs: bool) -> LayerReduction:
    """As `reduce_activations`, a run of rows of one length at a time: the way of a CPU."""
    maxima, minima, max_positions, min_positions = [], [], [], []
    d_mlp = activation.shape[2]
    sums = torch.zeros(2, d_mlp, dtype=torch.float64)
    positive = torch.zeros(d_mlp, dtype=torch.float64)
    buffer: Tensor | None = None
    for rows, length in _pieces(activation, lengths):
        piece = activation[rows, 1:length]
        if piece.dtype not in (torch.float32, torch.float64):
            piece = piece.to(torch.float32)
        if buffer is None or buffer.numel() < piece.numel():
            buffer = torch.empty(piece.numel(), dtype=piece.dtype)
        room = buffer[: piece.numel()].view(piece.shape)
        values, places = _first_extreme(piece, room, largest=True)
        maxima.append(values)
        max_positions.append(places)
        if both_signs:
            values, places = _first_extreme(piece, room, largest=False)
            minima.append(values)
            min_positions.append(places)
        else:
            minima.append(piece.amin(1))
        sums[0] += piece.sum(1).sum(0, dtype=torch.float64)
        sums[1] += torch.mul(piece, piece, out=room).sum(1).sum(0, dtype=torch.float64)
        positive += torch.gt(piece, 0, out=room).sum(1).sum(0, dtype=torch.float64)
    return LayerReduction(
        torch.cat(maxima).to(torch.float32),
        torch.cat(max_positions) + 1,
        torch.cat(minima).to(torch.float32),
        torch.cat(min_positions) + 1 if both_signs else None,
        sums,
        positive.to(torch.int64),
    )


def _first_extreme(piece: Tensor, room: Tensor, *, largest: bool) -> tuple[Tensor, Tensor]:
    """Maximum or minimum over axis 1 of `piece` [rows, pos, d_mlp], and where it stands first: [rows, d_mlp].

    `room` is scratch memory in the shape of `piece`. With NaN the place means nothing, but is in range.
    """
    values, length = piece.amax(1) if largest else piece.amin(1), piece.shape[1]
    falling = torch.arange(length, 0, -1, dtype=piece.dtype).view(1, length, 1)
    torch.eq(piece, values.unsqueeze(1), out=room)
    return values, (length - room.mul_(falling).amax(1)).clamp_(max=length - 1).to(torch.int32)


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


@dataclass(frozen=True, slots=True)
class Piece:
    """Prompts that ran together, and what was found on each layer, in the order of the layers."""

    prompt_ids: npt.NDArray[np.int64]
    layers: tuple[LayerReduction, ...]


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

    def __call__(self, prompt_ids: npt.NDArray[np.int64], poll: Poll) -> list[Piece]:
        """Reductions of a batch (prompts sorted by length), usually in one piece.

        Raises LookupsError when not even one prompt fits into memory, and what `poll` raises.
        """
        windows = [self._window_tokens(int(prompt)) for prompt in prompt_ids]
        padded = len(windows) * max(map(len, windows))
        if self.limit is None or padded <= self.limit or len(prompt_ids) == 1:
            try:
                return [Piece(prompt_ids, self._forward(windows, poll))]
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
        return self(prompt_ids[:half], poll) + self(prompt_ids[half:], poll)

    def _forward(self, windows: Sequence[Window], poll: Poll) -> tuple[LayerReduction, ...]:
        lengths = [len(window) for window in windows]
        found: list[LayerReduction] = []

        @cache  # once a batch and device
        def uncounted(device: torch.device) -> Tensor | None:
            return None if device.type == "cpu" else uncounted_positions(lengths, device)

        def consume(_: int, activation: Tensor) -> None:
            reduced = reduce_activations(
                activation, lengths, both_signs=self._both_signs, uncounted=uncounted(activation.device)
            )
            found.append(reduced.to(state_device(self._model.device)))

        tokens = _to_device(pad(windows), self._model.device)
        self._model.mlp_activations(tokens, self._layers, consume, poll=poll)
        return tuple(found)


def pad(windows: Sequence[Window]) -> Tensor:
    """[batch, pos], padded on the right with token 0, which causal attention never looks at."""
    rows = np.zeros((len(windows), max(map(len, windows))), np.int64)
    for row, window in zip(rows, windows, strict=True):
        row[: len(window)] = window
    return torch.from_numpy(rows)


def _to_device(made: Tensor, device: torch.device) -> Tensor:
    """A copy that the host does not wait for: CUDA takes it out of pinned memory on its own."""
    if device.type != "cuda":
        return made.to(device)
    return made.pin_memory().to(device, non_blocking=True)
