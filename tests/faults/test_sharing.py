"""Several processes on one cache, a database somebody else holds, and clocks that go backwards."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults import processes
from tests.faults import scene as scenes
from tests.faults.scene import NEURON, Scene
from tests.faults.tally import Row, tried
from tui_lookups.errors import CacheError
from tui_lookups.storage import connections
from tui_lookups.storage.cache import ResultCache


@processes.needs_fork
@pytest.mark.parametrize("count", [2, 4])
def test_processes_share_a_cache(scene: Scene, tmp_path: Path, once_loaded: None, count: int) -> None:
    """Each scans the same empty cache and asks everything at once: all get the right answers."""
    cache = tmp_path / "cache"
    asked = [name for name in scene.answers if name not in ("explanations", "session", "partly")]

    def work_of(number: int) -> Callable[[], Any]:
        def work() -> Any:
            order = random.Random(number).sample(asked, len(asked))
            explorer = scene.explorer(cache, checkpoint_seconds=0.1)
            try:
                return {name: scenes.plain(scenes.questions(explorer)[name]()) for name in order}
            finally:
                explorer.close()

        return work

    with tried(Row.SHARING, count):
        for answers in processes.together([work_of(n) for n in range(count)], tmp_path / "answers"):
            for name, answer in answers.items():
                assert answer == scene.answers[name], name
        kept = ResultCache(cache)
        assert kept.verify() == ()
        assert kept.info().indexes == 1
        kept.close()


@contextmanager
def held(cache: Path, *, readers_too: bool) -> Iterator[None]:
    """Another process's transaction on the result database."""
    path = cache / "results" / "cache.db"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        if readers_too:
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("UPDATE Settings SET value = value WHERE key = 'count'")
        yield
        other.execute("ROLLBACK")


@pytest.mark.parametrize("readers_too", [False, True])
def test_a_locked_database(
    scene: Scene, tmp_path: Path, once_loaded: None, monkeypatch: pytest.MonkeyPatch, readers_too: bool
) -> None:
    """The right answer, or one sentence that says so; afterwards everything is as before."""
    monkeypatch.setattr(connections, "TIMEOUT_SECONDS", 0.05)
    cache = scene.copied(tmp_path / "cache")
    explorer = scene.explorer(cache)
    try:
        with held(cache, readers_too=readers_too):
            for name in ("tokens", "prompts", "uncached", "explanations"):
                with tried(Row.LOCKED):
                    try:
                        answer = scenes.plain(scenes.questions(explorer)[name]())
                    except CacheError as error:
                        assert "another process holds it" in error.message
                        assert "Try again" in error.hint
                    else:
                        assert answer == scene.answers[name]
            with tried(Row.LOCKED):
                explorer._engine.cache.put("kind", explorer._engine.cache.key("kind", n=1), b"x")
        for name, ask in scenes.questions(explorer).items():
            with tried(Row.LOCKED):
                assert scenes.plain(ask()) == scene.answers[name], name
    finally:
        explorer.close()


class Clock:
    """A wall clock that steps back on every look."""

    def __init__(self) -> None:
        self.now = time.time_ns()

    def ns(self) -> int:
        self.now -= 3600 * 10**9
        return self.now

    def seconds(self) -> float:
        return self.ns() / 1e9


def test_a_clock_that_goes_backwards(
    scene: Scene, tmp_path: Path, once_loaded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour back at every look, while a cache is filled and asked again."""
    clock = Clock()
    monkeypatch.setattr(time, "time", clock.seconds)
    monkeypatch.setattr(time, "time_ns", clock.ns)
    cache = tmp_path / "cache"
    for _ in range(2):
        explorer = scene.explorer(cache, checkpoint_seconds=0.1)
        try:
            for name in ("prompts", "heads", "atlas", "activations", "random"):
                with tried(Row.CLOCK):
                    assert scenes.plain(scenes.questions(explorer)[name]()) == scene.answers[name]
            progress = explorer._scan.progress
            assert progress is not None
            assert progress.seconds >= 0, "the scan measures with a clock that can be set"
        finally:
            explorer.close()


@processes.needs_fork
def test_a_locked_database_and_a_clock_that_goes_backwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting for another process ends: a deadline of the wall clock would never come."""
    cache = ResultCache(tmp_path)
    cache.put("kind", cache.key("kind", n=1), b"kept")
    cache.close()
    with closing(sqlite3.connect(tmp_path / "results" / "cache.db")) as other:
        other.execute("DELETE FROM Settings WHERE key = 'cull_limit'")  # so that opening has to write
        other.commit()

    def work() -> str:
        monkeypatch.setattr(connections, "TIMEOUT_SECONDS", 0.05)
        clock = Clock()
        monkeypatch.setattr(time, "time", clock.seconds)
        monkeypatch.setattr(time, "time_ns", clock.ns)
        try:
            return str(ResultCache(tmp_path).get("kind", cache.key("kind", n=1)))
        except CacheError as error:
            return error.message

    monkeypatch.setattr(processes, "LONGEST", 60)
    with tried(Row.CLOCK), held(tmp_path, readers_too=False):
        assert "another process holds it" in processes.answer_of(work, tmp_path / "child")


@pytest.mark.parametrize("offset", [-50 * 365 * 86400, 0, 50 * 365 * 86400], ids=["1976", "now", "2076"])
def test_files_from_another_time(scene: Scene, tmp_path: Path, once_loaded: None, offset: int) -> None:
    """Modification times that cannot be: of the cache, of the model, of the corpus."""
    when = time.time() + offset
    model, corpus = tmp_path / "model", tmp_path / scene.corpus.name
    model.mkdir()
    for path in scene.model.iterdir():
        (model / path.name).write_bytes(path.read_bytes())
    corpus.write_bytes(scene.corpus.read_bytes())
    cache = scene.copied(tmp_path / "cache")
    for path in (*model.iterdir(), corpus, *cache.rglob("*")):
        os.utime(path, (when, when))
    explorer = Scene(model, corpus, cache, {}).explorer(cache)
    try:
        with tried(Row.CLOCK):
            found = explorer.prompts(NEURON, top=scenes.TOP)
            assert [scenes.plain(prompt) for prompt in found.prompts] == scene.answers["prompts"]["prompts"]
    finally:
        explorer.close()


def test_a_corpus_changed_back_in_time_is_another_one(
    scene: Scene, tmp_path: Path, once_loaded: None
) -> None:
    """The same length, the same modification time: still not the same texts."""
    corpus = tmp_path / "texts.txt"
    corpus.write_bytes(scene.corpus.read_bytes())
    first = Scene(scene.model, corpus, scene.cache, {}).explorer(tmp_path / "cache")
    before = corpus.stat()
    try:
        one = first.corpus_info().fingerprint
    finally:
        first.close()
    corpus.write_bytes(scene.corpus.read_bytes().replace(b"cat", b"dog"))
    os.utime(corpus, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = Scene(scene.model, corpus, scene.cache, {}).explorer(tmp_path / "cache")
    try:
        with tried(Row.CLOCK):
            assert second.corpus_info().fingerprint != one
    finally:
        second.close()
