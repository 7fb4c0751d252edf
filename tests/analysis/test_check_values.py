"""Figures of the packaged model on one text, as the method page's author worked them out in float64.

Another program than this one gave them (method.md, section 9).
"""

from __future__ import annotations

import pytest

from tui_lookups.analysis.attends import attended
from tui_lookups.analysis.attribution import decompose
from tui_lookups.analysis.carries import carried_to_neuron
from tui_lookups.analysis.inputs import neuron_sums
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.results import Remaining


def test_what_fires_a_neuron_and_what_a_head_brings_from_a_word(demo_model: LookupModel) -> None:
    row = demo_model.encode_prompt('"How long have')
    last = len(row) - 1
    found = decompose(demo_model, NeuronId(5, 531), [row], [last], source_head=HeadId(2, 0))[0]
    assert found.target == pytest.approx(5.83866, abs=2e-5)
    assert found.heads.sum() == pytest.approx(3.45339, abs=2e-5)
    assert found.embedding == pytest.approx(0.01320, abs=2e-5)
    assert found.mlps.sum() == pytest.approx(6.36826 - 0.38612, abs=2e-5)  # neurons, and biases of MLPs
    assert found.sources[2] == pytest.approx(0.93172, abs=2e-5)
    assert found.other.attention_biases + found.other.bias == pytest.approx(
        5.83866 - 3.45339 - 6.36826 + 0.38612 - 0.01320, abs=6e-5
    )


def test_what_fires_a_neuron_down_to_earlier_neurons(demo_model: LookupModel) -> None:
    row = demo_model.encode_prompt('"How long have')
    (found,) = neuron_sums(demo_model, NeuronId(5, 531), [row], [len(row) - 1])
    parts = found.found
    assert parts.target == pytest.approx(5.83866, abs=2e-5)
    assert parts.heads.sum() == pytest.approx(3.45339, abs=2e-5)
    assert parts.neurons.sum() == pytest.approx(6.36826, abs=2e-5)
    assert parts.mlp_biases.sum() == pytest.approx(-0.38612, abs=2e-5)
    assert parts.embedding == pytest.approx(0.01320, abs=2e-5)
    largest = [(str(neuron), parts.of(neuron)) for neuron in parts.largest(3)]
    assert [name for name, _ in largest] == ["L0.N757", "L3.N280", "L4.N704"]
    assert [value for _, value in largest] == pytest.approx([0.39638, 0.39014, 0.38514], abs=2e-5)


def test_what_a_head_carries_from_a_word(demo_model: LookupModel) -> None:
    row = demo_model.encode_prompt('"How long have')
    found = carried_to_neuron(demo_model, HeadId(2, 0), NeuronId(5, 531), row, 4, 2, top=3)
    assert found.weight == pytest.approx(0.811029, abs=2e-6)
    parts = found.contributions
    assert parts.target == pytest.approx(0.93172, abs=2e-5)
    assert parts.remaining == Remaining(
        embedding=pytest.approx(0.01369, abs=1e-5),
        attention_biases=pytest.approx(0.09984, abs=1e-5),
        mlp_biases=pytest.approx(0.03184, abs=1e-5),
        bias=0.0,
    )
    assert [row.neuron for row in parts.neurons] == [NeuronId(0, 722), NeuronId(0, 434), NeuronId(0, 258)]
    assert [row.contribution for row in parts.neurons] == pytest.approx([0.07596, 0.06170, 0.04957], abs=1e-5)


def test_why_a_head_attends_to_a_word(demo_model: LookupModel) -> None:
    """See method.md, section 10."""
    row = demo_model.encode_prompt('"How long have')
    found = attended(demo_model, HeadId(2, 0), row, 4, top=1)
    assert found.key == 2
    assert found.weights[2] == pytest.approx(0.811029, abs=2e-6)
    assert found.scores[2] == pytest.approx(-35.03579, abs=2e-5)
    assert found.advantage == pytest.approx(0.476989, abs=2e-5)
    parts = found.key_side
    heads = {str(row.head): row.contribution for row in parts.heads}
    assert heads["L1.H4"] == pytest.approx(0.0815, abs=6e-5)
    assert heads["L1.H0"] == pytest.approx(0.0719, abs=6e-5)
    assert parts.neurons[0].neuron == NeuronId(0, 738)
    assert parts.neurons[0].contribution == pytest.approx(-0.0495, abs=6e-5)
    assert parts.remaining.embedding == pytest.approx(0.0158, abs=6e-5)
    assert parts.remaining.attention_biases == pytest.approx(-0.1174, abs=6e-5)
    assert parts.remaining.mlp_biases == pytest.approx(-0.0047, abs=6e-5)
    assert parts.remaining.bias == pytest.approx(0, abs=1e-6)
