"""Planted pickles, foreign databases, flipped bytes: never run, never a wrong answer, always clear."""

from __future__ import annotations

import os
import pickle
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tui_lookups.errors import CacheError
from tui_lookups.storage.bytes_disk import BytesDisk
from tui_lookups.storage.cache import ResultCache

MODE_RAW, MODE_BINARY, MODE_TEXT, MODE_PICKLE = 1, 2, 3, 4


class Bomb:
    """Unpickling this makes a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.trace),)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "executed"


@pytest.fixture
def bomb(trace: Path) -> bytes:
    data = pickle.dumps(Bomb(trace))
    pickle.loads(data)  # noqa: S301 - shows that the bomb works
    trace.rmdir()
    return data


@pytest.fixture
def filled(tmp_path: Path) -> ResultCache:
    cache = ResultCache(tmp_path / "cache")
    cache.put("kind", cache.key("kind", n=1), b"true answer")
    cache.put("kind", cache.key("kind", n=2), b"other answer")
    return cache


def alter(cache: ResultCache, statement: str, *parameters: object) -> None:
    with closing(sqlite3.connect(cache.directory / "results" / "cache.db", isolation_level=None)) as database:
        database.execute(statement, parameters)


def reopened(cache: ResultCache) -> ResultCache:
    cache.close()
    return ResultCache(cache.directory)


def test_a_planted_pickle_is_refused_dropped_and_reported(
    filled: ResultCache, bomb: bytes, trace: Path
) -> None:
    key = filled.key("kind", n=1)
    alter(filled, "UPDATE Cache SET mode = ?, value = ? WHERE key = ?", MODE_PICKLE, bomb, key)
    assert filled.get("kind", key) is None
    assert len(filled.problems) == 1
    assert filled.info().entries == 1
    assert not trace.exists()
    filled.put("kind", key, b"computed again")
    assert filled.get("kind", key) == b"computed again"


@pytest.mark.parametrize("mode", [0, MODE_RAW, MODE_BINARY, MODE_TEXT, MODE_PICKLE, 9, "x", None])
def test_a_planted_file_name_is_never_followed(
    filled: ResultCache, tmp_path: Path, bomb: bytes, trace: Path, mode: object
) -> None:
    outside = tmp_path / "thesis.tex"
    outside.write_bytes(bomb)
    key = filled.key("kind", n=1)
    alter(
        filled,
        "UPDATE Cache SET mode = ?, value = NULL, filename = ? WHERE key = ?",
        mode,
        "../../thesis.tex",
        key,
    )
    assert filled.get("kind", key) is None
    filled.clear()
    assert outside.read_bytes() == bomb
    assert not trace.exists()


@pytest.mark.parametrize("value", [b"true answer", "text", 7, 1.5, None])
def test_values_without_our_envelope_are_refused(filled: ResultCache, value: object) -> None:
    key = filled.key("kind", n=1)
    alter(filled, "UPDATE Cache SET value = ? WHERE key = ?", value, key)
    assert filled.get("kind", key) is None
    assert len(filled.problems) == 1


def test_a_value_moved_under_another_key_is_refused(filled: ResultCache) -> None:
    first, second = filled.key("kind", n=1), filled.key("kind", n=2)
    alter(
        filled,
        "UPDATE Cache SET value = (SELECT value FROM Cache WHERE key = ?) WHERE key = ?",
        second,
        first,
    )
    assert filled.get("kind", first) is None
    assert filled.get("kind", second) == b"other answer"


@pytest.mark.parametrize("raw", [0, 1])
def test_a_planted_pickled_key_is_dropped_by_verify(
    filled: ResultCache, bomb: bytes, trace: Path, raw: int
) -> None:
    alter(
        filled, "INSERT INTO Cache(key, raw, mode, value) VALUES (?, ?, ?, ?)", bomb, raw, MODE_PICKLE, bomb
    )
    assert filled.info().entries == 3
    found = filled.verify()
    assert len(found) == 1
    assert filled.info().entries == 2
    assert filled.verify() == ()
    assert not trace.exists()


def test_planted_pickled_settings_are_refused_before_diskcache_sees_them(
    filled: ResultCache, bomb: bytes, trace: Path
) -> None:
    alter(filled, "UPDATE Settings SET value = ? WHERE key = 'eviction_policy'", bomb)
    again = reopened(filled)
    assert again.get("kind", again.key("kind", n=1)) is None
    assert "foreign setting" in again.problems[0]
    again.put("kind", again.key("kind", n=1), b"computed again")
    assert again.get("kind", again.key("kind", n=1)) == b"computed again"
    assert not trace.exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sqlite_user_version", "7; DROP TABLE Cache"),
        ("disk_compress", 1),
        ("close", "not callable"),
        ("size_limit", 10),
        ("eviction_policy", "least-recently-stored"),
        ("sqlite_mmap_size", 2**26),
        ("count", "many"),
    ],
)
def test_foreign_settings_are_refused(filled: ResultCache, key: str, value: object) -> None:
    alter(filled, "INSERT OR REPLACE INTO Settings VALUES (?, ?)", key, value)
    again = reopened(filled)
    assert again.get("kind", again.key("kind", n=1)) is None
    assert len(again.problems) == 1


def test_a_setting_planted_while_the_cache_is_open_is_refused_too(filled: ResultCache) -> None:
    import threading

    alter(filled, "INSERT INTO Settings VALUES ('sqlite_user_version', 7)")
    answers: list[bytes | None] = []
    thread = threading.Thread(target=lambda: answers.append(filled.get("kind", filled.key("kind", n=1))))
    thread.start()
    thread.join()
    assert answers in ([None], [b"true answer"])
    with closing(sqlite3.connect(filled.directory / "results" / "cache.db")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (0,)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE Other (x)",
        "CREATE VIEW Other AS SELECT * FROM Cache",
        "CREATE TRIGGER Other AFTER INSERT ON Cache BEGIN DELETE FROM Cache; END",
        "DROP TABLE Cache",
        "DROP TABLE Settings",
    ],
)
def test_a_foreign_database_is_started_afresh(filled: ResultCache, statement: str) -> None:
    alter(filled, statement)
    again = reopened(filled)
    key = again.key("kind", n=3)
    again.put("kind", key, b"new")
    again.put("kind", key, b"new")
    assert again.get("kind", key) == b"new"


@pytest.mark.parametrize("content", [b"\0" * 5000, b"SQLite format 3\0" + b"\xff" * 5000, b"text\n"])
def test_a_file_that_is_no_database_is_replaced_and_reported(filled: ResultCache, content: bytes) -> None:
    filled.close()
    for path in (filled.directory / "results").iterdir():
        path.unlink()
    (filled.directory / "results" / "cache.db").write_bytes(content)
    again = ResultCache(filled.directory)
    key = again.key("kind", n=1)
    assert again.get("kind", key) is None
    again.put("kind", key, b"computed again")
    assert again.get("kind", key) == b"computed again"
    assert len(again.problems) == 1


def test_a_link_in_place_of_the_database_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.db"
    outside.write_bytes(b"")
    (tmp_path / "cache" / "results").mkdir(parents=True)
    (tmp_path / "cache" / "results" / "cache.db").symlink_to(outside)
    cache = ResultCache(tmp_path / "cache")
    with pytest.raises(CacheError):
        cache.get("kind", cache.key("kind"))
    assert outside.read_bytes() == b""


def test_the_disk_refuses_to_write_what_it_would_not_read(tmp_path: Path) -> None:
    disk = BytesDisk(str(tmp_path))
    for value in ("text", 7, 1.5, None, object(), bytearray(b"x")):
        with pytest.raises(CacheError):
            disk.store(value, False)
    for key in (b"bytes", 7, 1.5, None, ("a", 1)):
        with pytest.raises(CacheError):
            disk.put(key)
    assert list(tmp_path.iterdir()) == []


def flip_bytes(path: Path, source: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(source.choice([1, 4, 64])):
        data[source.randrange(len(data))] ^= source.randrange(1, 256)
    if source.random() < 0.1:
        del data[source.randrange(len(data)) :]
    path.write_bytes(data)


def check_no_wrong_answer(directory: Path, seed: int) -> None:
    """Fill a cache, damage it, and read it: the true answer, a miss or a CacheError, and usable again."""
    source = random.Random(seed)
    first = ResultCache(directory)
    truth = {first.key("kind", n=n): b"answer %d " % n * source.choice([1, 50, 900]) for n in range(12)}
    for key, value in truth.items():
        first.put("kind", key, value)
    first.close()
    flip_bytes(directory / "results" / "cache.db", source)
    again = ResultCache(directory)
    for key, value in truth.items():
        assert again.get("kind", key) in (None, value)
    again.verify()
    for key, value in truth.items():
        again.put("kind", key, value)
    missing = [key for key, value in truth.items() if again.get("kind", key) != value]
    assert not missing or again.problems, f"seed {seed}"
    again.close()


def test_flipped_bytes_never_give_a_wrong_answer(tmp_path: Path) -> None:
    for seed in range(60):
        check_no_wrong_answer(tmp_path / str(seed), seed)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_flipped_bytes_never_give_a_wrong_answer_long(tmp_path: Path) -> None:
    for seed in range(60, 1500):
        check_no_wrong_answer(tmp_path / str(seed), seed)
