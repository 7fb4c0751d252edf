"""Relevance, and what reads on behalf of what is above, against autograd (method.md, section 9).

The reference is transformers' own model with its non-linearities held (tests/frozen_model.py).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.frozen_model import FrozenModel
from tui_lookups.analysis.readings import HeadReading, Reading, below, neuron_reading, token_reading
from tui_lookups.analysis.relevance import relevance
from tui_lookups.errors import UnsupportedModelError, no_poll
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.model.text_pass import TextPass

FAMILIES = [
    "gpt2", "opt", "gpt_neox_parallel", "gpt_neox_sequential", "gptj", "llama", "qwen2", "qwen3",
    "gemma2", "gemma3_text", "olmo2", "granite", "arcee", "cohere", "openai-gpt", "opt_post_ln",
]  # fmt: skip
"""Plain and gated, parallel and not, norms after attention and MLP, on queries and keys, multipliers,
Post-LN."""

TOKENS = torch.randint(3, 290, (9,), generator=torch.Generator().manual_seed(4)).tolist()
Q = len(TOKENS) - 1
SAME = 2e-6
"""transformers takes the softmax in single precision."""


@pytest.fixture(scope="module")
def frozen(tiny_folder: Callable[[str], Path]) -> Callable[[str], FrozenModel]:
    made: dict[str, FrozenModel] = {}
    return lambda name: made.setdefault(name, FrozenModel(tiny_folder(name), TOKENS))


def roots(model: LookupModel) -> list[int | NeuronId]:
    return [71, NeuronId(model.info.n_layers - 1, 3), NeuronId(0, 5)]


def reading(text: TextPass, root: int | NeuronId) -> Reading:
    return token_reading(text, root, None, Q) if isinstance(root, int) else neuron_reading(text, root, Q)


def run(model: LookupModel, root: int | NeuronId) -> TextPass:
    return TextPass(model, TOKENS, None if isinstance(root, int) else root.layer, no_poll)


@pytest.mark.parametrize("name", FAMILIES)
def test_relevance_is_value_times_gradient(tiny_model, frozen, name: str) -> None:
    model, reference = tiny_model(name, "float64"), frozen(name)
    for root in roots(model):
        text = run(model, root)
        above = reading(text, root)
        found = relevance(text, above, most=10**6, poll=no_poll)
        number = reference.root(root, Q, gated=model.info.gated)
        assert above.value == pytest.approx(float(number.detach()), rel=SAME, abs=SAME)
        close = {"rtol": 0.0, "atol": SAME * found.size}
        (gradient,) = reference.gradients_of(number, reference.stream[0])
        stream = reference.stream[0].reshape(len(TOKENS), -1)
        torch.testing.assert_close(found.embedding, (stream * gradient).sum(1).detach(), **close)
        for layer, of_heads in found.heads.items():
            z, (gradient,) = reference.z[layer], reference.gradients_of(number, reference.z[layer])
            by_head = gradient.reshape(*of_heads.shape, -1)
            biases = model.value_biases[layer]
            apart = z.reshape(by_head.shape) - (0 if biases is None else biases)
            torch.testing.assert_close(of_heads, (apart * by_head).sum(2).detach(), **close)
        expected = {
            layer: reference.a[layer].reshape(len(TOKENS), -1)
            * reference.gradients_of(number, reference.a[layer])[0]
            for layer in range(above.mlp_layers)
        }
        assert len(found.neurons) == sum(
            model.info.d_mlp * int((values != 0).any(1).sum()) for values in expected.values()
        )
        for each in found.neurons:
            value = float(expected[each.neuron.layer].detach()[each.position, each.neuron.index])
            assert each.relevance == pytest.approx(value, abs=SAME * found.size)


@pytest.mark.parametrize("name", FAMILIES)
def test_leaves_sum_to_the_root(tiny_model, name: str) -> None:
    model = tiny_model(name, "float64")
    for root in roots(model):
        text = run(model, root)
        above = reading(text, root)
        found = relevance(text, above, most=1, poll=no_poll)
        assert abs(found.sum - above.value) <= 1e-10 * found.size
        assert abs(found.rounding) <= 1e-6 * found.size
        found.require_sum(text, above)
        found.biases += 1e-6 * found.size
        with pytest.raises(UnsupportedModelError, match="does not sum"):
            found.require_sum(text, above)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_reads_for_a_neuron_is_the_gradient_of_its_contribution(tiny_model, frozen, name: str) -> None:
    model, reference = tiny_model(name, "float64"), frozen(name)
    text = run(model, 71)
    layer = model.info.n_layers - 1
    for index in (0, 7):
        neuron = NeuronId(layer, index)
        (found,) = below(text, [(reading(text, 71), neuron)])
        assert isinstance(found, Reading)
        number = reference.root(71, Q, gated=model.info.gated)
        (whole,) = reference.gradients_of(number, reference.a[layer])
        fired = reference.a[layer].reshape(len(TOKENS), -1)[Q, index]
        contributed = fired * whole[Q, index].detach()
        assert found.value == pytest.approx(float(contributed.detach()), rel=1e-5, abs=SAME)
        (gradient,) = reference.gradients_of(contributed, reference.middle[layer])
        torch.testing.assert_close(found.vector, gradient[Q].detach(), rtol=1e-5, atol=SAME)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_reads_for_a_head_at_a_source_is_the_gradient_there(tiny_model, frozen, name: str) -> None:
    model, reference = tiny_model(name, "float64"), frozen(name)
    text, layer = run(model, 71), model.info.n_layers - 1
    head = HeadId(layer, 2)
    (found,) = below(text, [(reading(text, 71), head)])
    assert isinstance(found, HeadReading)
    z = reference.z[layer].reshape(len(TOKENS), model.info.n_heads, -1)
    (gradient,) = reference.gradients_of(z[Q, head.index] @ found.along.clone(), reference.stream[layer])
    for source in range(Q + 1):
        (there,) = below(text, [(found, source)])
        assert isinstance(there, Reading)
        torch.testing.assert_close(there.vector, gradient[source].detach(), rtol=1e-4, atol=SAME)
