"""The neurons most like one, against float64 cosines of weights folded by hand (method.md, section 2)."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from tests.reference_raw import RawGPT2, RawLlama
from tests.tiny_models import RECIPES
from tui_lookups.analysis.congruence import own_tokens
from tui_lookups.analysis.nearest import cosines_with_read, cosines_with_write, nearest, neuron_read
from tui_lookups.ids import NeuronId
from tui_lookups.model.lookup_model import LookupModel

NEURON = NeuronId(1, 5)
RAW = pytest.mark.parametrize(("name", "raw_class"), [("gpt2", RawGPT2), ("llama", RawLlama)])


def write_cosines(model: LookupModel, layer: int) -> np.ndarray:
    """Of a layer's neurons with NEURON."""
    return cosines_with_write(model, model.directions([NEURON])[0], layer)


def read_cosines(model: LookupModel, layer: int) -> np.ndarray:
    """Of a layer's neurons with NEURON."""
    return cosines_with_read(model, neuron_read(model, NEURON), layer)


def cosines(own: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of a vector with rows."""
    return others @ own / np.linalg.norm(others, axis=1) / np.linalg.norm(own)


@RAW
def test_writes_are_compared_as_they_are_folded_by_hand(tiny_model, tiny_folder, name, raw_class) -> None:
    raw, model = raw_class(tiny_folder(name)), tiny_model(name, "float64")
    own = raw.W_out(NEURON.layer)[NEURON.index]
    for layer in range(raw.n_layers):
        assert write_cosines(model, layer) == pytest.approx(cosines(own, raw.W_out(layer)), abs=1e-9)
    assert write_cosines(model, NEURON.layer)[NEURON.index] == pytest.approx(1)


@RAW
def test_reads_are_compared_as_they_are_folded_by_hand(tiny_model, tiny_folder, name, raw_class) -> None:
    raw, model = raw_class(tiny_folder(name)), tiny_model(name, "float64")
    matrices = [raw.W_in, raw.W_gate] if name == "llama" else [raw.W_in]
    for layer in range(raw.n_layers):
        expected = np.prod(
            [cosines(read(NEURON.layer)[:, NEURON.index], read(layer).T) for read in matrices], axis=0
        )
        assert read_cosines(model, layer) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", RECIPES)
def test_in_every_family_a_neuron_writes_and_reads_like_itself_and_nothing_more(tiny_model, name) -> None:
    model = tiny_model(name, "float64")
    for found in (write_cosines(model, NEURON.layer), read_cosines(model, NEURON.layer)):
        assert found.shape == (model.info.d_mlp,)
        assert found[NEURON.index] == pytest.approx(1)
        assert np.abs(found).max() <= 1 + 1e-9


def test_those_of_other_layers_are_listed_largest_cosine_first(tiny_model) -> None:
    model = tiny_model("gpt2", "float64")
    layers = range(model.info.n_layers)
    find = partial(write_cosines, model)
    rows = nearest(model, NEURON, layers, find, 7)
    every = {
        NeuronId(layer, index): value
        for layer in layers
        if layer != NEURON.layer
        for index, value in enumerate(find(layer))
    }
    expected = sorted(every, key=lambda neuron: -every[neuron])[:7]
    assert [row.neuron for row in rows] == expected
    assert [row.cosine for row in rows] == [every[neuron] for neuron in expected]
    assert {row.neuron: row.top_token for row in rows} == own_tokens(model, expected)
    assert nearest(model, NEURON, [NEURON.layer], find, 7) == ()
