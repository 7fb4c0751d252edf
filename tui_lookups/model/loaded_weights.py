"""The weights of a loaded model, layer by layer, and what congruence needs of them.

They are in TransformerLens names and shapes, in compatibility mode ("folded", method.md, section 1) unless
the model was loaded for the raw basis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.architecture import Architecture
from tui_lookups.model.file_weights import Extremes, Ints
from tui_lookups.model.tensor_files import Floats
from tui_lookups.results import Basis, ModelInfo


class LoadedWeights:
    """Weights of one model, handed out on `device`, that of its first block.

    Args:
        bridge: a TransformerBridge, in compatibility mode when `basis` is "folded".
        info: what the model is.
        architecture: how its MLP neurons are wired.
    """

    def __init__(self, bridge: Any, info: ModelInfo, architecture: Architecture, basis: Basis) -> None:
        self._bridge = bridge
        self.info = info
        self.architecture = architecture
        self.basis: Basis = basis
        self.dtype: torch.dtype = bridge.blocks[0].mlp.W_out.dtype
        of_blocks: list[torch.device] = [block.mlp.W_out.device for block in bridge.blocks]
        self.device = of_blocks[0]
        self.devices = tuple(dict.fromkeys(of_blocks))
        """Where its blocks are, the first one's device first."""
        # Figures are computed in at least single precision, whatever the weights are stored in.
        self.compute_dtype = torch.float64 if self.dtype == torch.float64 else torch.float32

    def W_out(self, layer: int) -> Tensor:
        """What each neuron writes, as the unembedding sees it: [d_mlp, d_model].

        A norm after the MLP applies its weight to it, and a residual multiplier scales it
        (method.md, section 2).
        """
        weight: Tensor = self._bridge.blocks[layer].mlp.W_out.to(self.device)
        post = self.post_norm_weight(layer, "ln2_post")
        if post is not None:
            weight = weight.to(self.compute_dtype) * post
        multiplier = self.architecture.residual_multiplier
        return weight if multiplier == 1.0 else weight * multiplier

    def W_in(self, layer: int, index: int) -> Tensor:
        """The direction neuron `index` reads (through W_in): [d_model], in compute_dtype."""
        direction: Tensor = self._at_home(self._bridge.blocks[layer].mlp.W_in[:, index])
        return direction

    def W_gate(self, layer: int, index: int) -> Tensor:
        """The direction the gate of neuron `index` reads: [d_model]. Gated MLPs only."""
        direction: Tensor = self._at_home(self._bridge.blocks[layer].mlp.W_gate[:, index])
        return direction

    def b_in(self, layer: int, index: int) -> float:
        return _entry(self._bridge.blocks[layer].mlp.b_in, index)

    def b_gate(self, layer: int, index: int) -> float:
        return _entry(self._bridge.blocks[layer].mlp.b_gate, index)

    def W_O(self, layer: int) -> Tensor:
        """[n_heads, d_head, d_model], in compute_dtype."""
        return self._at_home(self._bridge.blocks[layer].attn.W_O)

    def b_O(self, layer: int) -> Tensor | None:
        """What attention writes whatever it attends to: [d_model], value biases folded in."""
        bias = self._bridge.blocks[layer].attn.b_O
        return None if bias is None else self._at_home(bias)

    @cached_property
    def W_U(self) -> Tensor:
        """[d_model, d_vocab]; in the folded basis the final norm's weight is in it.

        TransformerLens does not fold that weight where it folds no norm at all (OLMo 2), so it is done here.
        What the family multiplies or divides its logits by is in it, in both bases.
        """
        unembedding: Tensor = self._bridge.W_U.to(self.device)
        if self.architecture.logits_scaling != 1.0:
            unembedding = unembedding / self.architecture.logits_scaling
        weight = getattr(self._bridge.ln_final.original_component, "weight", None)
        if self.basis == "raw":  # folding multiplies Cohere's scale in
            return unembedding * self._bridge.cfg.logit_scale if self._scales_logits else unembedding
        if weight is None:  # a LayerNorm without weights (OLMo 1): nothing was folded, nor centred with it
            centred: Tensor = unembedding - unembedding.mean(0, dtype=self.compute_dtype).to(self.dtype)
            return centred if self.architecture.centred else unembedding
        factor = self._at_home(weight) + (1.0 if self._bridge.cfg.rmsnorm_uses_offset else 0.0)
        if bool((factor == 1.0).all()):
            return unembedding
        folded: Tensor = (unembedding.to(self.compute_dtype) * factor.unsqueeze(1)).to(self.dtype)
        return folded

    @property
    def _scales_logits(self) -> bool:
        return self.architecture.family in ("cohere", "cohere2")

    def post_norm_weight(self, layer: int, name: str) -> Tensor | None:
        """Weight of the norm after attention ("ln1_post") or the MLP ("ln2_post"): [d_model], or None."""
        block = self._bridge.blocks[layer]
        if name not in block.submodules:
            return None
        weight = self._at_home(getattr(block, name).original_component.weight)
        return 1.0 + weight if self._bridge.cfg.rmsnorm_uses_offset else weight

    def _at_home(self, weight: Tensor) -> Tensor:
        return weight.to(self.device, self.compute_dtype)

    def activation_function(self) -> Callable[[Tensor], Tensor]:
        from transformers.activations import ACT2FN

        function: Callable[[Tensor], Tensor] = ACT2FN[self.architecture.activation]
        return function

    # --- what congruence needs (analysis/congruence.py, Writes) ---

    @property
    def ran_on(self) -> str:
        """The device that the products are made on."""
        return str(self.device)

    @property
    def d_vocab(self) -> int:
        """Rows of the unembedding."""
        return self.info.d_vocab

    def toward(self, layer: int, direction: Floats) -> Floats:
        """Every neuron's W_out times a direction [d_model]: [d_mlp]."""
        return self._to_numpy(self._at_home(self.W_out(layer)) @ self._from_numpy(direction))

    def lengths(self, layer: int) -> Floats:
        """The length of what each neuron writes: [d_mlp]."""
        return self._to_numpy(self._at_home(self.W_out(layer)).norm(dim=1))

    def directions(self, neurons: Sequence[NeuronId]) -> Floats:
        """What these neurons write: [n, d_model]."""
        for neuron in neurons:
            self.check_neuron(neuron)
        W_out = {layer: self.W_out(layer) for layer in {neuron.layer for neuron in neurons}}
        return self._to_numpy(torch.stack([self._at_home(W_out[n.layer][n.index]) for n in neurons]))

    def unembedding(self, token_id: int) -> Floats:
        """The direction that a token reads: [d_model]."""
        return self._to_numpy(self._at_home(self.W_U[:, token_id]))

    def mean_unembedding(self) -> Floats:
        """The mean of those over the vocabulary: [d_model]."""
        return self._to_numpy(self.W_U.mean(1, dtype=self.compute_dtype))

    def congruences(self, directions: Floats) -> Floats:
        """Directions [n, d_model] times the unembedding of every token: [n, d_vocab]."""
        return self._to_numpy(self._from_numpy(directions) @ self._at_home(self.W_U))

    def write_block(self, layer: int, neurons: slice) -> Floats:
        """What neurons of a layer write that stand beside each other: [n, d_model]."""
        return self._to_numpy(self._at_home(self.W_out(layer)[neurons]))

    @torch.inference_mode()
    def extremes(self, directions: Floats, tokens: slice, unused: Ints) -> Extremes:
        """The extremes of directions times the unembedding of some tokens, over both axes.

        In torch: a GPU makes products and extremes in less time than it takes to hand the products out.
        """
        congruence = self._from_numpy(directions) @ self._at_home(self.W_U[:, tokens])
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

    def _from_numpy(self, values: Floats) -> Tensor:
        return self._at_home(torch.from_numpy(np.ascontiguousarray(values)))

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


def _entry(bias: Tensor | None, index: int) -> float:
    return 0.0 if bias is None else float(bias[index])
