"""Why what a component contributes to a neuron differs between two models (method.md, section 13, Shifts).

1. At one place, each model's neuron reads with one vector R: its read vectors, the norm's scale and, of a
   gated neuron, its ratio held in it (`reading_at`).
2. A component writes w, and contributes `w . R`. Both models' writes are read with both models' R
   (`read_with`): four products a component, and no vector goes from one model to the other but R.
3. `w_B . R_B - w_A . R_A` is exactly the change of what was written, `(w_B - w_A) . (R_A + R_B) / 2`, and the
   change of what reads it, `(w_A + w_B) / 2 . (R_B - R_A)`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tui_lookups.analysis.attribution import require_closure
from tui_lookups.analysis.held import neuron_points, neurons_seen, ratio_of
from tui_lookups.errors import Poll
from tui_lookups.ids import NeuronId
from tui_lookups.model.components import Reader, contributions, neuron_reader, points_read
from tui_lookups.model.lookup_model import LookupModel, require_finite
from tui_lookups.model.points import Point

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ReadPlaces:
    """A neuron of one model at some places.

    Attributes:
        vectors: what it reads with, [places, d_model].
        biases: what it reads whatever is written, [places].
        targets: what all sums to: its pre-activation; of a gated neuron, its activation. [places].
        activations: [places].
        seen: what was written there, in the model; see `points_read`.
    """

    vectors: Doubles
    biases: Doubles
    targets: Doubles
    activations: Doubles
    seen: Mapping[Point, Tensor]


@torch.inference_mode()
def reading_at(
    model: LookupModel,
    neuron: NeuronId,
    rows: Sequence[Sequence[int]],
    positions: Sequence[int],
    poll: Poll,
) -> ReadPlaces:
    """What a neuron reads with at one position of each row of token ids.

    Raises NumericalError where an activation is NaN or infinite.
    """
    layer, reader = neuron.layer, neuron_reader(model, neuron)
    own = neuron_points(model, layer)
    tokens = model.batch(row[: q + 1] for row, q in zip(rows, positions, strict=True))
    at = torch.tensor(positions, device=model.device)
    seen = model.capture(tokens, at, [*points_read(model, reader), *own], stop_after=layer, poll=poll)
    fired = neurons_seen(model, layer, seen).each(lambda values: values[:, neuron.index])
    g, u, a, _ = fired
    for point in own:
        del seen[point]
    require_finite(a, layer)
    if u is not None:
        rho = ratio_of(model.wiring.blocks[layer], fired)
        weights, targets = rho.unsqueeze(1) / 2 * torch.stack([g, u], 1), a
    else:
        weights, targets = torch.ones_like(g).unsqueeze(1), g
    scale = 1.0 if reader.norm is None else seen[reader.norm]
    vectors = weights @ reader.directions.T / scale
    figures = [vectors, weights @ reader.constants, targets, a]
    read, biases, values, activations = (each.cpu().double().numpy() for each in figures)
    return ReadPlaces(read, biases, values, activations, seen)


@torch.inference_mode()
def read_with(
    model: LookupModel, neuron: NeuronId, places: ReadPlaces, vectors: Sequence[Doubles], own: int
) -> Doubles:
    """What the components of a model come to, read with each of some vectors, [places, d_model] each.

    Args:
        own: which of the vectors are the model's own.
    Returns:
        [places, components, vectors]: every head that reaches the neuron, by layer; then the MLP of each
        earlier layer, the embedding, and the attention biases of all layers.
    Raises:
        UnsupportedModelError: read with its own, the components and the bias do not sum to the target.
    """
    reached = neuron_reader(model, neuron)
    by_component = []
    for place in range(len(places.targets)):
        directions = torch.from_numpy(np.stack([each[place] for each in vectors], 1))
        directions = directions.to(model.compute_dtype)  # before it goes to a device that has no doubles
        reader = Reader(
            model.at_home(directions),
            model.at_home(torch.zeros(len(vectors))),
            None,
            reached.head_layers,
            reached.mlp_layers,
        )
        seen = {point: values[place : place + 1] for point, values in places.seen.items()}
        parts = contributions(model, reader, seen)
        rows = (parts.heads[0].flatten(0, 1), parts.mlps[0], parts.embedding, parts.attention_biases.sum(1))
        by_component.append(torch.cat(rows).cpu().double().numpy())
    products = np.stack(by_component)
    mine = np.column_stack([products[..., own], places.biases])
    off = np.abs(mine.sum(1) - places.targets) / np.maximum(np.abs(mine).sum(1), 1e-30)
    require_closure(model, str(neuron), float(off.max()))
    return products


class Shift(NamedTuple):
    """Of each component at each place, [places, components] each: what it contributes before and after, and
    what of the change is that of what was written, and of what reads it. The last two sum to the change."""

    before: Doubles
    after: Doubles
    by_writing: Doubles
    by_reading: Doubles


def shifts(before: Doubles, after: Doubles) -> Shift:
    """The change of every contribution in two parts (step 3).

    Args:
        before, after: what either model's components come to, read with R of A and R of B:
            [places, components, 2].
    """
    by_writing = (after - before).mean(2)
    by_reading = ((before + after) / 2) @ np.array([-1.0, 1.0])
    return Shift(before[..., 0], after[..., 1], by_writing, by_reading)
