"""The neurons most like one, as the Explorer answers it: from the files alone, or from the model."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.answering.conftest import TEXTS
from tests.tiny_models import edit_weights
from tui_lookups.answering.answers import activations_on
from tui_lookups.answering.two_models import DifferentModelsError
from tui_lookups.errors import BadIdError, LookupsError, UnsupportedModelError
from tui_lookups.explorer import Explorer
from tui_lookups.ids import NeuronId
from tui_lookups.results import NearBy
from tui_lookups.settings import load_settings

pytestmark = pytest.mark.usefixtures("once_loaded")
NEURON = NeuronId(1, 5)


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    path = tmp_path / "texts.txt"
    path.write_text("\n\n".join(TEXTS), encoding="utf-8")
    return str(path)


@pytest.fixture
def make(tiny_folder: Callable[[str], Path], tmp_path: Path) -> Iterator[Callable[..., Explorer]]:
    made: list[Explorer] = []

    def make(**settings: Any) -> Explorer:
        settings = {
            "model": str(tiny_folder("llama")),
            "device": "cpu",
            "cache_dir": str(tmp_path),
            **settings,
        }
        made.append(Explorer(load_settings(**settings)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_writes_are_answered_from_the_files_and_both_from_the_cache(make: Callable[..., Explorer]) -> None:
    explorer = make()
    writes = explorer.nearest(NEURON, top=4)
    assert not explorer._engine.opened_so_far()[2], "no model is loaded for it"
    reads = explorer.nearest(NEURON, by="reads", top=4)
    assert explorer._engine.opened_so_far()[2]
    for found in (writes, reads):
        cosines = [row.cosine for row in found.neurons]
        assert cosines == sorted(cosines, reverse=True)
        assert len(cosines) == 4
        assert NEURON.layer not in {row.neuron.layer for row in found.neurons}
        assert make().nearest(NEURON, by=found.by, top=4) == found
    assert [row.neuron for row in writes.neurons] != [row.neuron for row in reads.neurons]


def test_only_neurons_of_the_layers_asked_for(make: Callable[..., Explorer]) -> None:
    assert {row.neuron.layer for row in make(layers="1-2").nearest(NEURON).neurons} == {2}


def test_by_activations_over_the_corpus(make: Callable[..., Explorer], corpus: str) -> None:
    found = make(corpus=corpus).nearest(NEURON, by="activations", top=56)
    assert {row.neuron.layer for row in found.neurons} == {0, 2}
    assert found.provenance.corpus is not None
    cosines = [row.cosine for row in found.neurons]
    assert cosines == sorted(cosines, reverse=True)
    again = make(corpus=corpus)
    assert again.nearest(NEURON, by="activations", top=56) == found
    best = found.neurons[0]
    windows = again._engine.corpus()
    rows = [windows.window_tokens(prompt).tolist() for prompt in range(len(windows))]
    before, after = (
        again._engine.on_model(
            lambda model, poll, of=neuron: np.concatenate(
                [values[1:] for values in activations_on(model, of, rows, poll)]
            )
        )
        for neuron in (NEURON, best.neuron)
    )
    assert best.cosine == pytest.approx(np.corrcoef(before, after)[0, 1], abs=1e-4)


@pytest.mark.parametrize("by", ["writes", "reads", "activations"])
def test_in_another_model_a_moved_neuron_is_found_again(
    make: Callable[..., Explorer], tiny_folder: Callable[[str], Path], tmp_path: Path, corpus: str, by: NearBy
) -> None:
    folder = tmp_path / "swapped"
    shutil.copytree(tiny_folder("llama"), folder)
    order = [0, 9, 2, 3, 4, 17, *range(6, 9), 1, *range(10, 17), 5, *range(18, 28)]
    mlp = "model.layers.1.mlp"

    def swap(weights: dict[str, torch.Tensor]) -> None:
        for name in ("gate_proj", "up_proj"):
            weights[f"{mlp}.{name}.weight"] = weights[f"{mlp}.{name}.weight"][order]
        weights[f"{mlp}.down_proj.weight"] = weights[f"{mlp}.down_proj.weight"][:, order]

    edit_weights(folder, swap)
    explorer = make(corpus=corpus)
    found = explorer.nearest(NEURON, by=by, top=3, other=str(folder))
    assert found.against is not None
    assert (found.neurons[0].neuron, found.neurons[0].cosine) == (NeuronId(1, 17), pytest.approx(1, abs=1e-4))
    assert found.neurons[0].top_token.id == explorer.tokens(NEURON, top=1).tokens[0].id


def test_models_of_other_widths_are_not_compared_by_weights(
    make: Callable[..., Explorer], tiny_folder: Callable[[str], Path]
) -> None:
    with pytest.raises(DifferentModelsError, match="not both gated"):
        make().nearest(NEURON, other=str(tiny_folder("gpt2")))
    with pytest.raises(DifferentModelsError, match="do not share a tokenizer"):
        make().nearest(NEURON, by="activations", other=str(tiny_folder("gpt2")))


def test_what_cannot_be_compared_is_refused(make: Callable[..., Explorer]) -> None:
    with pytest.raises(BadIdError, match="L9"):
        make().nearest(NeuronId(9, 0))
    with pytest.raises(LookupsError, match="by cannot be 'both'"):
        make().nearest(NEURON, by="both")  # type: ignore[arg-type]
    raw = make(raw_weights=True)
    assert raw.nearest(NEURON, top=1).basis == "raw"
    with pytest.raises(UnsupportedModelError, match="in folded weights only"):
        raw.nearest(NEURON, by="reads")
