"""Modules by their paths, and the linear maps among them as matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


class RoleNotFound(Exception):
    """No module of the model plays a role; the sentence says which."""


@dataclass(frozen=True, eq=False)
class Projection:
    """A linear map, or the outputs of one that are this role's.

    Attributes:
        module: torch's Linear, or GPT-2's Conv1D.
        rows: its outputs that count; all of them where it is None.
    """

    module: nn.Module
    rows: slice | None = None

    @property
    def matrix(self) -> Tensor:
        """[d_in, d_out], a view."""
        weight = of_parameter(self.module, "weight")
        assert weight is not None
        there = weight if type(self.module).__name__ == "Conv1D" else weight.T
        return there if self.rows is None else there[:, self.rows]

    @property
    def shape(self) -> tuple[int, int]:
        """Of the matrix: d_in, d_out."""
        d_in, d_out = self.matrix.shape
        return d_in, d_out

    @property
    def dtype(self) -> torch.dtype:
        """Of the matrix."""
        return self.matrix.dtype

    @property
    def device(self) -> torch.device:
        """Where the matrix is."""
        return self.matrix.device

    def inputs(self, which: Sequence[int] | slice) -> Tensor:
        """The matrix' rows of some of its inputs: [n, d_out]."""
        return self.matrix[which if isinstance(which, slice) else list(which)]

    def outputs(self, which: Sequence[int]) -> Tensor:
        """The matrix' columns of some of its outputs: [d_in, n]."""
        return self.matrix[:, list(which)]

    @property
    def bias(self) -> Tensor | None:
        """[d_out], a view; None where it has none."""
        bias = of_parameter(self.module, "bias")
        return bias if bias is None or self.rows is None else bias[self.rows]

    def of_output(self, output: Tensor) -> Tensor:
        """The part of the module's output that is this role's."""
        return output if self.rows is None else output[..., self.rows]


def at(module: nn.Module, path: str) -> nn.Module | None:
    """The module at a dotted path below another; the other itself at the empty one. One that does nothing
    fills no role."""
    current: nn.Module | None = module
    for name in path.split(".") if path else ():
        current = current._modules.get(name) if current is not None else None
    return None if isinstance(current, nn.Identity) else current


def of_parameter(module: nn.Module, name: str) -> Tensor | None:
    """A parameter of a module, or None where it has none of that name."""
    return module._parameters.get(name)
