"""The packaged measurements are of the packaged model, and the first view follows from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tui_lookups.demo.measurements import MEASURED, Measurements, WordMeasure, read_measurements
from tui_lookups.explorer import Explorer
from tui_lookups.ids import NeuronId
from tui_lookups.settings import load_settings


def _word(word: str, *, own: bool, precision: float, cosine: float) -> WordMeasure:
    return WordMeasure(1, word, NeuronId(0, 0), cosine, own, precision)


def test_the_opening_word_is_its_neurons_own_with_the_largest_precision_then_cosine() -> None:
    words = (
        _word(" a", own=False, precision=1.0, cosine=0.9),
        _word(" b", own=True, precision=0.5, cosine=0.9),
        _word(" c", own=True, precision=0.6, cosine=0.1),
        _word(" d", own=True, precision=0.6, cosine=0.2),
    )
    best = Measurements("f", 0.0, words).opening()
    assert best is not None
    assert best.word == " d"
    assert Measurements("f", 0.0, words[:1]).opening() is None


def test_the_first_view_of_the_demo_is_the_measured_one(tmp_path: Path) -> None:
    explorer = Explorer(load_settings(cache_dir=tmp_path, device="cpu", threads=1))
    try:
        measured = read_measurements()
        assert measured.model_fingerprint == explorer.model_info().fingerprint
        best = measured.opening()
        assert best is not None
        view = explorer.first_view()
        assert (view.token.text, view.neuron) == (best.word, best.neuron)
        assert explorer.neurons(best.token_id, top=1).neurons[0].neuron == best.neuron
        with_layers = Explorer(load_settings(cache_dir=tmp_path, device="cpu", threads=1, layers="0-2"))
        assert with_layers.first_view().neuron.layer <= 2
        with_layers.close()
    finally:
        explorer.close()


def test_the_tour_is_offered_once_in_a_cache_folder(tmp_path: Path) -> None:
    explorer = Explorer(load_settings(cache_dir=tmp_path))
    assert [explorer.offer_tour(), explorer.offer_tour()] == [True, False]
    other = Explorer(load_settings(cache_dir=tmp_path / "other", model="smollm2"))
    assert not other.offer_tour()


def test_the_readme_beside_the_model_gives_the_measured_numbers() -> None:
    found = json.loads(MEASURED.read_text(encoding="utf-8"))
    page = (MEASURED.parent / "README.md").read_text(encoding="utf-8")
    for figure in (
        f"{found['held_out']['nats_per_token']:.3f}",
        f"{found['held_out']['bits_per_character']:.3f}",
        f"{100 * found['whole_words']['share']:.1f} %",
        f"{100 * found['precision']['best']:.1f} %",
        f"{100 * found['precision']['random']:.1f} %",
    ):
        assert figure in page, figure


def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "measured.json").write_text("{}")
    with pytest.raises(KeyError):
        read_measurements(tmp_path / "measured.json")
