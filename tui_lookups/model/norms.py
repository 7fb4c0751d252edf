"""Norms, read by algebra: what a norm does to a read vector instead of to the residual stream.

A norm gives `(x - mean(x) if centred else x) / scale * weight + bias`, so what reads its output with a vector
r reads the residual stream with `fold(r)` over the scale, and a constant (method.md, section 1). Which of the
four formulas a module computes - centred or not, multiplied by its weight or by 1 + weight - is found by
running it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

_TOLERANCE = {torch.float64: 1e-5, torch.float32: 1e-5, torch.float16: 5e-3, torch.bfloat16: 4e-2}
_EPSILON = ("variance_epsilon", "eps", "epsilon")


@dataclass(frozen=True, eq=False)
class Norm:
    """A norm module and the formula that it computes.

    Attributes:
        module: it may have a weight [d_model] and a bias [d_model].
        centred: the mean of what it reads is taken off (LayerNorm).
        adds_one: it multiplies by 1 + its weight (Gemma, Nemotron).
        eps: what is added to the variance, or to the mean square.
        is_weighted: what it gives is taken with its weight and its bias, not before them.
    """

    module: nn.Module
    centred: bool
    adds_one: bool
    eps: float
    is_weighted: bool = True

    def weight(self, like: Tensor) -> Tensor | None:
        """What it multiplies by, [d_model], as `like` is; None where it has no weight."""
        weight = self._parameter("weight")
        if weight is None:
            return None
        there = weight.detach().to(like.device, like.dtype)
        return there + 1.0 if self.adds_one else there

    def bias(self, like: Tensor) -> Tensor | None:
        """[d_model], as `like` is; None where it has none."""
        bias = self._parameter("bias")
        return None if bias is None else bias.detach().to(like.device, like.dtype)

    def _parameter(self, name: str) -> Tensor | None:
        return self.module._parameters.get(name) if self.is_weighted else None

    def scale(self, x: Tensor) -> Tensor:
        """What it divides by: [..., 1] for x [..., d_model]."""
        seen = x - x.mean(-1, keepdim=True) if self.centred else x
        return (seen.pow(2).mean(-1, keepdim=True) + self.eps).sqrt()

    def fold(self, read: Tensor) -> Tensor:
        """What reads the residual stream instead of `read` [d_model, n], which reads the norm's output."""
        weight = self.weight(read)
        folded = read if weight is None else read * weight.unsqueeze(1)
        return folded - folded.mean(0) if self.centred else folded

    def constant(self, read: Tensor) -> Tensor:
        """What `read` [d_model, n] gets from the norm's bias: [n]."""
        bias = self.bias(read)
        return read.new_zeros(read.shape[1]) if bias is None else bias @ read

    def linear(self, x: Tensor) -> Tensor:
        """What it makes of a part of what it reads, its scale and its bias left out: [..., d_model]."""
        seen = x - x.mean(-1, keepdim=True) if self.centred else x
        weight = self.weight(seen)
        return seen if weight is None else seen * weight

    def apply(self, x: Tensor) -> Tensor:
        """What the norm makes of x [..., d_model], in the precision of x (at least single)."""
        wide = x if x.dtype == torch.float64 else x.float()
        return self.divided(wide, self.scale(wide)).to(x.dtype)

    def divided(self, x: Tensor, scale: Tensor) -> Tensor:
        """What the norm makes of x [..., d_model] where it divides by `scale` [..., 1]."""
        divided, bias = self.linear(x) / scale, self.bias(x)
        return divided if bias is None else divided + bias


@torch.inference_mode()
def find_norm(module: nn.Module) -> Norm | None:
    """The formula that a module computes; None where it is none of the four.

    The probe has rows of length far below and above one, so that the formula's epsilon is seen too. A weight
    of two axes has a row for each head (Cohere's queries and keys).
    """
    weight = module._parameters.get("weight")
    if weight is None:
        shape = getattr(module, "normalized_shape", None) or (16,)
        probe = torch.randn(3, int(shape[-1]), generator=torch.Generator().manual_seed(0))
    elif weight.dim() not in (1, 2) or weight.shape[-1] < 2:
        return None
    else:
        probe = torch.randn(3, *weight.shape, generator=torch.Generator().manual_seed(0))
        probe = probe.to(weight.device, weight.dtype)
    lengths = torch.tensor([0.01, 1.0, 30.0]).to(probe).reshape(3, *[1] * (probe.dim() - 1))
    probe = probe * lengths + probe[:1].abs().mean()
    expected = module(probe).cpu().double()
    eps = next((float(getattr(module, key)) for key in _EPSILON if hasattr(module, key)), 1e-5)
    tolerance = _TOLERANCE[probe.dtype] * float(expected.abs().max())
    for centred in (False, True):
        for adds_one in (False,) if weight is None else (False, True):
            norm = Norm(module, centred, adds_one, eps)
            if float((norm.apply(probe).cpu().double() - expected).abs().max()) <= tolerance:
                return norm
    return None


def norms_in_double_precision(model: nn.Module) -> None:
    """Let a model in float64 compute its norms in float64, in place.

    transformers computes RMS norms (and OLMo's LayerNorm) in single precision whatever the model is in, which
    leaves 1e-7 in a decomposition that otherwise closes to 1e-15. Rotary angles and softmax stay in single
    precision: they are inputs of a decomposition, not parts of it.
    """
    for module in model.modules():
        # One that has parts holds a norm of torch's for each head (StableLM).
        own = not isinstance(module, (nn.LayerNorm, nn.RMSNorm)) and not list(module.children())
        if "Norm" in type(module).__name__ and own:
            norm = find_norm(module)
            if norm is not None:
                module.forward = norm.apply  # a module called as norm(x) runs its forward
