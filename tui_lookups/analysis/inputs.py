"""What fires a neuron, down to earlier neurons, and what it does with one of them cut off.

See method.md, sections 9 and 11.

1. The neuron is a reader of the residual stream; everything that writes into it before is told apart at one
   position of each row, down to neurons (exact_sum.py). A gated neuron reads with two directions, r_u and
   r_g; with rho = act(g) / g held, component c gets rho/2 * (g_c * u + g * u_c), which is what it writes
   times R = rho/2 * (g * r_u + u * r_g), over the scale (section 4).
2. g and u, or the pre-activation, are held to the bound each by itself, and act(g) * u to a.
3. One edge cut: the component is taken out of what this neuron reads, and out of nothing else. With the scale
   of the norm held the target falls by what the component contributes; with the scale free it is what the
   model's own norm gives of the stream without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tui_lookups.analysis.attribution import check_reaches, held_ratio, require_closure
from tui_lookups.analysis.batches import MOST_TOKENS, consecutive
from tui_lookups.analysis.exact_sum import ExactSum, exact_sums
from tui_lookups.errors import Poll, no_poll
from tui_lookups.ids import HeadId, NeuronId, out_of_reach
from tui_lookups.model.components import Reader, neuron_reader, points_read, written
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.model.points import Point, Role
from tui_lookups.progress import counting

_BATCH_ROWS = 8
"""Rows whose neurons are told apart at once: a million neurons have as many figures in each."""


@dataclass(frozen=True, eq=False)
class NeuronSum:
    """What a neuron reads at one position, as an exact sum.

    Attributes:
        found: its target is the pre-activation of a plain MLP, the activation of a gated one.
        g, u: of a gated MLP; g is the pre-activation of a plain one, and u None.
        rho: act(g) / g, 1 for a plain MLP.
    """

    found: ExactSum
    activation: float
    g: float
    u: float | None
    rho: float

    def target_of(self, g: float, u: float | None) -> float:
        """What the target is, its non-linearity held, with other g and u."""
        return g if u is None or self.u is None else self.rho / 2 * (g * self.u + self.g * u)


@dataclass(frozen=True, eq=False)
class CutEdge:
    """A neuron's target, and its activation, without one component (step 3)."""

    neuron: NeuronSum
    contribution: float
    held: float
    activation_held: float
    free: float
    activation_free: float


def neuron_sums(
    model: LookupModel,
    neuron: NeuronId,
    rows: Sequence[Sequence[int]],
    positions: Sequence[int],
    *,
    poll: Poll = no_poll,
) -> list[NeuronSum]:
    """What a neuron reads at one position of each row of token ids.

    Raises:
        BadIdError: no such neuron.
        NumericalError: NaN or infinite values.
        UnsupportedModelError: a sum does not close within the bound of the model's precision.
    """
    model.check_neuron(neuron)
    sums: list[NeuronSum] = []
    for batch in consecutive([position + 1 for position in positions], MOST_TOKENS, _BATCH_ROWS):
        poll()
        some, at = rows[batch.start : batch.stop], positions[batch.start : batch.stop]
        sums += _batch(model, neuron, neuron_reader(model, neuron), some, at, [], poll)[0]
    return sums


@torch.inference_mode()
def _batch(
    model: LookupModel,
    neuron: NeuronId,
    reader: Reader,
    rows: Sequence[Sequence[int]],
    positions: Sequence[int],
    also: Sequence[Point],
    poll: Poll,
) -> tuple[list[NeuronSum], Mapping[Point, Tensor]]:
    """The sums of one forward pass, and what was seen in it, `also` among it."""
    layer, gated = neuron.layer, model.architecture.gated
    tokens = model.batch(row[: q + 1] for row, q in zip(rows, positions, strict=True))
    at = torch.tensor(positions, device=model.device)
    roles: tuple[Role, ...] = ("pre", "post", "pre_linear") if gated else ("pre", "post")
    own = [Point(role, layer) for role in roles]
    points = {*points_read(model, reader, neurons=True), *own, *also}
    counted = counting(poll, "running the text", layer + 1, "blocks")
    seen = model.capture(tokens, at, points, stop_after=layer, poll=counted)
    g, a, *u = (seen[point][:, neuron.index].cpu().double() for point in own)
    if gated:
        rho = held_ratio(model.wiring.blocks[layer].activation, g)
        read, weights = torch.stack([u[0], g], 1), torch.stack([g, u[0]], 1) * rho.unsqueeze(1) / 2
        targets = a
    else:
        rho, read, targets = torch.ones_like(g), g.unsqueeze(1), g
        weights = torch.ones_like(read)
    sums = exact_sums(model, reader, seen, read, weights, targets.tolist(), poll=poll)
    neuron_sums_of_batch = []
    for number, one_sum in enumerate(sums):
        mine = NeuronSum(
            one_sum,
            float(a[number]),
            float(g[number]),
            float(u[0][number]) if gated else None,
            float(rho[number]),
        )
        off = max(one_sum.relative_remainder, _product_remainder(mine))
        require_closure(model, str(neuron), off)
        neuron_sums_of_batch.append(mine)
    return neuron_sums_of_batch, seen


def _product_remainder(own: NeuronSum) -> float:
    """How far act(g) * u is from a, in units of |g * u|: a saturated gate makes the product's own components
    vanish."""
    if own.u is None:
        return 0.0
    return abs(own.rho * own.g * own.u - own.activation) / max(abs(own.g * own.u), 1e-30)


@torch.inference_mode()
def cut_edge(
    model: LookupModel,
    neuron: NeuronId,
    component: HeadId | NeuronId,
    row: Sequence[int],
    position: int,
    *,
    poll: Poll = no_poll,
) -> CutEdge:
    """Take a head, or an earlier neuron, out of what one neuron reads at a position (step 3).

    Raises LookupsError where the component does not reach the neuron, and as `neuron_sums`.
    """
    model.check_neuron(neuron)
    if isinstance(component, HeadId):
        check_reaches(model, neuron, component, "default")
    else:
        check_neuron_reaches(model, neuron, component)
    reader, norm = neuron_reader(model, neuron), model.wiring.blocks[neuron.layer].norms.get("ln2")
    stream = Point("resid_mid", neuron.layer)
    also = [] if norm is None else [stream]
    (own,), seen = _batch(model, neuron, reader, [row], [position], also, poll)
    pre = seen[Point("pre", neuron.layer)][0]
    taken = written(model, component, seen, reader.stage)[0]  # [d_model]
    scale = free_scale = taken.new_ones(1)
    if norm is not None and reader.norm is not None:
        scale, free_scale = seen[reader.norm][0], norm.scale(seen[stream][0] - taken)
    constants = reader.constants.cpu().double().numpy()
    less = (taken @ reader.directions / scale).cpu().double().numpy()  # [n]: W_in, and W_gate
    read = np.array([own.g] if own.u is None else [own.u, own.g])
    held, ratio = read - less, float(scale / free_scale)
    free = (held - constants) * ratio + constants
    return CutEdge(
        neuron=own,
        contribution=own.found.of(component),
        held=own.found.target - own.found.of(component),
        activation_held=_activation(model, neuron, held, pre),
        free=own.target_of(float(free[-1]), None if own.u is None else float(free[0])),
        activation_free=_activation(model, neuron, free, pre),
    )


def check_neuron_reaches(model: LookupModel, neuron: NeuronId, earlier: NeuronId) -> None:
    """Raise LookupsError unless an earlier neuron writes before the other reads."""
    model.check_neuron(earlier)
    if earlier.layer >= neuron.layer:
        raise out_of_reach(earlier, neuron, neuron.layer - 1)


def _activation(model: LookupModel, neuron: NeuronId, read: npt.NDArray[np.float64], pre: Tensor) -> float:
    """What the neuron gives of what it reads: u and g, or the pre-activation alone.

    Args:
        pre: pre-activations (g) of all neurons of the layer, [d_mlp], which the others keep: whether a unit
            is among the k largest rests on theirs.
    """
    among = pre.clone()
    among[neuron.index] = float(read[-1])
    activated = float(model.wiring.blocks[neuron.layer].activation(among)[neuron.index])
    return activated if len(read) == 1 else activated * float(read[0])
