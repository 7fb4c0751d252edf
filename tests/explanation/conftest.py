from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.explanation.chat_server import ChatServer
from tests.explanation.fake_examples import FakeExamples
from tui_lookups.answering.explaining import Explaining
from tui_lookups.answering.head_scores import HeadScores
from tui_lookups.explanation.desk import RequestDesk
from tui_lookups.explanation.store import ExplainedStore
from tui_lookups.settings import Settings, load_settings
from tui_lookups.storage.cache import ResultCache

KEY = "marker-key-7f3a9c1e5b2d"
"""The API key of every test here; it must turn up nowhere but in the Authorization header."""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A key, no endpoint, no settings and no proxies from outside."""
    for name in list(os.environ):
        if name.upper().startswith(("LOOKUPS_", "OPENAI_")) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as running:
        yield running


class Bench:
    """Explaining and scoring over fake examples, against the server; `again` is a new session."""

    def __init__(self, settings: Settings, examples: FakeExamples) -> None:
        self.settings = settings
        self.examples = examples
        self.cache = ResultCache(settings.cache_dir)
        self.desk = RequestDesk(settings, self.cache)
        self.store = ExplainedStore(self.cache)
        self.explaining = Explaining(self.desk, self.store, examples)
        self.scores = HeadScores(self.desk, self.store, examples, self.explaining, seed=settings.seed)

    def again(self, **flags: Any) -> Bench:
        self.cache.close()
        return Bench(msgspec.structs.replace(self.settings, **flags), self.examples)


@pytest.fixture
def make_bench(server: ChatServer, tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**flags: Any) -> Bench:
        given = {
            "cache_dir": tmp_path / "cache", "base_url": server.base_url, "explainer_model": "gpt-4",
            "explainer_timeout": 5.0, "explainer_retries": 0, **flags,
        }  # fmt: skip
        made.append(Bench(load_settings(**given), FakeExamples()))
        return made[-1]

    yield make
    for bench in made:
        bench.cache.close()


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()
