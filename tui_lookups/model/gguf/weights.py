"""Which tensor of a .gguf file becomes which parameter, and what the file's converter did to it is undone.

1. A family's table gives, for each tensor, the parameter, its shape in the model's sizes, and what
   llama.cpp's converter changed: the order of rows, a transposition, or a constant added.
2. Optional tensors come in groups (the biases of attention, of the MLP): a group is there in every layer or
   in none. Where only some kinds of a group are there, the others are zero, as they are in llama.cpp.
3. Every tensor of the file must be in the table, and every parameter must have its tensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tui_lookups.model.gguf.header import TensorInfo
from tui_lookups.model.gguf.keys import Ledger

Order = Literal["", "rotated_queries", "rotated_keys", "joint_by_head"]


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of a model; `letter` gives them by the letters that tables write shapes with."""

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    context: int

    def shape(self, letters: str) -> tuple[int, ...]:
        """V vocabulary, D hidden, F MLP, Q and K queries and keys, H head, J joint q, k and v, C context."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        sizes = {
            "V": self.vocabulary, "D": self.hidden, "F": self.mlp, "Q": queries, "K": keys,
            "H": self.head_dim, "J": queries + 2 * keys, "C": self.context,
        }  # fmt: skip
        return tuple(sizes[letter] for letter in letters)


@dataclass(frozen=True, slots=True)
class Weight:
    """A row of a family's table.

    Attributes:
        name: of the tensor; "{}" stands for the number of the layer.
        parameter: of the Hugging Face module, likewise.
        shape: of the parameter, in the letters of `Sizes.shape`.
        order: how the rows of the file are ordered.
        transposed: the file has the parameter's transpose.
        added: what the file's values have on top of the parameter's.
        group: the optional group it belongs to; "" where it must be there.
    """

    name: str
    parameter: str
    shape: str
    order: Order = ""
    transposed: bool = False
    added: float = 0.0
    group: str = ""


@dataclass(frozen=True, slots=True)
class Placed:
    """A parameter and how it is made of a tensor; `tensor` is None where it is zero."""

    parameter: str
    shape: tuple[int, ...]
    tensor: TensorInfo | None
    rows: np.ndarray | None = None
    transposed: bool = False
    added: float = 0.0


def groups_present(table: tuple[Weight, ...], tensors: dict[str, TensorInfo]) -> set[str]:
    """The optional groups of which the file has any tensor."""
    stems = {_kind(name) for name in tensors}
    return {weight.group for weight in table if weight.group and weight.name in stems}


def place(
    table: tuple[Weight, ...], tensors: dict[str, TensorInfo], sizes: Sizes, ledger: Ledger
) -> list[Placed]:
    """The parameters of the model, in the order of the table; what does not fit is refused in `ledger`."""
    present = groups_present(table, tensors)
    stems = {_kind(name) for name in tensors}
    placed = []
    for layer, weight in _rows(table, sizes.layers):
        if weight.group and weight.group not in present:
            continue
        name, parameter = weight.name.format(layer), weight.parameter.format(layer)
        shape = sizes.shape(weight.shape)
        info = tensors.get(name)
        if info is None:
            if weight.group and weight.group != "head" and weight.name not in stems:
                placed.append(Placed(parameter, shape, None))
            else:
                ledger.put("tensor", name, "refused", f"is missing: {parameter} has no values")
            continue
        in_file = shape[::-1] if weight.transposed else shape
        if info.shape != in_file:
            ledger.put("tensor", name, "refused", f"has the shape {list(info.shape)}, not {list(in_file)}")
            continue
        undone = {"rotated_queries": ", rotary pairs put apart", "rotated_keys": ", rotary pairs put apart"}
        note = parameter + undone.get(weight.order, ", by head" if weight.order else "")
        note += ", transposed" if weight.transposed else f", less {weight.added:g}" if weight.added else ""
        ledger.put("tensor", name, "applied", note)
        rows = _row_order(weight.order, sizes)
        placed.append(Placed(parameter, shape, info, rows, weight.transposed, weight.added))
    for name in tensors:
        if ("tensor", name) not in ledger.entries:
            ledger.put("tensor", name, "refused", "has no place in a model of this family")
    return placed


def _kind(name: str) -> str:
    """A tensor's name with "{}" for the number of its layer."""
    first, _, rest = name.partition(".")
    number, _, kind = rest.partition(".")
    return f"blk.{{}}.{kind}" if first == "blk" and number.isdecimal() else name


def _rows(table: tuple[Weight, ...], layers: int) -> list[tuple[int, Weight]]:
    """Rows without a layer first, then those of layer 0, 1, ..."""
    whole = [(0, weight) for weight in table if "{}" not in weight.name]
    of_layer = [weight for weight in table if "{}" in weight.name]
    return whole + [(layer, weight) for layer in range(layers) for weight in of_layer]


def _row_order(order: Order, sizes: Sizes) -> np.ndarray | None:
    """For each row of the parameter, the row of the file; None where they are the same.

    "rotated_*": llama.cpp turns neighbouring rows of a head together, transformers those half a head apart.
    "joint_by_head": the file has all queries, keys, values; the parameter those of the first head, and so on.
    """
    if not order:
        return None
    if order == "joint_by_head":
        joint = np.arange(3 * sizes.heads * sizes.head_dim)
        return joint.reshape(3, sizes.heads, sizes.head_dim).swapaxes(0, 1).ravel()
    heads = sizes.heads if order == "rotated_queries" else sizes.kv_heads
    pairs = np.arange(heads * sizes.head_dim).reshape(heads, sizes.head_dim // 2, 2)
    return pairs.swapaxes(1, 2).ravel()
