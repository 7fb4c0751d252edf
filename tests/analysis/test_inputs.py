"""What fires a neuron, down to earlier neurons, and one edge cut, on every family.

See method.md, sections 9 and 11.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.tiny_models import ALIKE, EXPERTS, FURTHER, RECIPES
from tui_lookups.analysis import attribution, inputs
from tui_lookups.analysis.attribution import decompose
from tui_lookups.analysis.inputs import cut_edge, neuron_sums
from tui_lookups.errors import BadIdError, LookupsError, UnsupportedModelError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.model.points import Point

DENSE = [*RECIPES, *FURTHER, *ALIKE]
FAMILIES = [*DENSE, *EXPERTS]
ROW = torch.randint(3, 290, (30,), generator=torch.Generator().manual_seed(5)).tolist()
POSITION = 26
"""Beyond any window of these models."""


def act(model: LookupModel, layer: int, value: float) -> float:
    return float(model.wiring.blocks[layer].activation(torch.tensor([value], dtype=torch.float64)))


@pytest.mark.parametrize("name", FAMILIES)
def test_neurons_take_the_mlps_part_of_the_decomposition_apart(tiny_model, name: str) -> None:
    model = tiny_model(name, "float64")
    layer = model.info.n_layers - 1
    for neuron in (NeuronId(layer, 3), NeuronId(layer, 17)):
        (found,) = neuron_sums(model, neuron, [ROW], [POSITION])
        (whole,) = decompose(model, neuron, [ROW], [POSITION])
        size, parts = whole.scale, found.found
        assert parts.target == pytest.approx(whole.target, abs=1e-10 * size)
        assert np.abs(parts.heads - whole.heads).max() <= 1e-10 * size
        assert np.abs(parts.neurons.sum(1) + parts.mlp_biases - whole.mlps).max() <= 1e-10 * size
        assert parts.embedding == pytest.approx(whole.embedding, abs=1e-10 * size)
        assert parts.attention_biases.sum() == pytest.approx(whole.attention_biases, abs=1e-10 * size)
        assert parts.bias == pytest.approx(whole.bias, abs=1e-10 * size)
        assert parts.relative_remainder <= 1e-10
        assert parts.neurons.shape == (layer, model.info.d_mlp)
        every = parts.heads.sum() + parts.neurons.sum() + parts.mlp_biases.sum() + parts.embedding
        every += parts.attention_biases.sum() + parts.bias
        assert abs(parts.target - every) <= 1e-10 * (size + np.abs(parts.neurons).sum())


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_neuron_contributes_what_it_writes_along_the_read_vector(tiny_model, name: str) -> None:
    """a_m (W_out[m] . R) / sigma, R of a gated neuron being rho/2 (g r_u + u r_g)."""
    model = tiny_model(name, "float64")
    (found,) = neuron_sums(model, NeuronId(2, 6), [ROW], [POSITION])
    block = model.wiring.blocks[2]
    norm = block.norms["ln2"]
    given: list[Tensor] = []
    with norm.module.register_forward_pre_hook(lambda _, x: given.append(x[0][0, POSITION])):
        model.log_probabilities(torch.tensor([ROW]), torch.tensor([POSITION]))
    read = block.up.matrix[:, 6].clone()
    if found.u is not None:
        assert block.gate is not None
        assert found.activation == pytest.approx(found.rho * found.g * found.u, rel=1e-10)
        read = found.rho / 2 * (found.g * read + found.u * block.gate.matrix[:, 6])
    vector = read * norm.module.weight.detach()
    vector = vector - vector.mean() if norm.centred else vector
    for layer in (0, 1):
        written = model.wiring.blocks[layer].down.matrix.detach() @ vector / norm.scale(given[0])
        expected = found.found.activations[layer] * written.numpy()
        assert np.abs(found.found.neurons[layer] - expected).max() <= 1e-12 * np.abs(expected).sum()


def test_rows_of_several_lengths_do_not_touch_each_other(tiny_model) -> None:
    model, neuron = tiny_model("gemma2", "float64"), NeuronId(2, 4)
    rows, positions = [ROW, ROW[4:15], ROW[::-1]], [20, 7, 29]
    together = neuron_sums(model, neuron, rows, positions)
    for found, row, q in zip(together, rows, positions, strict=True):
        (alone,) = neuron_sums(model, neuron, [row], [q])
        assert np.abs(found.found.neurons - alone.found.neurons).max() <= 1e-6


def test_a_neuron_of_the_first_layer_has_no_earlier_neurons(tiny_model) -> None:
    (found,) = neuron_sums(tiny_model("gpt2"), NeuronId(0, 1), [ROW], [POSITION])
    assert found.found.neurons.shape == (0, 40)
    assert found.found.largest(5) == []


def test_what_does_not_close_is_refused(tiny_model, monkeypatch) -> None:
    monkeypatch.setitem(attribution.BOUNDS, torch.float32, 1e-12)
    with pytest.raises(UnsupportedModelError, match=r"of L2\.N3 of llama .* does not close"):
        neuron_sums(tiny_model("llama"), NeuronId(2, 3), [ROW], [POSITION])


# --- one edge cut ---


def in_the_model(model: LookupModel, neuron: NeuronId, taken: Tensor) -> float:
    """The neuron's activation when its MLP's norm is given the stream without `taken` [d_model]."""
    block = model.wiring.blocks[neuron.layer]
    module = block.norms["ln2"].module
    kept: list[float] = []

    def edit(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x = given[0].clone()
        x.reshape(-1, x.shape[-1])[POSITION] -= taken
        return (x, *given[1:])

    def keep(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        kept.append(float(given[0].reshape(-1, given[0].shape[-1])[POSITION, neuron.index]))

    with module.register_forward_pre_hook(edit), block.down.module.register_forward_pre_hook(keep):
        model._hf_model(input_ids=torch.tensor([ROW]), use_cache=False)
    return kept[0]


def firing(model: LookupModel, layer: int) -> NeuronId:
    """The neuron that fires most: what ReLU leaves of another is zero with any edge cut."""
    post = Point("post", layer)
    at = torch.tensor([POSITION])
    seen = model.capture(torch.tensor([ROW]), at, [post], stop_after=layer)[post]
    return NeuronId(layer, int(seen[0].argmax()))


@pytest.mark.parametrize("name", DENSE)  # experts: test_experts.py, since their router reads the stream too
def test_held_it_is_minus_the_contribution_and_free_what_the_model_gives(
    tiny_model, monkeypatch, name: str
) -> None:
    """Free: the plain modules, the neuron's norm given the stream without what the component wrote."""
    model = tiny_model(name, "float64")
    taken: list[Tensor] = []
    real = inputs.written

    def keep(*given: Any) -> Tensor:
        taken.append(real(*given))
        return taken[-1]

    monkeypatch.setattr(inputs, "written", keep)
    layer = model.info.n_layers - 1
    neuron = firing(model, layer)
    (whole,) = decompose(model, neuron, [ROW], [POSITION])
    (largest,) = neuron_sums(model, neuron, [ROW], [POSITION])[0].found.largest(1)
    for component in (HeadId(model.info.last_head_layer(layer), 1), largest):
        found = cut_edge(model, neuron, component, ROW, POSITION)
        own = found.neuron
        assert found.contribution == own.found.of(component)
        assert found.held == own.found.target - found.contribution
        assert abs(found.contribution) > 1e-6
        if not model.info.gated:
            # What was taken out of the stream is what it contributed.
            expected = act(model, layer, own.found.target - found.contribution)
            assert found.activation_held == pytest.approx(expected, rel=1e-8, abs=1e-12)
        elif isinstance(component, HeadId):
            assert whole.gate is not None
            assert whole.up is not None
            assert own.u is not None
            g = own.g - whole.gate[component.layer, component.index] / (own.rho / 2 * own.u)
            u = own.u - whole.up[component.layer, component.index] / (own.rho / 2 * own.g)
            assert found.activation_held == pytest.approx(act(model, layer, g) * u, rel=1e-6, abs=1e-9)
        if "ln2" in model.wiring.blocks[layer].norms:
            expected = in_the_model(model, neuron, taken[-1][0])
            assert found.activation_free == pytest.approx(expected, rel=1e-5, abs=1e-7)
            assert found.activation_free != pytest.approx(own.activation, rel=1e-7)
        else:
            assert found.free == pytest.approx(found.held, rel=1e-9)
            assert found.activation_free == pytest.approx(found.activation_held, rel=1e-9)


def test_what_does_not_reach_the_neuron_has_no_edge(tiny_model) -> None:
    model = tiny_model("gptj")  # attention beside the MLP
    for component in (HeadId(1, 0), NeuronId(1, 0), NeuronId(2, 0)):
        with pytest.raises(LookupsError, match=f"{component} does not reach L1.N3"):
            cut_edge(model, NeuronId(1, 3), component, ROW, POSITION)
    with pytest.raises(BadIdError):
        cut_edge(model, NeuronId(1, 3), NeuronId(0, 4000), ROW, POSITION)
