"""What moved in the weights from one model to another of its architecture (method.md, section 13).

1. A neuron is its vectors: what it writes, and what it reads with W_in (and W_gate). Each one's change is the
   length of the difference over that of the vector in the first model or, where that is less, over the root
   mean square of the layer's: a neuron whose weights are next to nothing does not come first for a small
   difference. A neuron's `moved` is the root of the sum of their squares.
2. The same of a head and its four matrices, whose length is the Frobenius norm.
3. A tensor as the files name it: the norm of the difference over that of the tensor, and the largest singular
   value of the difference. An edit of rank one has all of its change there, a training spreads it: ordered by
   that value, the edit comes first though the training as a whole changed more.

A matrix of a layer of each model, and their difference, are in memory at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tui_lookups.analysis.congruence import best_first, own_tokens
from tui_lookups.errors import NumericalError, Poll
from tui_lookups.ids import HeadId
from tui_lookups.model.matrices import HeadMatrix, Matrices
from tui_lookups.model.tensor_files import Floats
from tui_lookups.results import MovedHead, MovedNeuron, MovedTensor, MovedVector

Doubles = npt.NDArray[np.float64]

_READ_BY_HEADS: tuple[HeadMatrix, ...] = ("W_Q", "W_K", "W_V")

_ROWS = 1024
"""Vectors that are compared at once, in double precision."""

_MOST_NUMBERS = 1 << 27
"""Of a tensor whose difference is held for its largest singular value: 512 MB in single precision."""

_STEPS, _STEADY = 20, 1e-3
"""Where power iteration ends: after so many steps, or once a step adds less than this share."""


@dataclass(frozen=True, eq=False, slots=True)
class VectorMoves:
    """How the vectors of one kind moved, [n] each: see `MovedVector`; `cosine` is NaN where that has None."""

    change: Doubles
    cosine: Doubles
    before: Doubles
    after: Doubles

    def at(self, index: int) -> MovedVector:
        """That of one vector."""
        cosine = float(self.cosine[index])
        return MovedVector(
            float(self.change[index]),
            None if np.isnan(cosine) else cosine,
            float(self.before[index]),
            float(self.after[index]),
        )


def vector_moves(before: Floats, after: Floats) -> VectorMoves:
    """Of the rows of two matrices, [n, width] each. Raises NumericalError where one is not finite."""
    lengths, later, moved, products = np.empty((4, len(before)))
    for start in range(0, len(before), _ROWS):
        rows = slice(start, start + _ROWS)
        a, b = before[rows].astype(np.float64), after[rows].astype(np.float64)
        lengths[rows], later[rows] = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
        moved[rows], products[rows] = np.linalg.norm(b - a, axis=1), np.einsum("nd,nd->n", a, b)
    if not np.isfinite(lengths.sum() + later.sum()):
        raise NumericalError("One of the two models has NaN or infinite weights.", "Fetch it again.")
    both = lengths * later
    cosine = np.where(both > 0, products / np.where(both > 0, both, 1), np.nan).clip(-1, 1)
    cosine[(moved == 0) & (both > 0)] = 1
    typical = np.sqrt(np.mean(lengths**2) or np.mean(later**2) or 1)
    return VectorMoves(moved / np.maximum(lengths, typical), cosine, lengths, later)


def neuron_moves(before: Matrices, after: Matrices, layer: int) -> list[VectorMoves]:
    """Of a layer's neurons: what they write, what they read with W_in, and with W_gate if they have one."""
    every = slice(0, before.writes.info.d_mlp)
    moves = [vector_moves(before.writes.write_block(layer, every), after.writes.write_block(layer, every))]
    pairs = zip(before.reads(layer), after.reads(layer), strict=True)
    return moves + [vector_moves(a, b) for a, b in pairs]


def moved_neurons(
    before: Matrices, after: Matrices, layers: Sequence[int], top: int, poll: Poll
) -> tuple[tuple[MovedNeuron, ...], int]:
    """The `top` neurons that moved most, ties by layer and index, and how many moved at all."""
    moves = []
    for layer in layers:
        poll()
        moves.append(neuron_moves(before, after, layer))
    moved = np.concatenate([np.sqrt(sum(kind.change**2 for kind in of_layer)) for of_layer in moves])
    info = before.writes.info
    places = [int(place) for place in best_first(moved, top) if moved[place] > 0]
    names = info.neurons_at(layers, places)
    earlier, later = own_tokens(before.writes, names), own_tokens(after.writes, names)
    rows = []
    for name, place in zip(names, places, strict=True):
        write, read, *gate = (kind.at(name.index) for kind in moves[place // info.d_mlp])
        size = float(moved[place])
        rows.append(
            MovedNeuron(
                name, name.layer, name.index, size, write, read, gate[0] if gate else None,
                earlier[name], later[name],
            )
        )  # fmt: skip
    return tuple(rows), int((moved > 0).sum())


def moved_heads(
    before: Matrices, after: Matrices, layers: Sequence[int], top: int, poll: Poll
) -> tuple[tuple[MovedHead, ...], int]:
    """The `top` heads that moved most, ties by layer and index, and how many moved at all."""
    n_heads, rows = before.writes.info.n_heads, []
    for layer in layers:
        poll()
        changes: dict[HeadMatrix, Doubles] = {}
        ours, theirs = before.heads(layer), after.heads(layer)
        for kind, matrices in ours.items():
            flat = len(matrices), -1
            found = vector_moves(matrices.reshape(flat), theirs[kind].reshape(flat)).change
            changes[kind] = found.repeat(n_heads // len(found))  # heads of one group share it
        moved = np.sqrt(sum(change**2 for change in changes.values()))
        for index in range(n_heads):
            q, k, v = (float(changes[kind][index]) if kind in changes else None for kind in _READ_BY_HEADS)
            name = HeadId(layer, index)
            out = float(changes["W_O"][index])
            rows.append(MovedHead(name, layer, index, float(moved[index]), q, k, v, out))
    found_rows = sorted((row for row in rows if row.moved > 0), key=lambda row: -row.moved)
    return tuple(found_rows[:top]), len(found_rows)


def moved_tensors(before: Matrices, after: Matrices, poll: Poll) -> tuple[list[MovedTensor], int]:
    """The tensors that changed, in the order of the files, and how many were compared.

    Compared are those that both have in one shape.
    """
    theirs = after.shapes()
    common = {name: shape for name, shape in before.shapes().items() if theirs.get(name) == shape}
    tensors = [_moved_tensor(before, after, name, shape, poll) for name, shape in common.items()]
    return [row for row in tensors if row is not None], len(common)


def tensors_apart(before: Matrices, after: Matrices) -> tuple[str, ...]:
    """The names of tensors that only one of the two has, or that have two shapes."""
    ours, theirs = before.shapes(), after.shapes()
    return tuple(sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)))


def _moved_tensor(
    before: Matrices, after: Matrices, name: str, shape: tuple[int, ...], poll: Poll
) -> MovedTensor | None:
    """How a tensor changed; None where it did not."""
    poll()
    is_held = len(shape) == 2 and int(np.prod(shape, dtype=np.int64)) <= _MOST_NUMBERS
    earlier, later, moved, held = 0.0, 0.0, 0.0, []
    for a, b in zip(before.blocks(name), after.blocks(name), strict=True):
        difference = b - a
        earlier, later = earlier + _sum_of_squares(a), later + _sum_of_squares(b)
        moved += _sum_of_squares(difference)
        if is_held:
            held.append(difference)
    if not np.isfinite(earlier + later):
        raise NumericalError(f"{name} has NaN or infinite weights.", "Fetch the model again.")
    if moved == 0:
        return None
    norm = float(np.sqrt(earlier or later))
    change = float(np.sqrt(moved)) / norm
    if not is_held:
        return MovedTensor(name, shape, change, None, None)
    largest = largest_singular_value(np.concatenate(held))
    return MovedTensor(name, shape, change, largest / norm, min(1.0, largest**2 / moved))


def _sum_of_squares(values: Floats) -> float:
    flat = values.ravel()
    return float(np.dot(flat, flat))


def largest_singular_value(matrix: Floats) -> float:
    """By power iteration from the longest row: exact for an edit of rank one, which that row is along.

    An estimate from below where no direction stands out.
    """
    rows = np.einsum("nd,nd->n", matrix, matrix)
    along = matrix[int(rows.argmax())].astype(np.float64)
    size = 0.0
    for _ in range(_STEPS):
        along /= np.linalg.norm(along)
        image = matrix @ along.astype(matrix.dtype)
        earlier, size = size, float(np.linalg.norm(image))
        if size - earlier <= _STEADY * size:
            break
        along = (image @ matrix).astype(np.float64)
    return size
