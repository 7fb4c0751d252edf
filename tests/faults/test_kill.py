"""SIGKILL at random moments of everything that writes: what is left opens, and no half of it counts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.explanation.chat_server import ChatServer
from tests.explanation.conftest import KEY, Bench
from tests.explanation.fake_examples import HEAD, FakeExamples
from tests.explanation.fake_examples import NEURON as EXPLAINED_NEURON
from tests.faults import processes
from tests.faults import scene as scenes
from tests.faults.scene import NEURON, Scene
from tests.faults.tally import Row, tried
from tui_lookups.answering.sessions import load_session, save_session
from tui_lookups.results import SelectedNeuron, SelectedPrompt, Selection, SessionState, Token
from tui_lookups.settings import load_settings
from tui_lookups.storage.cache import ResultCache
from tui_lookups.storage.export import read_export, write_export

pytestmark = processes.needs_fork

times = pytest.mark.parametrize(
    "kills", [4, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)


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


@times
def test_exports_and_sessions(scene: Scene, tmp_path: Path, once_loaded: None, kills: int) -> None:
    """Under their names lie whole documents only: the old or the new."""
    explorer = scene.explorer(scene.copied(tmp_path / "cache"))
    try:
        marked = SelectedPrompt(NEURON, scene.answers["prompts"]["prompts"][0]["prompt_id"])
        path = explorer.export(Selection((SelectedNeuron(NEURON),), (marked,), ()), tmp_path / "old.json")
    finally:
        explorer.close()
    old = read_export(path)
    states = [SessionState(Token(n, "x" * n), NEURON, None, None, Selection((), (), ())) for n in (1, 90_000)]
    folder, model = tmp_path / "sessions", "m" * 64
    folder.mkdir()
    save_session(folder, states[0], model=model, corpus=None)

    def work() -> None:
        for number in range(12):
            write_export(old, path, overwrite=True)
            save_session(folder, states[number % 2], model=model, corpus=None)

    def check(hit: int) -> None:
        with tried(Row.KILLED):
            assert read_export(path) == old
            found = load_session(folder, model=model, corpus=None)
            assert found is not None
            assert found.token in [state.token for state in states]

    processes.kill_at_moments(work, check, kills=kills, seed=3)


@times
def test_explaining_and_scoring(tmp_path: Path, kills: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was answered and kept is not asked again, and what comes of it is the same."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ChatServer() as server:

        def bench(cache: Path) -> Bench:
            settings = load_settings(
                cache_dir=cache, base_url=server.base_url, explainer_model="gpt-4", explainer_retries=0,
                explainer_timeout=10.0, explainer_concurrency=2,
            )  # fmt: skip
            return Bench(settings, FakeExamples())

        right = scored(bench(tmp_path / "smooth"))
        asked_in_all = len(server.bodies)
        cache = tmp_path / "cache"

        def work() -> None:
            scored(bench(cache))

        def check(hit: int) -> None:
            with tried(Row.KILLED):
                again = bench(cache)
                known = len(again.cache.keys("chat_answers"))
                server.bodies.clear()
                assert scored(again) == right
                assert len(server.bodies) == asked_in_all - known
                assert again.cache.verify() == again.cache.problems == ()
                kept = again.explaining.explanations().explained
                assert [entry.explanation.explanation for entry in kept] == [right["explanation"]]
                again.cache.close()

        processes.kill_at_moments(
            work, check, kills=kills, seed=4, prepare=lambda: shutil.rmtree(cache, ignore_errors=True)
        )


def scored(bench: Bench) -> dict[str, Any]:
    """An explanation and its score, without times and counts of what was in the cache."""
    found = scenes.plain(bench.scores.score(EXPLAINED_NEURON, HEAD))
    return {name: found[name] for name in ("explanation", "score", "answers", "control", "shuffled")}
