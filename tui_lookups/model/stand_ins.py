"""Modules that stand for what a model computes inside another module, or not at all, so that hooks see it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn


def has_hooks(module: nn.Module) -> bool:
    """Whether somebody looks at a module: what nobody looks at in a pass is not worked out in it."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def with_change(output: Tensor, change: Tensor | None, rows: Callable[[list[int]], Tensor]) -> Tensor | None:
    """What an MLP's output becomes where hooks replaced activations; None where none was changed.

    Args:
        output: [..., d_model].
        change: the difference of the activations, [..., d_mlp].
        rows: what some of the neurons write, by their numbers: [n, d_model].
    """
    if change is None:
        return None
    changed: list[int] = change.flatten(0, -2).abs().amax(0).nonzero()[:, 0].tolist()
    if not changed:
        return None
    return output + (change[..., changed] @ rows(changed)).to(output).view_as(output)
