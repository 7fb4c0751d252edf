"""Disks that are full or read-only at each thing that is written: one clear sentence, nothing lost.

Full is a small tmpfs where mounting is permitted. Where it is not, a child process may write files of a few
kilobytes only (RLIMIT_FSIZE, EFBIG in place of ENOSPC): the second form of each test, which runs everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults import disks, processes
from tests.faults import scene as scenes
from tests.faults.scene import NEURON, Scene
from tests.faults.tally import Row, tried
from tui_lookups.answering.sessions import load_session, save_session
from tui_lookups.errors import CacheError, ExportError, LookupsError
from tui_lookups.explorer import Explorer
from tui_lookups.exports.reading import read_export
from tui_lookups.exports.writing import export, write_export
from tui_lookups.results import SelectedNeuron, Selection, SessionState, Token
from tui_lookups.storage.cache import ResultCache

BASKET = Selection((SelectedNeuron(NEURON),), (), ())
FULL_SAYS = ("no space left", "disk is full", "file too large", "disk i/o error", "database or disk is full")
MODEL = "m" * 64


def says_full(error: LookupsError | str) -> None:
    text = str(error) if isinstance(error, str) else error.message
    assert any(words in text.lower() for words in FULL_SAYS), text
    assert "\n" not in text
    if isinstance(error, LookupsError):
        assert error.hint


@contextmanager
def opened(scene: Scene, cache: Path, **changes: Any) -> Iterator[Explorer]:
    explorer = scene.explorer(cache, **changes)
    try:
        yield explorer
    finally:
        explorer.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with disks.small_disk(tmp_path / "disk") as mounted:
        yield mounted


# --- full ---


def test_a_scan_on_a_full_disk(scene: Scene, disk: Path, once_loaded: None) -> None:
    """It is said; what was answered before is still there; with room again the right answer comes."""
    cache = disk / "cache"
    with opened(scene, cache) as explorer:
        explorer.activations(NEURON, "the cat sat")
        explorer.corpus_info()
    filler = disks.fill(disk, leave=64 * 1024)
    with tried(Row.FULL), opened(scene, cache, checkpoint_seconds=0.1) as explorer:
        with pytest.raises(LookupsError) as caught:
            explorer.prompts(NEURON, top=scenes.TOP)
        says_full(caught.value)
        assert scenes.plain(explorer.activations(NEURON, "the cat sat")) == scene.answers["activations"]
        filler.unlink()
        assert scenes.plain(explorer.prompts(NEURON, top=scenes.TOP)) == scene.answers["prompts"]
        assert explorer.cache_verify() == ()


def test_a_corpus_on_a_full_disk(scene: Scene, disk: Path, once_loaded: None) -> None:
    with tried(Row.FULL), opened(scene, disk / "cache") as explorer:
        explorer.activations(NEURON, "the cat sat")  # the database is there, so that it is the arrays' turn
        disks.fill(disk, leave=0)
        with pytest.raises(LookupsError) as caught:
            explorer.corpus_info()
        says_full(caught.value)
        (disk / "filler").unlink()
        assert explorer.corpus_info().prompts == 28


def test_results_on_a_full_disk(disk: Path) -> None:
    """Nothing is raised: the answer stands; what was kept before is still right."""
    cache = ResultCache(disk / "cache")
    key = cache.key("kind", n=0)
    cache.put("kind", key, b"kept before")
    filler = disks.fill(disk)
    with tried(Row.FULL):
        big = {cache.key("kind", n=number): os.urandom(9000) for number in range(1, 30)}
        for each, value in big.items():
            cache.put("kind", each, value)
        assert cache.problems
        for problem in cache.problems:
            says_full(problem)
        assert cache.get("kind", key) == b"kept before"
        assert all(cache.get("kind", each) in (None, value) for each, value in big.items())
        filler.unlink()
        for each, value in big.items():
            cache.put("kind", each, value)
        assert all(cache.get("kind", each) == value for each, value in big.items())
    cache.close()


def test_explanations_on_a_full_disk(scene: Scene, disk: Path, once_loaded: None) -> None:
    """Those that were there stay, and the one that could not be kept is said."""
    cache = scene.copied(disk / "cache")
    disks.fill(disk, leave=64 * 1024)  # for what SQLite needs to read
    with tried(Row.FULL), opened(scene, cache) as explorer:
        entry = explorer.explanations().explained[0]
        for number in range(80):
            explorer.explaining.store.keep(
                scenes.an_explanation(explorer, f"{number} " * 500, "2026-02-02T00:00:00+00:00")
            )
        assert explorer.cache_info().problems
        for problem in explorer.cache_info().problems:
            says_full(problem)
        assert entry in explorer.explanations().explained


def test_exports_and_sessions_on_a_full_disk(
    scene: Scene, disk: Path, tmp_path: Path, once_loaded: None
) -> None:
    with opened(scene, scene.copied(tmp_path / "cache")) as explorer:
        path = export(explorer, BASKET, disk / "export.json")
        session = SessionState(Token(1, "x"), NEURON, None, None, BASKET)
        save_session(disk, session, model=MODEL, corpus=None)
        before = sorted(disk.iterdir()), path.read_bytes()
        disks.fill(disk, leave=0)
        with tried(Row.FULL, 3):
            for attempt in (
                lambda: export(explorer, BASKET, path, overwrite=True),
                lambda: export(explorer, BASKET, disk / "new.json"),
                lambda: save_session(disk, session, model=MODEL, corpus=None),
            ):
                with pytest.raises((ExportError, CacheError)) as caught:
                    attempt()
                says_full(caught.value)
    (disk / "filler").unlink()
    assert (sorted(disk.iterdir()), path.read_bytes()) == before
    assert load_session(disk, model=MODEL, corpus=None) is not None


# --- full, without mounting: no file may grow beyond a few kilobytes ---

LIMIT = 2000


@processes.needs_fork
def test_no_file_may_grow(scene: Scene, tmp_path: Path, once_loaded: None) -> None:
    """Scan, results, export and session in a child under RLIMIT_FSIZE; the parent looks at what is left."""
    cache = tmp_path / "cache"
    with opened(scene, cache) as explorer:
        before = scenes.plain(explorer.activations(NEURON, "the cat sat"))
        explorer.corpus_info()
    with opened(scene, scene.copied(tmp_path / "whole")) as explorer:
        path = export(explorer, BASKET, tmp_path / "export.json")
    old = path.read_bytes()
    small = SessionState(Token(1, "x"), NEURON, None, None, BASKET)
    save_session(tmp_path, small, model=MODEL, corpus=None)

    def sentence(attempt: Callable[[], object]) -> str:
        try:
            attempt()
        except LookupsError as error:
            return error.message
        return "nothing was said"

    def work() -> list[str]:
        large = SessionState(Token(1, "x" * 9000), NEURON, None, None, BASKET)
        with opened(scene, cache, checkpoint_seconds=0.1) as limited:
            limited.corpus_info()
            processes.limit_files(LIMIT)
            said = [sentence(lambda: limited.prompts(NEURON, top=scenes.TOP))]
            assert scenes.plain(limited.activations(NEURON, "the cat sat")) == before
        document = read_export(path)
        said.append(sentence(lambda: write_export(document, path, overwrite=True)))
        said.append(sentence(lambda: save_session(tmp_path, large, model=MODEL, corpus=None)))
        processes.unlimited()  # for the answer
        return said

    with tried(Row.FULL, 3):
        for said in processes.answer_of(work, tmp_path / "child"):
            says_full(said)
        assert path.read_bytes() == old
        assert load_session(tmp_path, model=MODEL, corpus=None) is not None
        with opened(scene, cache) as explorer:
            assert scenes.plain(explorer.prompts(NEURON, top=scenes.TOP)) == scene.answers["prompts"]


# --- read-only ---


READ_ONLY_SAYS = ("read-only", "readonly", "permission denied", "unable to open")


def test_a_read_only_cache(scene: Scene, tmp_path: Path, once_loaded: None) -> None:
    """A sentence with a way out, or the right answer; nothing in it changes."""
    cache = scene.copied(tmp_path / "cache")
    before = {path: path.read_bytes() for path in cache.rglob("*") if path.is_file()}
    with disks.read_only(cache), opened(scene, cache) as explorer:
        for name, ask in scenes.questions(explorer).items():
            with tried(Row.READ_ONLY):
                try:
                    answer = scenes.plain(ask())
                except LookupsError as error:
                    assert any(words in str(error).lower() for words in READ_ONLY_SAYS), (name, str(error))
                    assert error.hint
                else:
                    assert answer == scene.answers[name]
        session = SessionState(Token(1, "x"), NEURON, None, None, BASKET)
        with tried(Row.READ_ONLY), pytest.raises(CacheError, match="saved"):
            save_session(cache, session, model=MODEL, corpus=None)
    assert {path: path.read_bytes() for path in cache.rglob("*") if path.is_file()} == before


def test_a_cache_that_becomes_read_only(scene: Scene, tmp_path: Path, once_loaded: None) -> None:
    """Under a running app: what it knows it answers, what it cannot keep it says."""
    cache = tmp_path / "cache"
    with opened(scene, cache) as explorer:
        explorer.activations(NEURON, "the cat")
        with disks.read_only(cache):
            for name in ("activations", "neurons", "prompts"):
                with tried(Row.READ_ONLY):
                    try:
                        answer = scenes.plain(scenes.questions(explorer)[name]())
                    except LookupsError as error:
                        assert any(words in str(error).lower() for words in READ_ONLY_SAYS), str(error)
                    else:
                        assert answer == scene.answers[name]
        assert scenes.plain(explorer.prompts(NEURON, top=scenes.TOP)) == scene.answers["prompts"]
