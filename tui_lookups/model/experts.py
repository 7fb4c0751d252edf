"""Neurons of a mixture of experts in the place of MLP neurons, the router's weights held.

See method.md, section 15.

1. transformers keeps the weights of a layer's experts in two parameters and multiplies with slices of them
   inside one forward: no module is given activations. So neurons are worked out here, beside the model, of
   what the MLP is given and of what its own router gives.
2. Expert e's neuron i has number `e * d_expert + i`; those of a shared expert come behind all others. Its
   activation is `r_e act(g) u`, with r_e what the router multiplies the expert's output by: 0 where the
   expert is not run. So the activations times the rows of W_out are what the MLP writes (held to it in
   proof.py).
3. Nothing is worked out in a pass that nobody looks at it in. Activations take the experts that were chosen;
   pre-activations, which only a decomposition of the layer's own neurons looks at, take all of them.
4. An activation that a hook replaces changes what the MLP writes by the difference times its row of W_out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from tui_lookups.model.projections import Projection, at, of_parameter
from tui_lookups.model.stand_ins import has_hooks, with_change

Part = Literal["gate", "up", "down"]


@dataclass(frozen=True, eq=False)
class Experts:
    """The experts of one layer.

    Attributes:
        mlp: the MLP's module: it is given what neurons read, and gives what all of them write.
        router: it gives the weights of the experts that it chose, and their numbers.
        routed: the module whose parameters are theirs.
        shared, shared_gate: an expert that is always run, and the module whose sigmoid it is multiplied by.
        routing: a stand-in that gives the weights of `weights`.
    """

    mlp: nn.Module
    router: nn.Module
    routed: nn.Module
    shared: nn.Module | None
    shared_gate: nn.Module | None
    routing: nn.Module = field(default_factory=nn.Identity)

    @property
    def activation(self) -> Callable[[Tensor], Tensor]:
        """The function of the gate, the same in all experts."""
        act: Callable[[Tensor], Tensor] = self.routed.get_submodule("act_fn")
        return act

    def rows(self, part: Part) -> tuple[Tensor, Tensor | None]:
        """What neurons read with ("gate", "up") or write with ("down"), as views: [n_experts, d_expert,
        d_model], and of the shared expert [d_shared, d_model]."""
        shared = None
        if self.shared is not None:
            shared = of_parameter(self.shared.get_submodule(f"{part}_proj"), "weight")
            assert shared is not None
        if part == "down":
            return self._routed("down_proj").transpose(1, 2), None if shared is None else shared.T
        halves = self._routed("gate_up_proj").chunk(2, 1)
        return halves[0 if part == "gate" else 1], shared

    def _routed(self, name: str) -> Tensor:
        weight = of_parameter(self.routed, name)
        assert weight is not None
        return weight

    @property
    def sizes(self) -> tuple[int, int, int]:
        """n_experts, d_expert, d_shared; the last is 0 where no expert is shared."""
        routed, shared = self.rows("down")
        return routed.shape[0], routed.shape[1], 0 if shared is None else len(shared)

    @property
    def d_mlp(self) -> int:
        """Neurons of the layer."""
        n_experts, d_expert, d_shared = self.sizes
        return n_experts * d_expert + d_shared

    def weights(self, given: Tensor, routed: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """What each expert's output is multiplied by: [tokens, n_experts], one more where one is shared.

        Args:
            given: what the MLP reads, [tokens, d_model].
            routed: what the router gave: logits, and the weights and numbers of the experts that it chose.
        """
        logits, chosen, numbers = routed
        weights = torch.zeros_like(logits, dtype=chosen.dtype).scatter(-1, numbers, chosen)
        if self.shared is None:
            return weights
        assert self.shared_gate is not None
        return torch.cat([weights, self.shared_gate(given).sigmoid().to(weights)], -1)

    def of_neurons(self, weights: Tensor) -> Tensor:
        """Weights of experts, [..., n_experts], as those of their neurons: [..., d_mlp]."""
        n_experts, d_expert, d_shared = self.sizes
        shared = weights[..., n_experts:].repeat_interleave(d_shared, -1) if d_shared else weights[..., :0]
        return torch.cat([weights[..., :n_experts].repeat_interleave(d_expert, -1), shared], -1)

    def activations(self, given: Tensor, weights: Tensor) -> Tensor:
        """Every neuron's activation, of experts that were not chosen 0: [tokens, d_mlp]."""
        n_experts, d_expert, d_shared = self.sizes
        activations = given.new_zeros(len(given), self.d_mlp)
        (gates, shared_gate), (ups, shared_up) = self.rows("gate"), self.rows("up")
        for expert in weights[:, :n_experts].any(0).nonzero()[:, 0].tolist():
            tokens = weights[:, expert].nonzero()[:, 0]
            own = slice(expert * d_expert, (expert + 1) * d_expert)
            activations[tokens, own] = self._activations(
                given[tokens], gates[expert], ups[expert], weights[tokens, expert]
            )
        if shared_gate is not None and shared_up is not None:
            activations[:, -d_shared:] = self._activations(
                given, shared_gate, shared_up, weights[:, n_experts]
            )
        return activations

    def _activations(self, given: Tensor, gate: Tensor, up: Tensor, weights: Tensor) -> Tensor:
        """Of one expert's neurons: [n, d_expert]."""
        fired = self.activation(linear(given, gate)) * linear(given, up)
        return (fired * weights.unsqueeze(1)).to(given)


@dataclass(frozen=True, eq=False, kw_only=True)
class ExpertProjection(Projection):
    """What neurons of experts read with, [d_model, d_mlp], or write with, [d_mlp, d_model]."""

    experts: Experts
    part: Part

    @property
    def shape(self) -> tuple[int, int]:
        d_mlp, d_model = self.experts.d_mlp, int(self.experts.rows(self.part)[0].shape[2])
        return (d_mlp, d_model) if self.part == "down" else (d_model, d_mlp)

    @property
    def dtype(self) -> torch.dtype:
        return self.experts.rows(self.part)[0].dtype

    @property
    def device(self) -> torch.device:
        return self.experts.rows(self.part)[0].device

    @property
    def matrix(self) -> Tensor:
        """A copy: the experts' rows do not lie behind each other in every part."""
        matrix = _matrix(self.experts, self.part)
        return matrix if self.part == "down" else matrix.T

    @property
    def bias(self) -> None:
        """Experts of the families that are read have none."""

    def inputs(self, which: Sequence[int] | slice) -> Tensor:
        """See Projection."""
        return self._rows(which) if self.part == "down" else super().inputs(which)

    def outputs(self, which: Sequence[int]) -> Tensor:
        """See Projection."""
        return super().outputs(which) if self.part == "down" else self._rows(which).T

    def _rows(self, which: Sequence[int] | slice) -> Tensor:
        """Of some neurons, without a copy of all: [n, d_model]."""
        routed, shared = self.experts.rows(self.part)
        n_experts, d_expert, _ = routed.shape
        some = range(self.experts.d_mlp)[which] if isinstance(which, slice) else which
        numbers = torch.tensor(list(some), dtype=torch.int64, device=routed.device)
        is_shared = numbers >= n_experts * d_expert
        own = numbers.masked_fill(is_shared, 0)
        rows = routed[own // d_expert, own % d_expert]
        if shared is not None:
            rows[is_shared] = shared[numbers[is_shared] - n_experts * d_expert]
        return rows


def _matrix(experts: Experts, part: Part) -> Tensor:
    """Of all neurons: [d_mlp, d_model]."""
    routed, shared = experts.rows(part)
    rows = routed.flatten(0, 1)
    return rows if shared is None else torch.cat([rows, shared])


class _Reads(nn.Module):
    """Stands for what all neurons read with one of their two vectors: [..., d_model] to [..., d_mlp]."""

    def __init__(self, experts: Experts, part: Part) -> None:
        super().__init__()
        self._experts, self._part = experts, part

    def forward(self, given: Tensor) -> Tensor:
        return linear(given, _matrix(self._experts, self._part))


class ExpertRoles(NamedTuple):
    """The experts of a layer, and what their neurons read and write with."""

    experts: Experts
    gate: ExpertProjection
    up: ExpertProjection
    down: ExpertProjection


def find_experts(block: nn.Module) -> ExpertRoles | None:
    """The experts of a block, watched; None where its MLP is no mixture of them that is known."""
    mlp = at(block, "mlp")
    routed = None if mlp is None else at(mlp, "experts")
    if mlp is None or routed is None or not {"gate_up_proj", "down_proj"} <= routed._parameters.keys():
        return None
    router, shared, shared_gate = (at(mlp, name) for name in ("gate", "shared_expert", "shared_expert_gate"))
    if router is None or at(routed, "act_fn") is None or (shared is None) != (shared_gate is None):
        return None
    experts = Experts(mlp, router, routed, shared, shared_gate)
    roles = ExpertRoles(
        experts,
        gate=ExpertProjection(_Reads(experts, "gate"), experts=experts, part="gate"),
        up=ExpertProjection(_Reads(experts, "up"), experts=experts, part="up"),
        down=ExpertProjection(nn.Identity(), experts=experts, part="down"),
    )
    _watch(roles)
    return roles


def _watch(roles: ExpertRoles) -> None:
    """Put hooks on a layer that work its neurons out where somebody looks at them (steps 1, 3 and 4)."""
    experts, gate, up, down = roles
    change: list[Tensor] = []

    def chose(_: nn.Module, arguments: tuple[Tensor, ...], routed: tuple[Tensor, Tensor, Tensor]) -> None:
        change.clear()
        if not any(map(has_hooks, (experts.routing, gate.module, up.module, down.module))):
            return
        (given,) = arguments
        weights = experts.routing(experts.weights(given, routed))
        for part in (gate.module, up.module):
            if has_hooks(part):
                part(given)
        if has_hooks(down.module):
            own = experts.activations(given, weights)
            seen = down.module(own)  # as hooks leave it
            change.extend([] if seen is own else [seen - own])

    def wrote(_: nn.Module, arguments: object, output: Tensor) -> Tensor | None:
        return with_change(output, change.pop() if change else None, down.inputs)

    experts.router.register_forward_hook(chose)
    experts.mlp.register_forward_hook(wrote)
