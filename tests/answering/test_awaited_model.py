"""While a question waits for the model to be loaded, the status says so, though the scan is long done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tui_lookups.answering.doing import Doing
from tui_lookups.answering.engine import Engine
from tui_lookups.errors import LoadingStoppedError
from tui_lookups.explorer import Explorer
from tui_lookups.ids import NeuronId
from tui_lookups.settings import Settings, load_settings

NEURON = NeuronId(5, 5)  # fires on these texts


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """With the prompts of NEURON in the cache."""
    texts = tmp_path / "texts.txt"
    texts.write_text("One text about time.\n\nAnother about rain.", encoding="utf-8")
    settings = load_settings(cache_dir=tmp_path / "cache", corpus=str(texts), device="cpu", threads=1)
    first = Explorer(settings)
    try:
        first.prompts(NEURON)
    finally:
        first.close()
    return settings


def test_a_question_that_waits_for_the_model_is_seen_to(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, load = threading.Event(), threading.Event(), Engine._load

    def slow(self: Engine, *arguments: Any) -> Any:
        self.doing.say("reading the weights")
        begun.set()
        assert go_on.wait(60)
        return load(self, *arguments)

    monkeypatch.setattr(Engine, "_load", slow)
    again = Explorer(settings)
    answers: list[object] = []
    try:
        assert again.prompts(NEURON).complete
        again.start()
        assert begun.wait(60)
        assert again.status().stage == "ready", "nobody waits for it: what is asked is in the cache"
        assert again.prompts(NEURON).complete
        assert again.status().stage == "ready"
        again.ask(lambda: again.heads(NEURON, prompt=1), answers.append, answers.append)
        until(lambda: again.status().stage == "loading")
        assert again.status().message == "reading the weights"
        go_on.set()
        until(lambda: bool(answers))
        status = again.status()
        assert (status.stage, status.message) == ("ready", "")
        assert not isinstance(answers[0], BaseException)
    finally:
        go_on.set()
        again.close()


def test_loading_that_is_stopped_leaves_what_is_cached_and_goes_on_when_it_is_started(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, said = [], Doing.say

    def stopped_while_weights_are_read(self: Doing, news: Any) -> None:
        said(self, news)
        told.append(self.progress)
        if "reading the weights" in self.progress.what and self.progress.done and len(told) < 100:
            again.stop_loading()

    monkeypatch.setattr(Doing, "say", stopped_while_weights_are_read)
    again = Explorer(settings)
    try:
        with pytest.raises(LoadingStoppedError, match="was stopped"):
            again.heads(NEURON, prompt=1)
        assert told[-1].total == 100
        assert told[-1].done < 100, "between two tensors"
        assert again.status().stage != "failed"
        assert again.prompts(NEURON).complete, "it is in the cache"
        with pytest.raises(LoadingStoppedError):
            again.heads(NEURON, prompt=1)
        monkeypatch.setattr(Doing, "say", said)
        again.start()
        until(lambda: again.status().stage == "ready")
        assert again.heads(NEURON, prompt=1).neuron == NEURON
    finally:
        again.close()
