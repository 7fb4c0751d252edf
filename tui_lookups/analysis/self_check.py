"""Whether decompositions of the model at hand close, for `doctor`.

1. A short text of fixed pseudo-random tokens is run; in the first, a middle and the last layer the neurons
   with the largest and the smallest activation at its last position are decomposed (method.md, section 4).
2. The remainder must be within the bound of the dtype (method.md, section 4), as for every decomposition that
   is given.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tui_lookups.analysis.attribution import BOUNDS, decompose
from tui_lookups.errors import Poll, no_poll
from tui_lookups.ids import NeuronId
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.results import SelfCheck

_LENGTH = 10


@dataclass(frozen=True, slots=True)
class Closure:
    """The worst remainder found, relative to the sum of |components|, and the neuron it was found at."""

    neuron: NeuronId
    relative_remainder: float
    bound: float

    @property
    def closes(self) -> bool:
        return self.relative_remainder <= self.bound


def check_closure(model: LookupModel, *, poll: Poll = no_poll) -> Closure:
    """Decompose a few neurons of the loaded model and return the worst remainder."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, model.info.d_vocab, (_LENGTH,), generator=generator).tolist()
    if model.vocabulary.bos_id is not None:
        ids[0] = model.vocabulary.bos_id
    last = model.info.n_layers - 1
    layers = sorted({0, last // 2, last})
    chosen: list[NeuronId] = []

    def choose(layer: int, activations: Tensor) -> None:
        at_end = activations[0, -1]
        chosen.extend(model.info.neuron_id(layer, int(i)) for i in (at_end.argmax(), at_end.argmin()))

    model.mlp_activations(model.batch([ids]), layers, choose, poll=poll)
    worst = Closure(chosen[0], 0.0, BOUNDS[model.dtype])
    for neuron in chosen:
        decomposition = decompose(model, neuron, [ids], [_LENGTH - 1], hold=False, poll=poll)[0]
        relative = decomposition.relative_remainder
        if relative > worst.relative_remainder:
            worst = Closure(neuron, relative, worst.bound)
    return worst


def self_check(model: LookupModel, *, poll: Poll = no_poll) -> SelfCheck:
    """The wiring and the closure of a loaded model."""
    worst, wiring = check_closure(model, poll=poll), model.architecture
    return SelfCheck(
        family=wiring.label,
        listed=wiring.listed,
        gated=wiring.gated,
        own_layer=wiring.own_layer,
        mlp_norm=wiring.mlp_norm or "none",
        post_norms=wiring.attn_post_norm or wiring.mlp_post_norm,
        neuron=str(worst.neuron),
        relative_remainder=worst.relative_remainder,
        bound=worst.bound,
        closes=worst.closes,
    )
