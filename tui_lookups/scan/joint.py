"""One pass of two models over the same windows: every neuron's activations compared (method.md, section 13).

1. Three activations of a neuron are reduced as the scan reduces one (reductions.py): before, after, and the
   difference of the two, by position. Their maxima and minima, with position and prompt, go into a running
   top k each (state.py): the peaks of both, and the prompts on which one is furthest above the other.
2. Sums and sums of squares are taken along, in float64 over prompts. The correlation follows from three
   variances: that of a difference is the sum of both less twice the covariance.
3. A batch that is interrupted leaves no trace. What was found so far can be kept, and gone on with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tui_lookups.errors import Poll
from tui_lookups.model.lookup_model import LookupModel, pad
from tui_lookups.model.side_by_side import activations_side_by_side
from tui_lookups.scan.copies import Copies
from tui_lookups.scan.reductions import (
    BatchReducer,
    Reductions,
    Window,
    state_device,
)
from tui_lookups.scan.state import ScanState, TextTable, merge_batch
from tui_lookups.scan.subject import Windows
from tui_lookups.scan.top_k import EMPTY, key_prompt_ids, key_values

ROLES = ("before", "after", "difference")
"""What is reduced of a neuron, in the order of the arrays' first axis."""

Arrays = dict[str, npt.NDArray[Any]]


class JointReducer(BatchReducer):
    """Runs batches of prompts through two models and reduces, for every layer, both and their difference.

    A role's layers stand side by side, those before first.
    """

    def __init__(
        self, first: LookupModel, second: LookupModel, corpus: Windows, layers: Sequence[int]
    ) -> None:
        super().__init__(first, corpus.window_tokens, layers, both_signs=True)
        self._second = second

    def _forward(self, windows: Sequence[Window], poll: Poll, floors: Tensor | None) -> Reductions:
        count = len(self._layers)
        found, reduce = self._begin(windows, len(ROLES) * count, floors)

        def meet(layer: int, before: Tensor, after: Tensor) -> None:
            wide = torch.promote_types(before.dtype, torch.float32)
            first, second = before.to(wide), after.to(before.device, wide)
            for role, activation in enumerate((first, second, second - first)):
                reduce(role * count + self._layers.index(layer), activation)

        activations_side_by_side(self._model, self._second, pad(windows), self._layers, meet, poll)
        return found


class JointPass:
    """What a pass of two models has found so far.

    Args:
        d_mlp: of either; device: the first one's.
        top: prompts kept a neuron, role and sign.
        copies: which prompts of the corpus are copies: of one text the best prompt is kept.
    """

    def __init__(
        self,
        d_mlp: int,
        device: torch.device,
        corpus: Windows,
        layers: Sequence[int],
        *,
        top: int,
        copies: Copies | None,
    ) -> None:
        device = state_device(device)
        self._corpus, self._layers = corpus, tuple(layers)
        self._limit: int | None = None  # padded tokens that fit into memory, once that was learnt
        self._state = ScanState.empty(
            len(ROLES) * len(layers), d_mlp, signs=2, top=top, sample=0, device=device
        )
        self._texts = None if copies is None else TextTable.of(copies, device)
        self._sample = np.empty(0, np.int64)

    def take(
        self, prompt_ids: npt.NDArray[np.int64], first: LookupModel, second: LookupModel, poll: Poll
    ) -> None:
        """Run a batch, prompts sorted by length, in the same two models each time.

        Raises what `BatchReducer` does.
        """
        reducer = JointReducer(first, second, self._corpus, self._layers)
        reducer.limit = self._limit
        pieces = reducer(prompt_ids, poll, self._state.floors(0))
        self._limit = reducer.limit
        merge_batch(self._state, 0, pieces, self._sample, self._texts)

    def to_arrays(self) -> Arrays:
        """Everything found so far, bit for bit."""
        return self._state.to_arrays()

    def load_arrays(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Put what `to_arrays` gave in place of what is here. Raises CacheError when it does not fit."""
        self._state.load_arrays(arrays)

    def layer_arrays(self, layer: int, positions: int) -> Arrays:
        """What was found of a layer, roles on the first axis.

        Raises NumericalError where an activation of either model is NaN or infinite.

        Args:
            positions: counted in the pass.
        Returns:
            values [roles, 2, d_mlp, top] of a and of -a, NaN where empty; prompts and positions likewise, -1
            where empty; moments [roles, 2, d_mlp]: mean and variance.
        """
        count, place = len(self._layers), self._layers.index(layer)
        state, of_layer = self._state, slice(place, None, count)
        state.require_finite([each for _ in ROLES for each in self._layers])
        keys, filled = state.keys[of_layer, :, 0], state.keys[of_layer, :, 0] != EMPTY
        mean, square = (state.sums + state.open_sums)[of_layer].div(positions).unbind(1)
        variance = (square - mean * mean).clamp(min=0.0)
        arrays = {
            "values": torch.where(filled, key_values(keys), torch.nan),
            "prompts": torch.where(filled, key_prompt_ids(keys), -1),
            "positions": torch.where(filled, state.positions[of_layer, :, 0], -1),
            "moments": torch.stack([mean, variance], 1),
        }
        return {name: values.cpu().contiguous().numpy() for name, values in arrays.items()}
