"""The neurons most like one, as the Explorer answers it: from the files alone, or from the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tui_lookups.errors import BadIdError, LookupsError, UnsupportedModelError
from tui_lookups.explorer import Explorer
from tui_lookups.ids import NeuronId
from tui_lookups.settings import load_settings

pytestmark = pytest.mark.usefixtures("once_loaded")
NEURON = NeuronId(1, 5)


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


def test_what_cannot_be_compared_is_refused(make: Callable[..., Explorer]) -> None:
    with pytest.raises(BadIdError, match="L9"):
        make().nearest(NeuronId(9, 0))
    with pytest.raises(LookupsError, match="by cannot be 'both'"):
        make().nearest(NEURON, by="both")  # type: ignore[arg-type]
    raw = make(raw_weights=True)
    assert raw.nearest(NEURON, top=1).basis == "raw"
    with pytest.raises(UnsupportedModelError, match="in folded weights only"):
        raw.nearest(NEURON, by="reads")
