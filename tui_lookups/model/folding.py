"""Whether a wrapped and folded model is still the model that transformers loaded (method.md, section 1).

1. Before TransformerLens wraps a model, its own module gives the log-probabilities of a short text of fixed
   pseudo-random tokens.
2. The bridge computes attention and rotation by itself, once wrapped, and has other weights, once folded:
   each time it must give the same log-probabilities within 1e-3 (in float32 and float64).
3. Folding must have left the norm before every MLP without a weight of its own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tui_lookups.errors import UnsupportedModelError
from tui_lookups.model.architecture import SUPPORTED, Architecture

_TOLERANCE = 1e-3
_LENGTH = 12


class SameModel:
    """The log-probabilities of a transformers model on a short text, to hold its bridge to.

    To be made before the model is wrapped, which changes it in place.
    """

    def __init__(self, hf_model: Any, bos_id: int | None, name: str) -> None:
        weights = next(hf_model.parameters())
        vocabulary = int(hf_model.get_output_embeddings().weight.shape[0])
        tokens = torch.randint(0, vocabulary, (1, _LENGTH), generator=torch.Generator().manual_seed(0))
        if bos_id is not None:
            tokens[0, 0] = bos_id
        self._name = name
        self._tokens = tokens.to(weights.device)
        self._exact = weights.dtype in (torch.float32, torch.float64)
        self._expected = self._log_probabilities(hf_model(self._tokens, use_cache=False).logits)

    @staticmethod
    def _log_probabilities(logits: Tensor) -> Tensor:
        return logits.double().log_softmax(-1)

    def require(self, bridge: Any, what: str) -> None:
        """Raise UnsupportedModelError when the bridge gives others; `what` was done to the model last.

        In half precision rounding alone moves them by more than any bound that would catch an error.
        """
        found = self._log_probabilities(bridge(self._tokens, return_type="logits"))
        error = float((self._expected - found).abs().max())
        if self._exact and not error < _TOLERANCE:
            raise UnsupportedModelError(
                f"{what} {self._name} changed its log-probabilities by {error:.2g}.",
                f"Its figures would be wrong, so it is refused. {SUPPORTED}",
            )


def require_folded(bridge: Any, architecture: Architecture, name: str) -> None:
    """Raise UnsupportedModelError when the norm before an MLP still has a weight of its own."""
    if architecture.mlp_norm is None:
        return
    neutral = 0.0 if bridge.cfg.rmsnorm_uses_offset else 1.0
    for layer, block in enumerate(bridge.blocks):
        weight = getattr(getattr(block, architecture.mlp_norm).original_component, "weight", None)
        if weight is not None and not bool((weight == neutral).all()):
            raise UnsupportedModelError(
                f"The norm before the MLP of layer {layer} of {name} could not be folded.",
                f"Its figures would be wrong, so it is refused. {SUPPORTED}",
            )


def cast_rotated(bridge: Any, dtype: torch.dtype) -> None:
    """Cast queries and keys back to the model's dtype after rotation.

    OLMo keeps its rotary angles in float32, and its own module casts what it has rotated; TransformerLens
    rotates with Llama's function, which does not, and multiplies float32 patterns with bfloat16 values.
    """

    def cast(rotated: Tensor, hook: Any) -> Tensor:
        return rotated.to(dtype)

    for block in bridge.blocks:
        for name in ("hook_rot_q", "hook_rot_k"):
            point = getattr(block.attn, name, None)
            if point is not None:
                point.add_perma_hook(cast)
