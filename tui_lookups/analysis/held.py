"""What is held at its value between what a neuron reads and its activation.

See method.md, sections 4, 9 and 15.

1. A gated neuron is `a = act(g) u`; with rho = act(g) / g held it is `rho g u`. One of a mixture of experts
   is `r act(g) u`, and rho is r act(g) / g: what the router multiplies its expert's output by is held too.
2. A plain neuron is its pre-activation times a / pre.

Nothing is divided by what can vanish: a ratio at 0 is the slope of the activation function there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.model.points import Point, Role
from tui_lookups.model.text_pass import Neurons
from tui_lookups.model.wiring import Block

_SLOPE = 1e-6
"""Half the width of the interval that a slope at 0 is taken over."""


def held_ratio(act: Callable[[Tensor], Tensor], pre: Tensor) -> Tensor:
    """act(pre) / pre, held at its value (method.md, sections 4 and 9).

    At 0 it is its limit, the slope of `act` there: 1/2 for SiLU and GELU.
    """
    safe = torch.where(pre == 0, torch.ones_like(pre), pre)
    width = torch.full_like(pre, _SLOPE)
    return torch.where(pre == 0, (act(width) - act(-width)) / (2 * _SLOPE), act(safe) / safe)


def ratio_of(block: Block, neurons: Neurons) -> Tensor:
    """What activations are g u times (gated), or their pre-activations times (plain).

    A unit of a dictionary lets its pre-activation through or not, which may rest on a threshold of its own or
    on all other units: it is read off what it did (section 14).
    """
    g, a = neurons.g, neurons.a
    if block.units is not None:
        safe = torch.where(g == 0, torch.ones_like(g), g)
        return torch.where(g == 0, torch.zeros_like(g), a / safe)
    ratio = held_ratio(block.activation, g)
    return ratio if neurons.weight is None else ratio * neurons.weight


def neuron_points(model: LookupModel, layer: int) -> list[Point]:
    """What has to be seen in a pass for `neurons_seen`."""
    roles: list[Role] = ["pre", "post"]
    roles += ["pre_linear"] if model.architecture.gated else []
    roles += [] if model.wiring.blocks[layer].experts is None else ["router"]
    return [Point(role, layer) for role in roles]


def neurons_seen(model: LookupModel, layer: int, seen: Mapping[Point, Tensor]) -> Neurons:
    """A layer's neurons as they were seen: [..., d_mlp] each."""
    experts = model.wiring.blocks[layer].experts
    return Neurons(
        seen[Point("pre", layer)],
        seen[Point("pre_linear", layer)] if model.architecture.gated else None,
        seen[Point("post", layer)],
        None if experts is None else experts.of_neurons(seen[Point("router", layer)]),
    )
