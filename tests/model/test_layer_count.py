"""The layers of a named model, from its description alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.model.gguf.files import tiny
from tui_lookups.model import smollm2
from tui_lookups.model.layer_count import layer_count


def of_config(folder: Path, config: object) -> int | None:
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return layer_count(str(folder), folder)


def test_the_demo(tmp_path: Path) -> None:
    assert layer_count("demo", tmp_path) == 6


@pytest.mark.parametrize(
    ("config", "layers"),
    [
        ({"n_layer": 12}, 12),
        ({"num_hidden_layers": 30, "num_layers": None}, 30),
        ({"num_hidden_layers": 27, "text_config": {"num_hidden_layers": 34}}, 34),
        ({"n_layer": "many"}, None),
        ({}, None),
        ([], None),
    ],
)
def test_a_folder_by_its_configuration(tmp_path: Path, config: Any, layers: int | None) -> None:
    assert of_config(tmp_path, config) == layers


def test_a_gguf_file_by_its_header(tmp_path: Path) -> None:
    content = tiny("llama")
    path = content.write(tmp_path / "tiny.gguf")
    assert layer_count(str(path), tmp_path) == content.key("block_count")
    path.write_bytes(b"GGUF")
    assert layer_count(str(path), tmp_path) is None


def test_smollm2_once_it_was_fetched(tmp_path: Path) -> None:
    assert layer_count("smollm2", tmp_path) is None
    path = smollm2.fetched_path(tmp_path)
    path.parent.mkdir(parents=True)
    tiny("llama").write(path)
    assert layer_count("smollm2", tmp_path) == tiny("llama").key("block_count")


def test_a_hub_name_by_the_local_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert layer_count("someone/tiny", tmp_path) is None
    repository = tmp_path / "models--someone--tiny"
    snapshot = repository / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abcd", encoding="utf-8")
    (snapshot / "config.json").write_text('{"num_hidden_layers": 4}', encoding="utf-8")
    assert layer_count("someone/tiny", tmp_path) == 4


@pytest.mark.parametrize("spec", ["./nowhere", "no such model", "a\0b"])
def test_nothing_of_that_name(tmp_path: Path, spec: str) -> None:
    assert layer_count(spec, tmp_path) is None
