"""Units of a dictionary through the Explorer (method.md, section 14): every question that neurons answer."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.dictionaries import of_own_mlps, random_weights, write_saelens
from tests.explanation.chat_server import ChatServer
from tui_lookups.answering.engine import Engine
from tui_lookups.answering.worker_pool import LoadRequest
from tui_lookups.errors import BadIdError, DictionaryError
from tui_lookups.explorer import Explorer
from tui_lookups.exports import verifying
from tui_lookups.exports.origin import OtherSourceError
from tui_lookups.exports.reading import read_export
from tui_lookups.exports.writing import export
from tui_lookups.ids import FeatureId, HeadId, NeuronId
from tui_lookups.results import SelectedNeuron, Selection
from tui_lookups.settings import load_settings
from tui_lookups.storage import codec

TEXT = "the cat sat because the mat"
OWN = {"provenance", "skip", "error", "beside", "seconds", "elapsed"}
"""What may differ: what is open, and what a dictionary leaves unexplained, which is rounding here."""


class Both(NamedTuple):
    neurons: Explorer
    units: Explorer

    def answer(self, ask: Callable[[Explorer, type[NeuronId]], Any]) -> tuple[Any, Any]:
        """The answers with units and with neurons, as plain objects with one spelling of names."""
        found, expected = (
            json.loads(json.dumps(codec.to_plain(ask(explorer, kind))).replace(".F", ".N"))
            for explorer, kind in ((self.units, FeatureId), (self.neurons, NeuronId))
        )
        return found, expected


@pytest.fixture(scope="module")
def chat() -> Iterator[ChatServer]:
    with ChatServer() as running:
        yield running


@pytest.fixture(scope="module")
def both(
    tiny_folder: Any, tiny_model: Any, tmp_path_factory: pytest.TempPathFactory, chat: ChatServer
) -> Iterator[Both]:
    """OPT's neurons are ReLU: with them, and with units made of them, over the same corpus and cache."""
    folder = tmp_path_factory.mktemp("units")
    units = write_saelens(folder / "own", of_own_mlps(tiny_model("opt", "float32")._hf_model))
    shuffled = [" ".join(random.Random(n).sample(f"{TEXT} and {n} hats".split(), 9)) for n in range(24)]
    (folder / "texts.txt").write_text("\n\n".join([TEXT, *shuffled]))
    given = {
        "model": str(tiny_folder("opt")), "corpus": str(folder / "texts.txt"), "device": "cpu", "top": 4,
        "window": 24, "cache_dir": str(folder / "cache"), "base_url": chat.base_url,
        "explainer_model": "tester",
    }  # fmt: skip
    made = Both(Explorer(load_settings(**given)), Explorer(load_settings(**given, units=str(units))))
    yield made
    for explorer in made:
        explorer.close()


def same(found: Any, expected: Any, path: str = "") -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), path
        for key in expected.keys() - OWN:
            same(found[key], expected[key], f"{path}/{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), path
        for place, each in enumerate(expected):
            same(found[place], each, f"{path}/{place}")
    elif isinstance(expected, float):
        assert math.isclose(found, expected, rel_tol=1e-3, abs_tol=2e-5), (path, found, expected)
    else:
        assert found == expected, path


QUESTIONS: dict[str, Callable[[Explorer, type[NeuronId]], Any]] = {
    "neurons": lambda e, _: e.neurons(66, top=7),
    "tokens": lambda e, kind: e.tokens(kind(1, 5)),
    "atlas": lambda e, _: e.atlas(per_layer=3),
    "nearest": lambda e, kind: e.nearest(kind(1, 5), top=4),
    "prompts": lambda e, kind: e.prompts(kind(1, 5)),
    "activations": lambda e, kind: e.activations(kind(2, 7), TEXT),
    "heads": lambda e, kind: e.heads(kind(2, 7), text=TEXT),
    "heads over all prompts": lambda e, kind: e.heads_overview(kind(2, 7)),
    "inputs": lambda e, kind: e.inputs(kind(2, 7), text=TEXT),
    "inputs over all prompts": lambda e, kind: e.inputs_overview(kind(2, 7), top=5),
    "an edge": lambda e, kind: e.cut_edge(kind(2, 7), HeadId(1, 2), text=TEXT),
    "why": lambda e, _: e.why(TEXT, top=6),
    "removed": lambda e, kind: e.removed(kind(2, 7), TEXT),
    "carries": lambda e, kind: e.carries(kind(2, 7), HeadId(1, 2), 1, text=TEXT),
    "ablate": lambda e, kind: e.ablate(kind(2, 7), HeadId(1, 2)),
    "shared heads": lambda e, kind: e.shared_heads([kind(2, 7), kind(1, 5)]),
    "survey": lambda e, _: e.survey(per_layer=2),
    "trace": lambda e, kind: e.trace(TEXT, neuron=kind(2, 7), depth=2, width=4),
}


@pytest.mark.parametrize("question", list(QUESTIONS))
def test_own_mlps_as_units_answer_as_the_neurons_do(both: Both, question: str) -> None:
    same(*both.answer(QUESTIONS[question]))


def test_own_mlps_as_units_are_explained_and_scored_as_the_neurons_are(both: Both, chat: ChatServer) -> None:
    index, head = next(
        (index, row.head)
        for index in range(20)
        for row in both.neurons.heads_overview(NeuronId(2, index), trimmed=True).heads
        if 0 < row.active_fraction < 1
    )

    def ask(explorer: Explorer, kind: type[NeuronId]) -> tuple[str, float | None]:
        words, score = (
            explorer.explain(kind(2, index), head),
            explorer.score_explanation(kind(2, index), head),
        )
        return words.explanation, score.score.head_explanation_score

    found, sent = ask(both.units, FeatureId), len(chat.messages)
    assert sent > 1
    assert found == ask(both.neurons, NeuronId)
    assert len(chat.messages) == sent, "their requests are the same, and were answered before"


def test_answers_say_which_dictionary_is_open(both: Both) -> None:
    said = both.units.neurons(66, top=3).provenance.model
    assert said.units is not None
    assert (said.units.name, said.units.activation) == ("own", "ReLU")
    assert said.fingerprint != both.neurons.neurons(66, top=3).provenance.model.fingerprint
    assert said.gated is False
    assert both.neurons.neurons(66, top=3).provenance.model.units is None


def test_neurons_are_no_units(both: Both) -> None:
    with pytest.raises(BadIdError, match="is a neuron, and the units of own are open"):
        both.units.tokens(NeuronId(1, 5))
    with pytest.raises(BadIdError, match="is a unit of a dictionary, and none is open"):
        both.neurons.tokens(FeatureId(1, 5))


def test_a_worker_loads_the_dictionary(both: Both) -> None:
    loaded = LoadRequest.of(both.units.settings)()
    assert loaded.info == both.units.neurons(66, top=3).provenance.model


def test_an_export_of_units_is_verified_with_its_dictionary_only(both: Both, tmp_path: Path) -> None:
    path = tmp_path / "units.json"
    export(both.units, Selection((SelectedNeuron(FeatureId(2, 7)),)), path)
    document = read_export(path)
    assert document.neurons[0].neuron == FeatureId(2, 7)
    with pytest.raises(OtherSourceError) as refused:
        verifying.verify(both.neurons, path)
    assert "exported with the units of own" in refused.value.hint


def with_units(model: Path, units: Path) -> Explorer:
    cache = units.with_name("cache")
    return Explorer(load_settings(model=str(model), units=str(units), cache_dir=str(cache), device="cpu"))


def test_congruence_of_units_needs_no_model(
    tiny_folder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the model was asked for")

    monkeypatch.setattr(Engine, "on_model", refuse)
    layers = [random_weights(16, 12, seed=layer) for layer in range(3)]
    folder = write_saelens(tmp_path / "units", layers, writes="hook_mlp_out")
    explorer = with_units(tiny_folder("gemma2"), folder)
    assert all(isinstance(row.neuron, FeatureId) for row in explorer.neurons(66, top=5).neurons)
    explorer.close()


def test_a_dictionary_of_another_model_is_refused_before_anything_is_answered(
    tiny_folder: Any, tmp_path: Path
) -> None:
    folder = write_saelens(tmp_path / "units", [random_weights(16, 12)])
    explorer = with_units(tiny_folder("llama"), folder)
    with pytest.raises(DictionaryError, match=r"has transcoders for 1 layers, and llama.* has 3"):
        explorer.neurons(66, top=5)
    explorer.close()
