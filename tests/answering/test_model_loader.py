"""The one way a model is loaded with, in this process and in a worker of Ray."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tui_lookups.answering import model_loader
from tui_lookups.answering.worker_pool import LoadRequest
from tui_lookups.errors import ModelLoadError
from tui_lookups.explorer import Explorer
from tui_lookups.ids import NeuronId
from tui_lookups.model.sources import LocalModel
from tui_lookups.settings import load_settings

LOCAL = LocalModel("tiny", "source", Path("folder"), "f" * 8)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the loader is asked for, and what is done with the model it gives."""
    asked: dict[str, Any] = {"then": []}

    def load_model(folder: Path, **named: Any) -> SimpleNamespace:
        asked.update(named, folder=folder, collecting=gc.isenabled())
        basis = "folded" if named["folded"] else "raw"
        return SimpleNamespace(basis=basis, compile_forward=lambda: asked["then"].append("compile"))

    monkeypatch.setattr("tui_lookups.model.loading.load_model", load_model)
    return asked


def load(settings: Any, **changes: Any) -> Any:
    return model_loader.load(settings, LOCAL, say=lambda _: None, **changes)


def test_the_settings_decide_what_is_loaded(asked: dict[str, Any]) -> None:
    load(load_settings(device="cuda:1", dtype="bfloat16", compile=True))
    assert (asked["folder"], asked["name"], asked["fingerprint"]) == (Path("folder"), "tiny", "f" * 8)
    assert (asked["device"], asked["dtype"], asked["folded"]) == ("cuda:1", "bfloat16", True)
    assert asked["spread"] is False
    assert asked["then"] == ["compile"]


def test_the_raw_basis_and_many_gpus(asked: dict[str, Any]) -> None:
    load(load_settings(raw_weights=True, device_map="auto"))
    assert (asked["folded"], asked["spread"], asked["then"]) == (False, True, [])


def test_nothing_is_collected_while_it_is_loaded(asked: dict[str, Any]) -> None:
    load(load_settings())
    assert (asked["collecting"], gc.isenabled()) == (False, True)


def test_nothing_is_computed_with_weights_that_are_refused(asked: dict[str, Any]) -> None:
    def refuse() -> None:
        raise ModelLoadError("The files changed.", "Start again.")

    with pytest.raises(ModelLoadError, match="changed"):
        load(load_settings(compile=True), once_read=refuse)
    assert asked["then"] == []


@pytest.mark.parametrize(
    ("flags", "device", "device_map"),
    [
        ({}, "auto", "none"),
        ({"device": "cuda:3"}, "cuda", "none"),
        ({"device_map": "auto"}, "auto", "auto"),
        ({"gpus_per_worker": 2}, "auto", "auto"),
    ],
)
def test_a_worker_spreads_its_model_over_the_gpus_it_is_given(
    flags: dict[str, Any], device: str, device_map: str
) -> None:
    request = LoadRequest.of(load_settings(dtype="float16", **flags))
    kept = request.settings
    assert (kept.device, kept.device_map, kept.dtype) == (device, device_map, "float16")


def test_a_question_given_up_during_the_load_does_not_lose_it(
    tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Typing another token while a large model loads must not load it once more."""
    times, under_way, given_up = [], threading.Event(), threading.Event()
    load_now = model_loader.load

    def load_slowly(*given: Any, once_read: Callable[[], None], **named: Any) -> Any:
        def read() -> None:
            once_read()
            times.append(1)
            under_way.set()
            assert given_up.wait(60)

        return load_now(*given, once_read=read, **named)

    monkeypatch.setattr(model_loader, "load", load_slowly)
    explorer = Explorer(load_settings(model=str(tiny_folder("gpt2")), cache_dir=tmp_path, device="cpu"))
    try:
        neuron = NeuronId(1, 5)
        question = explorer.ask(lambda: explorer.activations(neuron, "a"), lambda _: None, lambda _: None)
        assert under_way.wait(60)
        question.cancel()
        given_up.set()
        assert explorer.activations(neuron, "b").text == "b"
    finally:
        explorer.close()
    assert len(times) == 1
