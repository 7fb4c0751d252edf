"""Pearson correlations of activations, streamed over the corpus (method.md, section 13, Matching).

1. `CrossCorrelation`: of every neuron of a layer in one model with every neuron of that layer in another.
2. `OneWithAll`: of one neuron with every neuron of every layer, of its own model or of another.

Activations are counted from their mean over the first batch, so that nothing large cancels; a batch's sums
of products are taken in the precision of the activations (at least single) and added up in double. Position
0 and padding do not count. `most_layers` bounds what the first one holds: a square of d_mlp a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tui_lookups.errors import NumericalError, Poll
from tui_lookups.ids import NeuronId
from tui_lookups.model.lookup_model import LookupModel, pad
from tui_lookups.model.side_by_side import activations_side_by_side
from tui_lookups.scan.reductions import state_device, uncounted_positions
from tui_lookups.scan.subject import Windows

Doubles = npt.NDArray[np.float64]

_MOST_BYTES = 1 << 31
"""What the sums of products of the layers of one pass may take."""


def most_layers(d_mlp: int) -> int:
    """How many layers are correlated in one pass."""
    return max(1, _MOST_BYTES // (8 * d_mlp * d_mlp))


class _Sums:
    """Sums of activations and of their squares, counted from the mean of the first batch."""

    def __init__(self) -> None:
        self.shift: Tensor | None = None
        self.sums: Tensor | None = None

    def take(self, rows: Tensor) -> Tensor:
        """Take in rows [n, neurons], and return them as they are counted."""
        if self.shift is None or self.sums is None:
            self.shift = rows.mean(0)
            self.sums = torch.zeros(2, *rows.shape[1:], dtype=torch.float64, device=rows.device)
        shifted = rows - self.shift
        self.sums[0] += shifted.sum(0)
        self.sums[1] += (shifted * shifted).sum(0)
        return shifted

    def mean_and_deviation(self, count: int) -> tuple[Tensor, Tensor]:
        """Of what was counted: [neurons] each. Deviations are 0 where nothing varies."""
        assert self.sums is not None
        mean, square = self.sums / count
        variance = square - mean * mean
        return mean, torch.where(variance > 1e-12 * square, variance, 0.0).sqrt()


class CrossCorrelation:
    """The correlations of some layers' neurons between two models.

    Args:
        d_mlp: of either.
        device: where they are added up.
    """

    def __init__(self, d_mlp: int, device: torch.device, corpus: Windows, layers: Sequence[int]) -> None:
        self._corpus, self._layers = corpus, tuple(layers)
        self._sums = {layer: (_Sums(), _Sums()) for layer in layers}
        device = state_device(device)
        self._products = {
            layer: torch.zeros(d_mlp, d_mlp, dtype=torch.float64, device=device) for layer in layers
        }
        self._count = 0

    @torch.inference_mode()
    def take(
        self, prompt_ids: npt.NDArray[np.int64], first: LookupModel, second: LookupModel, poll: Poll
    ) -> None:
        """Run a batch of prompts, in the same two models each time."""
        windows = [self._corpus.window_tokens(int(prompt)) for prompt in prompt_ids]
        lengths = [len(window) for window in windows]

        def meet(layer: int, before: Tensor, after: Tensor) -> None:
            home = self._products[layer].device
            pair = [_counted(each, lengths, layer).to(home) for each in (before, after)]
            rows, others = (sums.take(each) for sums, each in zip(self._sums[layer], pair, strict=True))
            self._products[layer] += rows.T @ others

        activations_side_by_side(first, second, pad(windows), self._layers, meet, poll)
        self._count += sum(lengths) - len(lengths)

    def of_layer(self, layer: int) -> Doubles:
        """[neurons of the first, neurons of the second]; 0 where one is constant."""
        (first, spread), (second, other) = (s.mean_and_deviation(self._count) for s in self._sums[layer])
        covariance = self._products[layer] / self._count - torch.outer(first, second)
        return _over(covariance, torch.outer(spread, other))


class OneWithAll:
    """The correlations of one neuron with every neuron of some layers."""

    def __init__(self, neuron: NeuronId, corpus: Windows, layers: Sequence[int]) -> None:
        self._neuron = neuron
        self._corpus, self._layers = corpus, tuple(layers)
        self._own, self._sums = _Sums(), {layer: _Sums() for layer in layers}
        self._products: dict[int, Tensor] = {}
        self._count = 0

    @torch.inference_mode()
    def take(
        self, prompt_ids: npt.NDArray[np.int64], source: LookupModel, target: LookupModel, poll: Poll
    ) -> None:
        """Run a batch of prompts.

        Args:
            source: the model of the neuron; `target`: that of the others. They may be the same.
        """
        windows = [self._corpus.window_tokens(int(prompt)) for prompt in prompt_ids]
        lengths, tokens = [len(window) for window in windows], pad(windows)
        of_neuron = source.neuron_activations(tokens.to(source.device), self._neuron, poll=poll)
        own = self._own.take(_counted(of_neuron.unsqueeze(2), lengths, self._neuron.layer).squeeze(1))

        def consume(layer: int, activation: Tensor) -> None:
            rows = self._sums[layer].take(_counted(activation, lengths, layer))
            product = (own.to(rows.device, rows.dtype) @ rows).double()
            self._products[layer] = self._products.get(layer, 0.0) + product

        target.mlp_activations(tokens.to(target.device), self._layers, consume, poll=poll)
        self._count += sum(lengths) - len(lengths)

    def of_layer(self, layer: int) -> Doubles:
        """[d_mlp]; 0 where one is constant."""
        (own, spread), (mean, other) = (
            sums.mean_and_deviation(self._count) for sums in (self._own, self._sums[layer])
        )
        covariance = self._products[layer] / self._count - own.to(mean.device) * mean
        return _over(covariance, spread.to(mean.device) * other)


def _counted(activation: Tensor, lengths: Sequence[int], layer: int) -> Tensor:
    """The positions that count, of all prompts, in at least single precision: [n, neurons]."""
    wide = torch.promote_types(activation.dtype, torch.float32)
    home = state_device(activation.device)
    rows = activation.to(home, wide)[~uncounted_positions(lengths, home).squeeze(2)]
    if not bool(torch.isfinite(rows).all()):
        raise NumericalError.of_layer(layer)
    return rows


def _over(covariance: Tensor, deviations: Tensor) -> Doubles:
    quotients = torch.where(deviations > 0, covariance / torch.where(deviations > 0, deviations, 1.0), 0.0)
    array: npt.NDArray[Any] = quotients.clamp(-1.0, 1.0).cpu().numpy()
    return array
