"""Models whose residual sums are normalised, against a reference that carries writes up to what reads them.

See method.md, sections 2, 4, 8 and 11, and tests/reference_post_ln.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.analysis.neurons import decompose_neurons
from tests.reference_post_ln import PostLnReference, Read
from tui_lookups.analysis.attribution import decompose
from tui_lookups.analysis.carries import carried_to_neuron, carried_to_token
from tui_lookups.analysis.congruence import token_scores
from tui_lookups.analysis.inputs import cut_edge, neuron_sums
from tui_lookups.analysis.peaks import run_at_peaks
from tui_lookups.analysis.why import layers_of, why_token
from tui_lookups.errors import UnsupportedModelError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.architecture import Architecture
from tui_lookups.model.lookup_model import LookupModel

FAMILIES = ["openai-gpt", "opt_post_ln"]
IDS = torch.randint(3, 290, (20,), generator=torch.Generator().manual_seed(1)).tolist()
Q, TOKEN = 16, 71
SAME = 3e-6
"""OPT takes the softmax in single precision; relative to the sum of the components' sizes."""


@pytest.fixture(scope="module")
def reference_of(tiny_folder: Callable[[str], Path]) -> Callable[[str], PostLnReference]:
    made: dict[str, PostLnReference] = {}
    return lambda name: made.setdefault(name, PostLnReference(tiny_folder(name), IDS))


def of_layers(read: Read, layers: list[Tensor]) -> np.ndarray:
    """What components of each layer contribute, [layers, ...]."""
    return np.stack([read.of(vectors).numpy() for vectors in layers]) if layers else np.zeros(0)


def test_the_architecture_says_so(tiny_model) -> None:
    found: dict[str, Architecture] = {name: tiny_model(name).architecture for name in (*FAMILIES, "opt")}
    assert {name: one.post_ln for name, one in found.items()} == {
        "openai-gpt": True, "opt_post_ln": True, "opt": False,
    }  # fmt: skip
    assert all(one.mlp_norm == "ln2" and one.own_layer and one.listed for one in found.values())


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(("dtype", "closes"), [("float64", 1e-10), ("float32", 3e-6)])
def test_attribution(tiny_model, reference_of, name: str, dtype: str, closes: float) -> None:
    """Heads, MLPs, embedding and biases, at the first, the middle and the last layer."""
    model, reference = tiny_model(name, dtype), reference_of(name)
    for layer in range(3):
        indices = range(0, model.info.d_mlp, 9)
        for index, found in zip(indices, decompose_neurons(model, layer, indices, [IDS], [Q]), strict=True):
            read, size = reference.neuron(layer, index, Q), found.scale
            assert abs(found.remainder) <= closes * size
            assert found.target == pytest.approx(read.whole, abs=SAME * size)
            assert np.abs(found.heads - of_layers(read, read.parts.heads)).max() <= SAME * size
            mlps = [n.sum(0) + b for n, b in zip(read.parts.neurons, read.parts.mlp_biases, strict=True)]
            assert np.allclose(found.mlps, of_layers(read, mlps), rtol=0, atol=SAME * size)
            assert found.embedding == pytest.approx(float(read.of(read.parts.embedding)), abs=SAME * size)
            biases = of_layers(read, read.parts.attention_biases).sum()
            assert found.attention_biases == pytest.approx(biases, abs=SAME * size)
            assert found.bias == pytest.approx(read.bias, abs=SAME * size)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_head_split_over_the_tokens_that_it_reads(tiny_model, reference_of, name: str) -> None:
    model, reference = tiny_model(name, "float64"), reference_of(name)
    for head in (HeadId(0, 1), HeadId(1, 3), HeadId(2, 0)):
        neuron = NeuronId(2, 11)
        (found,) = decompose(model, neuron, [IDS], [Q], source_head=head)
        read = reference.neuron(2, 11, Q)
        values = reference.values[head.layer][: Q + 1, head.index]
        values = values - reference.value_biases(head.layer)[head.index]
        pattern = reference.patterns[head.layer][head.index, Q, : Q + 1]
        carried = pattern / pattern.sum() * (values @ _along(reference, read, head))
        assert found.sources is not None
        assert np.abs(found.sources - carried.numpy()).max() <= SAME * np.abs(found.sources).sum()
        assert found.sources.sum() == pytest.approx(found.heads[head.layer, head.index], rel=1e-5)
        split = carried_to_neuron(model, head, neuron, IDS, Q, 5, top=3).contributions
        assert split.target == pytest.approx(float(carried[5]), abs=SAME * np.abs(found.sources).sum())
        to_token = carried_to_token(model, head, TOKEN, IDS, Q, 5, top=3).contributions
        assert abs(to_token.remainder) <= 1e-10 * max(abs(to_token.target), 1.0)


def _along(reference: PostLnReference, read: Read, head: HeadId) -> Tensor:
    """What reads a head's value, found by writing with each dimension of it in turn: [d_head]."""
    W_O = reference.layers[head.layer].out.weight.unflatten(0, (reference.n_heads, -1))[head.index]
    written = W_O
    for number, layer in enumerate(reference.layers):
        if head.layer < number <= 2:
            written = reference.layers[number - 1].after_mlp.linear(written)
            written = written / reference.layers[0].after_mlp.scale(reference.end[number - 1][Q])
        if head.layer <= number <= 2:
            written = layer.after_attention.linear(written)
            written = written / layer.after_attention.scale(reference.middle[number][Q])
    return written @ read.reading


@pytest.mark.parametrize("name", FAMILIES)
def test_earlier_neurons_one_by_one(tiny_model, reference_of, name: str) -> None:
    model, reference = tiny_model(name, "float64"), reference_of(name)
    (found,) = neuron_sums(model, NeuronId(2, 5), [IDS], [Q])
    read = reference.neuron(2, 5, Q)
    expected = of_layers(read, read.parts.neurons)
    assert np.abs(found.found.neurons - expected).max() <= SAME * np.abs(expected).sum()


@pytest.mark.parametrize("name", FAMILIES)
def test_why_a_token(tiny_model, reference_of, name: str) -> None:
    model, reference = tiny_model(name, "float64"), reference_of(name)
    found, read = why_token(model, IDS, Q, TOKEN, top=4), reference.token(TOKEN, Q)
    exact, size = found.found, np.abs(found.found.neurons).sum() + np.abs(found.found.heads).sum()
    assert exact.relative_remainder <= 1e-10
    assert exact.target == pytest.approx(read.whole, abs=SAME * size)
    assert np.abs(exact.heads - of_layers(read, read.parts.heads)).max() <= SAME * size
    assert np.abs(exact.neurons - of_layers(read, read.parts.neurons)).max() <= SAME * size
    for ours, theirs in (
        (exact.attention_biases, read.parts.attention_biases), (exact.mlp_biases, read.parts.mlp_biases),
    ):  # fmt: skip
        assert np.abs(ours - of_layers(read, theirs)).max() <= SAME * size
    assert exact.embedding == pytest.approx(float(read.of(read.parts.embedding)), abs=SAME * size)
    assert exact.bias == pytest.approx(read.bias, abs=SAME * size)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_lens_is_the_unembedding_of_what_a_block_gives(tiny_model, reference_of, name: str) -> None:
    model, reference = tiny_model(name, "float64"), reference_of(name)
    layers = layers_of(model, why_token(model, IDS, Q, TOKEN, top=4))
    for number, layer in enumerate(layers):
        norm, end = reference.layers[number].after_mlp, reference.end[number][Q]
        logits = reference.unembedding @ (norm.linear(end) / norm.scale(end) + norm.bias)
        assert layer.lens_logit == pytest.approx(float(logits[TOKEN] - logits.mean()), abs=1e-5)
        assert layer.lens_token.id == int(logits.argmax())


@pytest.mark.parametrize("name", FAMILIES)
def test_congruence_is_a_contribution_but_for_activation_and_scales(
    tiny_model, reference_of, name: str
) -> None:
    model, reference = tiny_model(name, "float64"), reference_of(name)
    read = reference.token(TOKEN, Q)
    for layer in range(3):
        found, expected = token_scores(model, TOKEN, [layer]), reference.congruences(layer, TOKEN).numpy()
        assert np.abs(found - expected).max() <= 1e-12 * np.abs(expected).max()
        neuron = NeuronId(layer, 7)
        written = model.directions([neuron])
        assert model.congruences(written)[0, TOKEN] == pytest.approx(expected[7], rel=1e-10)
        at_peak = run_at_peaks(model, neuron, [IDS], [Q], [[TOKEN]])
        scale, fired = float(at_peak.scale[0]), float(at_peak.activation[0])
        assert scale == pytest.approx(reference.scales_above(layer, Q), rel=1e-5)
        contributed = float(read.of(read.parts.neurons[layer])[7])
        assert fired * expected[7] / scale == pytest.approx(contributed, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("cut", [HeadId(2, 1), HeadId(0, 2), NeuronId(1, 8)])
def test_one_edge_cut(tiny_model, reference_of, name: str, cut: HeadId | NeuronId) -> None:
    """Held, the target falls by the attribution; free, the norm before the MLP is given the sum without."""
    model, reference = tiny_model(name, "float64"), reference_of(name)
    found = cut_edge(model, NeuronId(2, 14), cut, IDS, Q)
    parts, layer = reference.at(Q, 2, middle=True), reference.layers[2]
    vectors = parts.heads if isinstance(cut, HeadId) else parts.neurons
    taken, reads = vectors[cut.layer][cut.index], layer.up.weight[:, 14]
    norm, left = layer.after_attention, parts.sum - taken
    bias = float(norm.bias @ reads + layer.up.bias[14])
    held = float(norm.linear(left) @ reads / norm.scale(parts.sum)) + bias
    free = float(norm.linear(left) @ reads / norm.scale(left)) + bias
    assert found.held == pytest.approx(held, abs=1e-5)
    assert found.free == pytest.approx(free, abs=1e-5)
    assert abs(found.contribution) > 1e-3


def test_the_papers_preset_is_refused_by_name(tiny_model) -> None:
    model: LookupModel = tiny_model("openai-gpt")
    with pytest.raises(UnsupportedModelError, match=r"every residual sum of .* is divided by one"):
        decompose(model, NeuronId(2, 1), [IDS], [Q], preset="paper")


def test_the_raw_basis_leaves_every_norm_out(tiny_model, tiny_folder) -> None:
    """W_out times the unembedding as both lie, projected where the model projects."""
    for name in FAMILIES:
        model, reference = tiny_model(name, folded=False), PostLnReference(tiny_folder(name), IDS)
        expected = reference.layers[0].down.weight @ reference.unembedding[TOKEN]
        found = token_scores(model, TOKEN, [0])
        assert np.abs(found - expected.numpy()).max() <= 1e-5 * float(expected.abs().max())
