"""What a model's files answer before the model is loaded, and what happens where they do not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_models import edit_weights
from tui_lookups.answering.engine import Engine
from tui_lookups.errors import ModelLoadError
from tui_lookups.explorer import Explorer
from tui_lookups.ids import NeuronId
from tui_lookups.model import file_layouts
from tui_lookups.settings import load_settings


@pytest.fixture
def make(tmp_path: Path, tiny_folder):
    made: list[Explorer] = []

    def explorer(name: str, cache: str = "cache", **settings) -> Explorer:
        given = {"model": str(tiny_folder(name)), "cache_dir": tmp_path / cache, "device": "cpu"}
        made.append(Explorer(load_settings(**given | settings)))
        return made[-1]

    yield explorer
    for one in made:
        one.close()


@pytest.fixture
def never_loaded(monkeypatch) -> None:
    def refuse(*_, **__):
        raise AssertionError("the model was asked for")

    monkeypatch.setattr(Engine, "on_model", refuse)


def test_congruence_needs_no_model(make, never_loaded) -> None:
    explorer = make("llama")
    ranked = explorer.neurons(66, top=5)
    best = ranked.neurons[0]
    assert ranked.provenance.device == "cpu"
    assert ranked.provenance.model.n_layers == 3
    assert explorer.score(best.neuron, ranked.token).congruence == pytest.approx(best.congruence)
    assert len(explorer.tokens(best.neuron, top=4).tokens) == 4
    assert explorer.first_view().token is not None
    assert explorer.corpus_info().prompts > 0


def test_an_atlas_needs_no_model(make, never_loaded) -> None:
    explorer = make("gemma2", device="auto")
    told: list[tuple[int, int]] = []
    atlas = explorer.atlas(per_layer=3, read=lambda done, layers: told.append((done, layers)))
    assert told == [(0, 3), (1, 3), (2, 3)]
    assert atlas.provenance.device == explorer.atlas(per_layer=3).provenance.device == "cpu"
    for layer in atlas.layers:
        for row in layer.neurons:
            best = explorer.tokens(row.neuron, top=1).tokens[0]
            assert best.id == row.top_token.id
            assert best.congruence == pytest.approx(row.top_congruence, rel=1e-5)
    found = explorer.neurons(best.id, top=50, next_token_only=True)
    assert row.neuron in [each.neuron for each in found.neurons]


def test_the_loaded_model_goes_on_with_the_same_numbers(make) -> None:
    before = make("gemma2").neurons(66, top=8)
    explorer = make("gemma2", cache="another")
    explorer.activations(NeuronId(0, 0), "one text")  # loads it
    assert explorer._engine.opened_so_far()[2]
    after = explorer.neurons(66, top=8)
    assert [row.neuron for row in after.neurons] == [row.neuron for row in before.neurons]
    for mine, other in zip(before.neurons, after.neurons, strict=True):
        assert mine.congruence == pytest.approx(other.congruence, rel=1e-4)
    assert after.provenance.model == before.provenance.model


def test_a_family_without_a_layout_is_loaded_and_says_so(make, monkeypatch) -> None:
    expected = make("qwen2").neurons(66, top=3)
    monkeypatch.delitem(file_layouts.LAYOUTS, "qwen2")
    explorer = make("qwen2", cache="another")
    found = explorer.neurons(66, top=3)
    assert explorer._engine._files.note == "qwen2 is read by loading it"
    assert [row.neuron for row in found.neurons] == [row.neuron for row in expected.neurons]


def test_a_layout_that_is_not_the_models_is_found_out_when_it_is_loaded(make, monkeypatch) -> None:
    """Such as a norm that adds one in a family whose norms do not."""
    from dataclasses import replace

    wrong = replace(file_layouts.LAYOUTS["llama"], norm_adds_one=True)
    monkeypatch.setitem(file_layouts.LAYOUTS, "llama", wrong)
    explorer = make("llama")
    explorer.neurons(66, top=3)
    for ask in (
        lambda: explorer.activations(NeuronId(0, 0), "one text"),
        lambda: explorer.neurons(67, top=3),
    ):
        with pytest.raises(ModelLoadError, match="differs from what its files say: the congruences of layer"):
            ask()


def test_files_that_changed_since_they_were_found_answer_nothing(make, tmp_path: Path, tiny_folder) -> None:
    """What they give would be kept under the fingerprint of the files that were there before."""
    folder = Path(shutil.copytree(tiny_folder("llama"), tmp_path / "model"))
    explorer = make("llama", model=str(folder))
    explorer.resolve_token("the")  # finds the model
    edit_weights(folder, lambda tensors: tensors["lm_head.weight"].mul_(2))
    with pytest.raises(ModelLoadError, match="changed while they were loaded"):
        explorer.neurons(66, top=3)


def test_torch_is_not_imported_for_a_model_never_opened(tmp_path: Path, tiny_folder) -> None:
    script = (
        "import sys, json, pathlib\n"
        "from tui_lookups import Explorer\n"
        "from tui_lookups.settings import load_settings\n"
        "folder, cache = sys.argv[1:]\n"
        "explorer = Explorer(load_settings(model=folder, cache_dir=pathlib.Path(cache)))\n"
        "rows = explorer.neurons(66, top=4).neurons\n"
        "print(json.dumps([len(rows), [m for m in ('torch', 'transformers') if m in sys.modules]]))\n"
        "explorer.close()\n"
    )
    command = [sys.executable, "-c", script, str(tiny_folder("llama")), str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [4, []]
