"""The weights of a loaded model as they lie, and what congruence needs of them (method.md, section 2).

No weights are folded or copied: what the norms do is done to the vector that a matrix is multiplied with
(norms.py). In the raw basis none of it is done, but for the norm after an MLP. In a Post-LN model what a
neuron writes goes through all norms above it: their centring counts, and their weights but for what these
come to in the root mean square, which is left out with the scales (method.md, section 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.architecture import Architecture
from tui_lookups.model.file_weights import Extremes, Ints
from tui_lookups.model.held_norms import Stage, carried_down, carried_up, norm_at, norms_between
from tui_lookups.model.points import Point
from tui_lookups.model.tensor_files import Floats
from tui_lookups.model.wiring import Wiring, of_parameter
from tui_lookups.results import Basis, ModelInfo

_BLOCK_NUMBERS = 16_000_000
"""Numbers of a matrix in half precision that are converted at once: 64 MB in float32."""


def wide(dtype: torch.dtype) -> torch.dtype:
    """What figures are computed in: at least single precision, whatever the weights are stored in."""
    return torch.float64 if dtype == torch.float64 else torch.float32


class LoadedWeights:
    """Weights of one model, handed out on `device`, that of its first block.

    Args:
        hf_model: transformers' own module, as it was loaded.
        wiring: its modules by their roles.
        info: what the model is.
        architecture: how its MLP neurons are wired.
        basis: whether reading goes through the norms ("folded", method.md, section 1) or leaves them out.
    """

    def __init__(
        self, hf_model: Any, wiring: Wiring, info: ModelInfo, architecture: Architecture, basis: Basis
    ) -> None:
        self._hf_model = hf_model
        self.wiring = wiring
        self.info = info
        self.architecture = architecture
        self.basis: Basis = basis
        outs = [block.heads_out.matrix for block in wiring.blocks]
        self.dtype: torch.dtype = outs[0].dtype
        self.device = outs[0].device
        self.devices = tuple(dict.fromkeys(out.device for out in outs))
        """Where its blocks are, the first one's device first."""
        self.compute_dtype = wide(self.dtype)

    @property
    def _is_centred(self) -> bool:
        """Whether the final norm takes off the mean of whatever it reads."""
        return self.basis == "folded" and self.wiring.centred

    def parameters(self) -> dict[str, Tensor]:
        """Every parameter as it lies, by its name in the model."""
        return {name: weight.detach() for name, weight in self._hf_model.named_parameters()}

    def at_home(self, weight: Tensor) -> Tensor:
        """A tensor on `device`, in `compute_dtype`."""
        return weight.detach().to(self.device, self.compute_dtype)

    # --- what neurons write ---

    def W_out(self, layer: int, rows: slice = slice(None)) -> Tensor:
        """What these neurons write, as the unembedding sees it: [n, d_model], in compute_dtype.

        Norms between the MLP and the last residual sum multiply it by their weights, and a residual
        multiplier scales it; where the final norm centres, so is it (method.md, sections 1 and 2).
        """
        written = self.at_home(self.wiring.blocks[layer].down.inputs(rows))
        written = self._sized(layer, carried_up(self.wiring, self.norms_after_mlp(layer), written))
        return written - written.mean(1, keepdim=True) if self._is_centred else written

    def norms_after_mlp(self, layer: int) -> list[Point]:
        """The norms between an MLP and the last residual sum, that nearest to the sum first."""
        if self.wiring.post_ln and self.basis == "raw":
            return []
        n_layers = len(self.wiring.blocks)
        return norms_between(self.wiring, layer, "ln2_post", Stage(n_layers, n_layers))

    def size_of_norms(self, layer: int) -> float:
        """What norms of residual sums between an MLP and the last sum multiply by, in the root mean square; 1
        where there are none."""
        weights = [
            weight
            for point in (self.norms_after_mlp(layer) if self.wiring.post_ln else ())
            if (weight := norm_at(self.wiring, point).weight(self.at_home(self._W_U[0]))) is not None
        ]
        return prod(float(weight.pow(2).mean().sqrt()) for weight in weights)

    def _sized(self, layer: int, written: Tensor) -> Tensor:
        """What is written, with a residual multiplier and without `size_of_norms`."""
        factor = self.wiring.residual_multiplier / self.size_of_norms(layer)
        return written if factor == 1.0 else written * factor

    # --- what congruence needs (analysis/congruence.py, Writes) ---

    @property
    def ran_on(self) -> str:
        """The device that the products are made on."""
        return str(self.device)

    @property
    def d_vocab(self) -> int:
        """Rows of the unembedding."""
        return self.info.d_vocab

    @torch.inference_mode()
    def toward(self, layer: int, direction: Floats) -> Floats:
        """Every neuron's W_out times a direction [d_model]: [d_mlp]; one product, the weight as it lies."""
        read = self._from_numpy(direction)
        if self._is_centred:
            read = read - read.mean()
        read, _ = carried_down(self.wiring, self.norms_after_mlp(layer), read.unsqueeze(1))
        return self._to_numpy(self.written_along(layer, self._sized(layer, read[:, 0])))

    def written_along(self, layer: int, read: Tensor) -> Tensor:
        """Every neuron's row of the down-projection, as it lies, times `read` [d_model, n]: [d_mlp, n]."""
        weight = self.wiring.blocks[layer].down.matrix.detach()
        if weight.dtype == self.compute_dtype:
            return (weight @ read.to(weight.device)).to(self.device)
        return torch.cat([self.at_home(weight[rows]) @ read for rows in _blocks(*weight.shape)])

    @torch.inference_mode()
    def lengths(self, layer: int) -> Floats:
        """The length of what each neuron writes: [d_mlp]."""
        shape = self.wiring.blocks[layer].down.shape
        return self._to_numpy(torch.cat([self.W_out(layer, rows).norm(dim=1) for rows in _blocks(*shape)]))

    @torch.inference_mode()
    def directions(self, neurons: Sequence[NeuronId]) -> Floats:
        """What these neurons write: [n, d_model]."""
        for neuron in neurons:
            self.check_neuron(neuron)
        written = [self.W_out(n.layer, slice(n.index, n.index + 1)) for n in neurons]
        return self._to_numpy(torch.cat(written))

    @torch.inference_mode()
    def unembedding(self, token_id: int) -> Floats:
        """The direction that a token reads: [d_model]."""
        return self._to_numpy(self.as_read(self._in_stream(self.at_home(self._W_U[token_id])) - self._mean))

    def unembedding_against(self, token_id: int, foil_id: int | None = None) -> tuple[Tensor, Tensor]:
        """A token's row of the unembedding less the mean over all rows, or less a foil's: [d_model], and the
        same of its bias: [].

        All rows are those the logits of the model are of, rows that no token has among them.
        """
        bias = of_parameter(self.wiring.unembed, "bias")
        row = self.at_home(self._W_U[token_id])
        own = row.new_zeros(()) if bias is None else self.at_home(bias[token_id])
        if foil_id is not None:
            other = row.new_zeros(()) if bias is None else self.at_home(bias[foil_id])
            return self._in_stream(row - self.at_home(self._W_U[foil_id])), own - other
        return self._in_stream(row) - self._vocabulary_mean, own - (
            own if bias is None else self.at_home(bias).mean()
        )

    def mean_unembedding(self) -> Floats:
        """The mean of those over the vocabulary: [d_model]."""
        if self._is_vocabulary_centred:
            return self._to_numpy(torch.zeros_like(self._vocabulary_mean))
        return self._to_numpy(self.as_read(self._vocabulary_mean))

    @torch.inference_mode()
    def congruences(self, directions: Floats) -> Floats:
        """Directions [n, d_model] times the unembedding of every token: [n, d_vocab]."""
        written, weight = self._as_normed(self._from_numpy(directions)), self._W_U
        if weight.dtype == self.compute_dtype:
            return self._to_numpy(self._products(written, slice(None)))
        return self._to_numpy(
            torch.cat([self._products(written, rows) for rows in _blocks(*weight.shape)], 1)
        )

    def _products(self, normed: Tensor, tokens: slice) -> Tensor:
        """What is written, as the final norm leaves it, times the unembedding of some tokens: [n, tokens]."""
        product = self._into_unembedding(normed) @ self.at_home(self._W_U[tokens]).T
        return product - (normed @ self._mean).unsqueeze(1) if self._is_vocabulary_centred else product

    @torch.inference_mode()
    def write_block(self, layer: int, neurons: slice) -> Floats:
        """What neurons of a layer write that stand beside each other: [n, d_model]."""
        return self._to_numpy(self.W_out(layer, neurons))

    @torch.inference_mode()
    def extremes(self, directions: Floats, tokens: slice, unused: Ints) -> Extremes:
        """The extremes of directions times the unembedding of some tokens, over both axes.

        In torch: a GPU makes products and extremes in less time than it takes to hand the products out.
        """
        congruence = self._products(self._as_normed(self._from_numpy(directions)), tokens)
        columns = torch.from_numpy(unused).to(self.device)
        congruence[:, columns] = torch.inf
        (smallest, smallest_ids), token_smallest = congruence.min(1), congruence.amin(0)
        congruence[:, columns] = -torch.inf
        (largest, largest_ids), token_largest = congruence.max(1), congruence.amax(0)
        return Extremes(
            largest=self._to_numpy(largest),
            largest_ids=largest_ids.cpu().numpy() + tokens.start,
            smallest=self._to_numpy(smallest),
            smallest_ids=smallest_ids.cpu().numpy() + tokens.start,
            token_largest=self._to_numpy(token_largest),
            token_smallest=self._to_numpy(token_smallest),
        )

    def as_read(self, unembedding: Tensor) -> Tensor:
        """An unembedding [d_model] as it reads the residual stream: through the final norm."""
        read = unembedding.unsqueeze(1)
        return (read if self.basis == "raw" else self.wiring.ln_final.fold(read)).squeeze(
            1
        ) * self.wiring.logit_factor

    def _as_normed(self, written: Tensor) -> Tensor:
        """What is written [n, d_model] as the final norm leaves it to the unembedding, but for its scale."""
        seen = written - written.mean(1, keepdim=True) if self._is_centred else written
        weight = None if self.basis == "raw" else self.wiring.ln_final.weight(seen)
        return (seen if weight is None else seen * weight) * self.wiring.logit_factor

    @property
    def _W_U(self) -> Tensor:
        """[d_vocab, d_model], or as wide as what the stream is projected to, as it lies."""
        weight = of_parameter(self.wiring.unembed, "weight")
        assert weight is not None
        return weight.detach()

    @property
    def _is_vocabulary_centred(self) -> bool:
        """The unembedding's mean moves all logits alike, unless a soft cap makes it count."""
        return self.basis == "folded" and self.wiring.logit_cap is None

    @property
    def _mean(self) -> Tensor:
        mean = self._vocabulary_mean
        return mean if self._is_vocabulary_centred else torch.zeros_like(mean)

    @cached_property
    def _vocabulary_mean(self) -> Tensor:
        weight = self._W_U
        wide = torch.float32 if weight.device.type == "mps" else torch.float64
        total = sum(weight[rows].sum(0, dtype=wide) for rows in _blocks(*weight.shape))
        assert isinstance(total, Tensor)
        return self._in_stream(self.at_home(total / weight.shape[0]))

    def _in_stream(self, unembedding: Tensor) -> Tensor:
        """A row of the unembedding as it reads what the final norm gives: [d_model]."""
        project = self.wiring.project_out
        weight = None if project is None else of_parameter(project, "weight")
        return unembedding if weight is None else unembedding @ self.at_home(weight)

    def _into_unembedding(self, normed: Tensor) -> Tensor:
        """What the final norm gives [n, d_model] as the unembedding is given it."""
        project = self.wiring.project_out
        weight = None if project is None else of_parameter(project, "weight")
        return normed if weight is None else normed @ self.at_home(weight).T

    def _from_numpy(self, values: Floats) -> Tensor:
        return self.at_home(torch.from_numpy(np.ascontiguousarray(values)))

    @staticmethod
    def _to_numpy(values: Tensor) -> Floats:
        array: Floats = values.detach().cpu().numpy()
        return array

    # --- names ---

    def check_neuron(self, neuron: NeuronId) -> None:
        """Raise BadIdError when the model has no such neuron."""
        self.info.check_neuron(neuron)

    def check_head(self, head: HeadId) -> None:
        """Raise BadIdError when the model has no such head."""
        self.info.check_head(head)


def _blocks(rows: int, columns: int) -> list[slice]:
    size = max(1, _BLOCK_NUMBERS // columns)
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
