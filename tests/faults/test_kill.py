"""SIGKILL at random moments of everything that writes: what is left opens, and no half of it counts."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.explanation.chat_server import ChatServer, Handler
from tests.explanation.conftest import KEY, Bench
from tests.explanation.fake_examples import HEAD, FakeExamples
from tests.explanation.fake_examples import NEURON as EXPLAINED_NEURON
from tests.faults import processes
from tests.faults import scene as scenes
from tests.faults.scene import NEURON, Scene
from tests.faults.tally import Row, tried
from tui_lookups.answering.sessions import load_session, save_session
from tui_lookups.exports.reading import read_export
from tui_lookups.exports.writing import export, write_export
from tui_lookups.results import SelectedNeuron, SelectedPrompt, Selection, SessionState, Token
from tui_lookups.settings import load_settings
from tui_lookups.storage.arrays import ArrayFolder, verify_folder
from tui_lookups.storage.cache import ResultCache

pytestmark = processes.needs_fork

times = pytest.mark.parametrize(
    "kills", [4, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)


AT_ONCE = 2
"""Requests to an explainer that are under way at a time."""


@times
def test_a_scan_from_nothing(scene: Scene, tmp_path: Path, once_loaded: None, kills: int) -> None:
    """Tokenising, checkpoints, the index: each kill leaves a cache from which the right answer comes."""
    cache, hits = tmp_path / "cache", [0]

    def prepare() -> None:
        """Every other scan goes on from where one was killed, unless that was done."""
        if hits[0] % 2 or list(cache.glob("indexes/*/common.*")):
            shutil.rmtree(cache, ignore_errors=True)

    def work() -> None:
        explorer = scene.explorer(cache, checkpoint_seconds=0.1)
        session = explorer._scan
        session.start()
        while session._scan is not None or session._index is None:  # a checkpoint after every batch
            explorer._engine.on_model(lambda *_: session.checkpoint())
        explorer.close()

    def check(hit: int) -> None:
        hits[0] = hit
        with tried(Row.KILLED):
            left = (
                Path(shutil.copytree(cache, tmp_path / f"left{hit}")) if cache.exists() else tmp_path / "new"
            )
            explorer = scene.explorer(left)
            try:
                for name in ("prompts", "random", "deciles", "heads", "overview"):
                    ask = scenes.questions(explorer)[name]
                    assert scenes.ask_until_right(name, ask, scene.answers[name], attempts=1) == []
                assert explorer.cache_verify() == ()
            finally:
                explorer.close()

    processes.kill_at_moments(work, check, kills=kills, seed=1, prepare=prepare)


@times
def test_writes_to_the_result_cache(tmp_path: Path, kills: int) -> None:
    """Whatever is found afterwards is what was put."""
    path = tmp_path / "cache"

    def value(number: int) -> bytes:
        return b"answer %d " % number * (5000 if number % 5 == 0 else 20)

    def work() -> None:
        cache = ResultCache(path)
        for number in range(40):
            cache.put("kind", cache.key("kind", n=number), value(number))
        cache.close()

    def check(hit: int) -> None:
        with tried(Row.KILLED):
            cache = ResultCache(path)
            found = {number: cache.get("kind", cache.key("kind", n=number)) for number in range(40)}
            assert all(got in (None, value(number)) for number, got in found.items())
            assert cache.verify() == cache.problems == ()
            cache.put("kind", cache.key("kind", n=99), b"still written")
            assert cache.get("kind", cache.key("kind", n=99)) == b"still written"
            cache.clear()
            cache.close()

    processes.kill_at_moments(work, check, kills=kills, seed=2)


@processes.needs_steps
def test_results_at_every_step(tmp_path: Path) -> None:
    """Between any two statements of a write: the old answer or the new one, never a trace of neither."""
    path = tmp_path / "cache"

    def prepare() -> None:
        cache = ResultCache(path)
        cache.put("kind", cache.key("kind", n=0), b"old")
        cache.close()

    def work(begin: Callable[[], None]) -> None:
        cache = ResultCache(path)
        cache.get("kind", cache.key("kind", n=0))  # opens it
        begin()
        for number in range(2):
            cache.put("kind", cache.key("kind", n=number), b"new" * 9000)
        cache.close()

    def check() -> None:
        with tried(Row.KILLED):
            cache = ResultCache(path)
            assert cache.get("kind", cache.key("kind", n=0)) in (b"old", b"new" * 9000)
            assert cache.get("kind", cache.key("kind", n=1)) in (None, b"new" * 9000)
            assert cache.verify() == cache.problems == ()
            cache.close()

    assert processes.kill_at_every_step(work, check, prepare) > 5


@processes.needs_steps
def test_arrays_at_every_step(tmp_path: Path) -> None:
    """A commit is all or nothing: after it was cut off anywhere the folder holds what it held, or the new."""
    folder = ArrayFolder(tmp_path / "arrays")
    contents = [{"one": np.arange(40.0).reshape(4, 10) + number} for number in (0, 1)]

    def commit(number: int) -> None:
        with folder.writing() as writer:
            assert writer is not None
            writer.write("block", contents[number])
            appender = writer.appender("grown", "numbers", np.int64)
            appender.append(np.full(5, number))
            writer.commit({"number": number})

    def check() -> None:
        with tried(Row.KILLED):
            assert verify_folder(folder.path) == []
            manifest = folder.manifest()
            assert manifest is not None
            found, right = folder.open("block"), contents[manifest.description["number"]]
            assert all(np.array_equal(found[name], right[name]) for name in right)
            assert set(folder.open("grown")["numbers"]) == {manifest.description["number"]}

    def work(begin: Callable[[], None]) -> None:
        begin()
        commit(1)

    assert processes.kill_at_every_step(work, check, lambda: commit(0)) > 10
    with folder.writing():  # whoever writes there next
        pass
    assert len(list(folder.path.glob("*.npy"))) == 2, "what was cut off is left behind"


def an_export(scene: Scene, tmp_path: Path) -> Path:
    """An exported document, written whole."""
    explorer = scene.explorer(scene.copied(tmp_path / "cache"))
    try:
        marked = SelectedPrompt(NEURON, scene.answers["prompts"]["prompts"][0]["prompt_id"])
        return export(explorer, Selection((SelectedNeuron(NEURON),), (marked,), ()), tmp_path / "old.json")
    finally:
        explorer.close()


STATES = [SessionState(Token(n, "x" * n), NEURON, None, None, Selection((), (), ())) for n in (1, 90_000)]
MODEL = "m" * 64


@times
def test_exports_and_sessions(scene: Scene, tmp_path: Path, once_loaded: None, kills: int) -> None:
    """Under their names lie whole documents only: the old or the new."""
    path = an_export(scene, tmp_path)
    old = read_export(path)
    folder = tmp_path / "sessions"
    folder.mkdir()
    save_session(folder, STATES[0], model=MODEL, corpus=None)

    def work() -> None:
        for number in range(12):
            write_export(old, path, overwrite=True)
            save_session(folder, STATES[number % 2], model=MODEL, corpus=None)

    def check(hit: int) -> None:
        with tried(Row.KILLED):
            assert read_export(path) == old
            found = load_session(folder, model=MODEL, corpus=None)
            assert found is not None
            assert found.token in [state.token for state in STATES]

    processes.kill_at_moments(work, check, kills=kills, seed=3)


@processes.needs_steps
def test_exports_and_sessions_at_every_step(scene: Scene, tmp_path: Path, once_loaded: None) -> None:
    path = an_export(scene, tmp_path)
    old = read_export(path)
    new = replace(old, created="2030-01-01T00:00:00+00:00")

    def prepare() -> None:
        write_export(old, path, overwrite=True)
        save_session(tmp_path, STATES[0], model=MODEL, corpus=None)

    def work(begin: Callable[[], None]) -> None:
        begin()
        write_export(new, path, overwrite=True)
        save_session(tmp_path, STATES[1], model=MODEL, corpus=None)

    def check() -> None:
        with tried(Row.KILLED):
            assert read_export(path) in (old, new)
            found = load_session(tmp_path, model=MODEL, corpus=None)
            assert found is not None
            assert found.token in [state.token for state in STATES]

    assert processes.kill_at_every_step(work, check, prepare) > 8


@pytest.mark.parametrize(
    "when", ["at requests", pytest.param("at moments", marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
def test_explaining_and_scoring(tmp_path: Path, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was answered and kept is not asked again, and what comes of it is the same."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ChatServer() as server:

        def bench(cache: Path) -> Bench:
            settings = load_settings(
                cache_dir=cache, base_url=server.base_url, explainer_model="gpt-4", explainer_retries=0,
                explainer_timeout=10.0, explainer_concurrency=AT_ONCE,
            )  # fmt: skip
            return Bench(settings, FakeExamples())

        right = scored(bench(tmp_path / "smooth"))
        in_all = len(server.bodies)
        cache = tmp_path / "cache"

        def prepare() -> None:
            shutil.rmtree(cache, ignore_errors=True)
            server.bodies.clear()

        def work() -> None:
            scored(bench(cache))

        def check(_: int) -> None:
            with tried(Row.KILLED):
                again = bench(cache)
                known = len(again.cache.keys("chat_answers"))
                assert known >= len(server.bodies) - AT_ONCE, "answers that were paid for are gone"
                server.bodies.clear()
                assert scored(again) == right
                assert len(server.bodies) == in_all - known
                assert again.cache.verify() == again.cache.problems == ()
                kept = again.explaining.explanations().explained
                assert [entry.explanation.explanation for entry in kept] == [right["explanation"]]
                again.cache.close()

        if when == "at moments":
            processes.kill_at_moments(work, check, kills=60, seed=4, prepare=prepare)
            return
        for number in (1, in_all // 2, in_all):
            prepare()
            child = Future[int]()

            def kill(handler: Handler, _: object, child: Future[int] = child) -> None:
                os.kill(child.result(30), signal.SIGKILL)
                handler.close_connection = True

            server.faults.extend([None] * (number - 1) + [kill])
            child.set_result(processes.start(work))
            assert not processes.finished(child.result())
            server.faults.clear()
            check(number)


def scored(bench: Bench) -> dict[str, Any]:
    """An explanation and its score, without times and counts of what was in the cache."""
    found = scenes.plain(bench.scores.score(EXPLAINED_NEURON, HEAD))
    return {name: found[name] for name in ("explanation", "score", "answers", "control", "shuffled")}
