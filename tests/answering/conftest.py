"""Explorers over tiny models and a small corpus, for surveys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tui_lookups.answering.atlas_service import AtlasService
from tui_lookups.explorer import Explorer
from tui_lookups.ids import NeuronId
from tui_lookups.results import Atlas, AtlasNeuron
from tui_lookups.settings import load_settings

TEXTS = [
    "the cat sat because the mat", "and the cat and the mat sat", "because because the cat",
    "a mat, a cat and a hat", "sat the cat on the mat?", "no cat sat there because of rain",
    "what the cat saw and what the mat knew", "the the the and and", "cats and mats", "because it rained",
]  # fmt: skip


@pytest.fixture(scope="module")
def survey_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("surveys")
    (folder / "texts.txt").write_text("\n\n".join(TEXTS), encoding="utf-8")
    return folder


@pytest.fixture
def make(survey_folder: Path, tiny_folder: Callable[[str], Path]) -> Iterator[Callable[..., Explorer]]:
    made: list[Explorer] = []

    def make(name: str = "gpt2", cache: Path = survey_folder / "cache", **settings: Any) -> Explorer:
        made.append(
            Explorer(
                load_settings(
                    model=str(tiny_folder(name)), corpus=str(survey_folder / "texts.txt"), device="cpu",
                    top=6, window=24, cache_dir=str(cache), **settings,
                )
            )
        )  # fmt: skip
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many neurons in every layer as are asked for, which the vocabulary of the tiny models is too small
    for."""
    atlas = AtlasService.atlas

    def crowd(service: AtlasService, per_layer: int, *given: Any) -> Atlas:
        found = atlas(service, per_layer, *given)
        token = next(layer.neurons[0].top_token for layer in found.layers if layer.neurons)
        return replace(
            found,
            layers=tuple(
                replace(
                    layer,
                    neurons=tuple(
                        AtlasNeuron(NeuronId(layer.layer, index), token, 1.0) for index in range(per_layer)
                    ),
                )
                for layer in found.layers
            ),
        )

    monkeypatch.setattr(AtlasService, "atlas", crowd)
