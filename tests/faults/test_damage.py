"""Single bytes of every file that a full run leaves in the cache, changed at random: never a wrong answer.

1. A copy of the cache gets one byte changed (or, one time in ten, is cut short there).
2. Every question is asked again: the right answer, at once or after one clear sentence; never another one,
   never an exception that is not ours.
3. Of explanations and the session, which cannot be computed again, those that are left are the right ones,
   and what is missing was reported.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.faults import scene as scenes
from tests.faults.scene import Scene
from tests.faults.tally import Row, tried
from tui_lookups.errors import LookupsError
from tui_lookups.explorer import Explorer

SHORT, LONG = 24, 1000


def files_of(cache: Path) -> list[Path]:
    return sorted(path for path in cache.rglob("*") if path.is_file() and path.stat().st_size)


def damage(path: Path, source: random.Random) -> str:
    """Change one byte of a file, or cut it short; says what was done."""
    data = bytearray(path.read_bytes())
    at = source.randrange(len(data))
    if source.random() < 0.1:
        path.write_bytes(data[:at])
        return f"{path.name} cut at {at}"
    data[at] ^= source.randrange(1, 256)
    path.write_bytes(data)
    return f"{path.name} byte {at}"


def check_explanations(explorer: Explorer, right: dict) -> None:
    found = explorer.explanations()
    left = [scenes.plain(entry) for entry in found.explained]
    known = right["explained"]
    assert all(entry in known for entry in left), "an explanation that nobody wrote"
    if len(left) < len(known):
        assert explorer.cache_info().problems or explorer.cache_verify(), "an explanation vanished unsaid"


def check_session(explorer: Explorer, right: object) -> None:
    try:
        found = scenes.plain(explorer.load_session())
    except LookupsError as error:
        assert "session" in error.message
        return
    assert found in (right, None)


def check(scene: Scene, cache: Path) -> None:
    """Ask everything of a damaged cache."""
    explorer = scene.explorer(cache)
    try:
        for name, ask in scenes.questions(explorer).items():
            right = scene.answers[name]
            if name == "explanations":
                check_explanations(explorer, right)
            elif name == "session":
                check_session(explorer, right)
            else:
                scenes.ask_until_right(name, ask, right)
    finally:
        explorer.close()
    resumed = scene.explorer(cache, layers=scenes.PARTLY)
    try:
        for name, ask in scenes.partly_questions(resumed).items():
            scenes.ask_until_right(name, ask, scene.answers["partly"][name])
    finally:
        resumed.close()


def flip_and_ask(scene: Scene, tmp_path: Path, seeds: range) -> None:
    for seed in seeds:
        source = random.Random(seed)
        cache = scene.copied(tmp_path / str(seed))
        files = files_of(cache)
        # Each file in turn, so that a small manifest is damaged as often as a large array; every third time
        # the database, which holds all answers.
        chosen = files[seed % len(files)] if seed % 3 else cache / "results" / "cache.db"
        done = damage(chosen, source)
        try:
            with tried(Row.BYTES):
                check(scene, cache)
        except BaseException as error:
            error.add_note(f"seed {seed}: {done}")
            raise
        shutil.rmtree(cache)


def test_the_cache_answers_as_it_did(scene: Scene, tmp_path: Path, once_loaded: None) -> None:
    check(scene, scene.copied(tmp_path / "cache"))


def test_damaged_bytes_never_give_a_wrong_answer(scene: Scene, tmp_path: Path, once_loaded: None) -> None:
    flip_and_ask(scene, tmp_path, range(SHORT))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_damaged_bytes_never_give_a_wrong_answer_long(
    scene: Scene, tmp_path: Path, once_loaded: None
) -> None:
    flip_and_ask(scene, tmp_path, range(SHORT, SHORT + LONG))


def test_damaged_tokens_under_a_finished_index_are_made_again_for_examples(
    scene: Scene, tmp_path: Path, once_loaded: None
) -> None:
    """Nothing else would: the scan is done, and explaining and scoring ask for nothing but examples."""
    cache = scene.copied(tmp_path / "cache")
    (tokens,) = cache.glob("corpora/*/*.tokens.*.npy")
    data = bytearray(tokens.read_bytes())
    data[-1] ^= 1
    tokens.write_bytes(data)
    explorer, untouched = scene.explorer(cache), scene.explorer(scene.copied(tmp_path / "right"))
    try:
        found, right = (
            each._services.explaining._examples.examples(scenes.OTHER, "scoring")
            for each in (explorer, untouched)
        )
        assert found.examples
        assert found == right
    finally:
        explorer.close()
        untouched.close()
