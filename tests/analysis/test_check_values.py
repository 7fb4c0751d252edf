"""Figures of the packaged model on one text, as the method page's author worked them out in float64.

Another program than this one gave them (method.md, section 9).
"""

from __future__ import annotations

import pytest

from tui_lookups.analysis.attribution import decompose
from tui_lookups.analysis.inputs import neuron_sums
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.lookup_model import LookupModel


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
