"""Double precision where the libraries fall back to single, for models loaded in float64 to check exactness.

transformers computes RMS norms (and OLMo's LayerNorm) in float32 whatever the model is in, and
TransformerLens folds norms in float32: either leaves 1e-7 in a decomposition that otherwise closes to 1e-15.

1. Norms: each norm module of that kind is run once on a random vector, the formula that reproduces it to
   single precision is found among the three in use (x / rms * w, x / rms * (1 + w), and (x - mean) / std
   without weights), and takes the module's place in the precision of its input. A norm none of them
   reproduces is left alone.
2. Folding: while `KeepDouble` is entered, `Tensor.float()` leaves float64 tensors as they are.

Rotary angles and attention probabilities stay in single precision: they are inputs of a decomposition, not
parts of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_Formula = Callable[[Tensor], Tensor]
_SINGLE_PRECISION = 1e-5


class KeepDouble(TorchFunctionMode):
    """While entered, `tensor.float()` of a float64 tensor is the tensor itself."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.float and args[0].dtype is torch.float64:
            return args[0]
        return func(*args, **(kwargs or {}))


def norms_in_double_precision(model: nn.Module) -> None:
    """Replace the single-precision norms of a transformers model in float64, in place."""
    for module in model.modules():
        if "Norm" not in type(module).__name__ or isinstance(module, (nn.LayerNorm, nn.RMSNorm)):
            continue
        formula = _formula_of(module)
        if formula is not None:
            module.forward = formula  # a module called as norm(x) runs its forward


@torch.no_grad()
def _formula_of(module: nn.Module) -> _Formula | None:
    weight = getattr(module, "weight", None)
    width = weight.shape[0] if weight is not None else int(getattr(module, "normalized_shape", (0,))[0])
    if width < 2:
        return None
    probe = torch.randn(1, 1, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = module(probe)
    for formula in _candidates(module):
        if bool((formula(probe) - expected).abs().max() < _SINGLE_PRECISION):
            return formula
    return None


def _candidates(module: Any) -> list[_Formula]:
    eps = float(getattr(module, "variance_epsilon", getattr(module, "eps", 1e-5)))

    def rms(x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)

    if getattr(module, "weight", None) is None:
        return [lambda x: rms(x - x.mean(-1, keepdim=True))]
    # The weight is read at each call: folding replaces it.
    return [lambda x: rms(x) * module.weight, lambda x: rms(x) * (1.0 + module.weight)]
