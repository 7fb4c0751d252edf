"""Tokens and neurons as readers and components, in double precision.

See method.md, sections 8 and 9. What is read is held to transformers' own module: the logits of its pass,
the pre-activations that its projections give.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tui_lookups.ids import NeuronId
from tui_lookups.model.components import (
    Reader,
    contributions,
    mlp_biases,
    neuron_contributions,
    neuron_reader,
    points_read,
    token_reader,
)
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.model.points import Point

ROWS = torch.randint(3, 290, (2, 30), generator=torch.Generator().manual_seed(8))
AT = torch.tensor([26, 9])
"""One of them beyond any window of these models."""

TOKEN, FOIL = 71, 202
FAMILIES = ["gpt2", "phi", "gemma2", "cohere", "granite", "olmo2"]
"""All families: tests/analysis/test_why.py and test_inputs.py."""

CLOSES = 1e-10


def seen_by(model: LookupModel, reader: Reader, *, neurons: bool) -> tuple[dict[Point, Tensor], Tensor]:
    """What `contributions` needs, and the logits before a soft cap: [batch, d_vocab]."""
    kept: dict[Point, Tensor] = {}
    logits: list[Tensor] = []
    handle = model.wiring.unembed.register_forward_hook(lambda _, given, gave: logits.append(gave))
    hooks = model.keeping(kept, AT, points_read(model, reader, neurons=neurons))
    model.log_probabilities(ROWS, AT, hooks)
    handle.remove()
    return kept, logits[0][:, 0] * model.wiring.logit_factor


def sums(model: LookupModel, reader: Reader, seen: dict[Point, Tensor]) -> tuple[Tensor, Tensor]:
    """The sum of everything that neurons were told apart in, and of its magnitudes: [batch, n] each."""
    found = contributions(model, reader, seen)
    assert found.mlps.shape[1] == 0
    parts = [found.heads.flatten(1, 2), found.attention_biases]
    parts += [found.embedding.unsqueeze(1), found.bias.expand(2, 1, -1)]
    for layer in reader.mlp_layers:
        parts.append(neuron_contributions(model, reader, seen, layer))
        parts.append(mlp_biases(model, reader, seen, layer).unsqueeze(1))
    every = torch.cat(parts, 1)
    return every.sum(1), every.abs().sum(1)


@pytest.mark.parametrize("name", FAMILIES)
def test_neurons_and_everything_else_sum_to_a_tokens_logit(tiny_model, name: str) -> None:
    """Counted from the mean over the logits, and from a foil."""
    model = tiny_model(name, "float64")
    for foil in (None, FOIL):
        reader = token_reader(model, TOKEN, foil)
        seen, logits = seen_by(model, reader, neurons=True)
        whole, size = sums(model, reader, seen)
        origin = logits.mean(1) if foil is None else logits[:, foil]
        assert (whole[:, 0] - (logits[:, TOKEN] - origin)).abs().max() <= CLOSES * size.max()
        assert size.min() > 0.01


@pytest.mark.parametrize("name", FAMILIES)
def test_neurons_and_biases_sum_to_their_mlp(tiny_model, name: str) -> None:
    model = tiny_model(name, "float64")
    reader = neuron_reader(model, NeuronId(model.info.n_layers - 1, 5))
    points = {*points_read(model, reader), *points_read(model, reader, neurons=True)}
    seen = model.capture(ROWS, AT, points, stop_after=model.info.n_layers - 1)
    together = contributions(model, reader, seen)
    for layer in reader.mlp_layers:
        neurons = neuron_contributions(model, reader, seen, layer)
        assert neurons.shape == (2, model.info.d_mlp, reader.directions.shape[1])
        found = neurons.sum(1) + mlp_biases(model, reader, seen, layer)
        assert (found - together.mlps[:, layer]).abs().max() <= CLOSES * neurons.abs().sum(1).max()
