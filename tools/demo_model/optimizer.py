"""The optimizer of the demo model's training.

1. The matrices inside the blocks are moved by Muon: momentum, orthogonalised by five Newton-Schulz steps.
2. Everything else is moved by Adam.
3. The unembedding's rows of rare tokens are pulled towards the mean row, the harder the fewer times a token
   occurs: half-trained rows would otherwise be the largest congruences of the late layers (on the mean row,
   the centred unembedding of a token is zero).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from tools.demo_model.books import Counts

_RARE = 200
"""A token that occurs this many times is pulled to the mean half as hard as one that never does."""
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_NEWTON_SCHULZ_STEPS = 5


def orthogonalised(gradient: torch.Tensor) -> torch.Tensor:
    """[n, m] the nearest matrix with singular values near one, by Newton-Schulz steps, scaled for its shape.

    Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
    """
    a, b, c = _NEWTON_SCHULZ
    tall = gradient.size(0) > gradient.size(1)
    x = gradient.T if tall else gradient
    x = x / (x.norm() + 1e-7)
    for _ in range(_NEWTON_SCHULZ_STEPS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    scale = math.sqrt(x.size(1) / x.size(0))
    found: torch.Tensor = (x.T if tall else x) * scale
    return found


class Optimizer:
    """Muon for the blocks' matrices, Adam for the rest, and the pull on rare tokens' rows."""

    def __init__(self, model: Any, counts: Counts, *, lr: float, adam_lr: float) -> None:
        """`counts`: [vocab] occurrences of each token; `lr` is Muon's learning rate, `adam_lr` Adam's."""
        self._lr = lr
        self._adam_lr = adam_lr
        self._unembedding = model.get_output_embeddings().weight
        named = dict(model.named_parameters())
        self._matrices = [p for name, p in named.items() if p.dim() == 2 and ".h." in name]
        inside = {id(p) for p in self._matrices}
        rest = [p for p in named.values() if id(p) not in inside]
        # A large eps: the tiny, one-sided gradients of rare tokens are not blown up to full steps.
        self._adam = torch.optim.Adam(rest, lr=adam_lr, betas=(0.9, 0.95), eps=1e-6)
        self._momentum = [torch.zeros_like(p) for p in self._matrices]
        self._pull = (_RARE / (_RARE + torch.from_numpy(counts).float())).unsqueeze(1)  # [vocab, 1]

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """One update with both learning rates times `factor`."""
        adam_lr, lr = self._adam_lr * factor, self._lr * factor
        for group in self._adam.param_groups:
            group["lr"] = adam_lr
        self._adam.step()
        mean = self._unembedding.mean(dim=0, keepdim=True)
        self._unembedding -= adam_lr * self._pull * (self._unembedding - mean)
        for matrix, momentum in zip(self._matrices, self._momentum, strict=True):
            assert matrix.grad is not None
            momentum.mul_(0.95).add_(matrix.grad)
            nesterov = matrix.grad + 0.95 * momentum
            # Queries, keys and values lie side by side in one matrix, and are three maps.
            n_parts = 3 if matrix.size(1) == 3 * matrix.size(0) else 1
            update = torch.cat([orthogonalised(part) for part in nesterov.chunk(n_parts, dim=1)], dim=1)
            matrix.mul_(1 - 0.01 * lr).add_(update, alpha=-lr)

    def state(self) -> dict[str, torch.Tensor]:
        """What a resumed training needs beside the parameters, by name.

        Learning rates are not in it: each step sets them.
        """
        state = {f"momentum.{i}": momentum for i, momentum in enumerate(self._momentum)}
        for i, kept in self._adam.state_dict()["state"].items():
            state |= {f"adam.{i}.{name}": tensor for name, tensor in kept.items()}
        return state

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from what `state` returned."""
        self._momentum = [state[f"momentum.{i}"] for i in range(len(self._matrices))]
        adam: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in state.items():
            kind, i, *entry = name.split(".")
            if kind == "adam":
                adam.setdefault(int(i), {})[entry[0]] = tensor
        self._adam.load_state_dict({**self._adam.state_dict(), "state": adam})
