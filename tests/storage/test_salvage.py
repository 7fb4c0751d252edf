"""A damaged database: set aside, not deleted, and what cannot be computed again is in the new one."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.storage import samples
from tui_lookups.corpus import hub
from tui_lookups.errors import CacheError
from tui_lookups.explanation import store
from tui_lookups.results import Explained
from tui_lookups.storage import connections, salvage, set_aside
from tui_lookups.storage.cache import ResultCache
from tui_lookups.storage.codec import to_json_bytes

PAGE = 4096
KEPT = {"explained": 40, "chat_answers": 25, "hub_revision": 2, "notes": 3}
"""Entries of each kind that no model can compute again, among others that one can."""


def contents() -> Iterator[tuple[str, str, bytes]]:
    """Entries in the order in which they are put: kind, key, value; some fill several pages."""
    key = ResultCache(Path("unused")).key
    scored = to_json_bytes(Explained(samples.explanation(), samples.score()))
    unscored = to_json_bytes(Explained(samples.explanation(), None))
    source = random.Random(5)
    for number in range(120):
        yield "neurons", key("neurons", n=number), b"n" * source.choice([30, 600, 9000])
        for kind, count in KEPT.items():
            if number < count:
                value = (
                    (scored, unscored)[number % 2]
                    if kind == "explained"
                    else source.randbytes(40 + 60 * number)
                )
                yield kind, key(kind, n=number), value


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder; it is copied, never used."""
    folder = tmp_path_factory.mktemp("whole")
    cache = ResultCache(folder)
    for kind, key, value in contents():
        cache.put(kind, key, value)
    assert cache.problems == ()
    cache.close()
    return folder


def irreplaceable() -> dict[str, bytes]:
    return {key: value for kind, key, value in contents() if kind in KEPT}


def readable_by_sqlite(database: Path) -> set[str]:
    """Keys of whole entries that plain SQLite finds by their row numbers or by their keys."""
    wanted, found = irreplaceable(), set()
    with closing(sqlite3.connect(database)) as connection:
        questions = [("rowid = ?", n) for n in range(1, 400)] + [
            ("key = ? AND raw = 1", key) for key in wanted
        ]
        for condition, value in questions:
            with suppress(sqlite3.Error):
                for key, sealed in connection.execute(
                    f"SELECT key, value FROM Cache WHERE {condition}", (value,)
                ):
                    if key in wanted and isinstance(sealed, bytes) and sealed.endswith(wanted[key]):
                        found.add(key)
    return found


def overwritten(at: int, length: int = 200) -> Callable[[bytearray], None]:
    def damage(data: bytearray) -> None:
        place = at % len(data)
        data[place : place + length] = random.Random(at).randbytes(length)

    return damage


def cut(part: float) -> Callable[[bytearray], None]:
    def damage(data: bytearray) -> None:
        del data[int(len(data) * part) :]

    return damage


def every_interior_page(data: bytearray) -> None:
    """The pages that say where the rows of a table or the keys of an index are, all of them.

    A cell that starts at byte 0 of its page is read from that page alone. One that starts at its last byte
    is read on into whatever stands in memory behind the page, so that what SQLite finds differs by process.
    """
    for start in range(PAGE, len(data), PAGE):
        if data[start] in (2, 5):
            data[start + 12 : start + 60] = bytes(48)


DAMAGES = {
    "header": overwritten(0, 50),
    "schema": overwritten(PAGE - 1500),
    "interior pages": every_interior_page,
    "cut in half": cut(0.5),
    "cut at its end": cut(0.97),
    "cut to nothing": cut(0),
} | {f"page {page}": overwritten(page * PAGE + 4) for page in (*range(2, 12), 20, 30, 45, 60, 75, -3, -1)}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_sqlite_can_still_read_comes_back(whole: Path, tmp_path: Path, name: str) -> None:
    folder, copy = tmp_path / "cache", tmp_path / "copy.db"
    shutil.copytree(whole, folder)
    data = bytearray((folder / "results" / "cache.db").read_bytes())
    DAMAGES[name](data)
    (folder / "results" / "cache.db").write_bytes(data)
    copy.write_bytes(data)
    readable = readable_by_sqlite(copy)

    cache = ResultCache(folder)
    cache.verify()
    wanted = irreplaceable()
    found = {key for key, value in wanted.items() if cache.get(key.partition(":")[0], key) == value}
    assert found >= readable
    if found < wanted.keys() and data:
        assert cache.problems, "something vanished without a word"
    cache.close()


def damaged(whole: Path, folder: Path, damage: str = "page 5") -> Path:
    """A copy of the cache with a damaged database; its folder of results."""
    results = Path(shutil.copytree(whole, folder)) / "results"
    data = bytearray((results / "cache.db").read_bytes())
    DAMAGES[damage](data)
    (results / "cache.db").write_bytes(data)
    return results


def test_it_is_said_once_with_counts_and_the_file_is_kept(whole: Path, tmp_path: Path) -> None:
    results = damaged(whole, tmp_path / "cache", "interior pages")
    content = (results / "cache.db").read_bytes()
    cache = ResultCache(tmp_path / "cache")
    cache.verify()
    (sentence,) = cache.problems
    count = sum(key.startswith("explained:") for key in cache.keys("explained"))
    assert sentence.endswith("saved; the rest is computed again.")
    assert "cache.db.damaged-1" in sentence
    assert f" {count} explanations, " in sentence
    assert (results / "cache.db.damaged-1").read_bytes() == content
    assert stat.S_IMODE((results / "cache.db.damaged-1").stat().st_mode) == 0o600
    cache.close()


def test_info_names_what_was_set_aside_and_clear_removes_it(whole: Path, tmp_path: Path) -> None:
    results = damaged(whole, tmp_path / "cache")
    first = ResultCache(tmp_path / "cache")
    first.verify()
    first.close()
    cache = ResultCache(tmp_path / "cache")
    info = cache.info()
    assert any("cache.db.damaged-1" in problem and "cache clear" in problem for problem in info.problems)
    assert info.bytes > (results / "cache.db.damaged-1").stat().st_size
    assert cache.problems == ()
    assert cache.clear().problems == ()
    assert not list(results.glob("*damaged*"))
    cache.close()


def test_the_newest_two_are_kept(whole: Path, tmp_path: Path) -> None:
    results = damaged(whole, tmp_path / "cache")
    for _ in range(4):
        (results / "cache.db").write_bytes(b"no database " * 999)
        for side in ("-wal", "-shm"):
            (results / f"cache.db{side}").unlink(missing_ok=True)
        cache = ResultCache(tmp_path / "cache")
        assert cache.info().entries == 0
        cache.close()
    assert [path.name for path in set_aside.all_in(results)] == ["cache.db.damaged-3", "cache.db.damaged-4"]
    assert len(list(results.glob("cache.db.damaged*"))) == set_aside.KEPT == 2


def test_nothing_is_taken_out_of_a_database_of_somebody_else(whole: Path, tmp_path: Path) -> None:
    results = Path(shutil.copytree(whole, tmp_path / "cache")) / "results"
    with closing(sqlite3.connect(results / "cache.db", isolation_level=None)) as database:
        database.execute("CREATE VIEW Other AS SELECT * FROM Cache")
    cache = ResultCache(tmp_path / "cache")
    assert cache.keys("explained") == []
    assert (results / "cache.db.damaged-1").exists()
    (sentence,) = cache.problems
    assert "nothing was taken out of it" in sentence
    cache.close()
    again = ResultCache(tmp_path / "cache")
    assert again.keys("explained") == []
    assert again.problems == ()
    again.close()


@pytest.mark.parametrize("killed_after", ["the mark", "the database", "the log", "making another"])
def test_a_process_that_is_killed_in_between_loses_nothing(
    whole: Path, tmp_path: Path, killed_after: str
) -> None:
    """Whoever opens the cache next goes on; what lies in the log is part of it."""
    results = Path(shutil.copytree(whole, tmp_path / "cache")) / "results"
    late = ResultCache(tmp_path / "elsewhere").key("explained", n="late")
    with ResultCacheInTheLog(tmp_path / "cache", late):  # nobody else is here to take the locks
        for path in results.glob("cache.db*"):
            shutil.copy(path, tmp_path / path.name)
    for path in (*results.glob("cache.db*"), results / ".lock"):
        path.unlink(missing_ok=True)
    for path in tmp_path.glob("cache.db*"):
        shutil.copy(path, results)
    place = results / "cache.db.damaged-1"
    (results / f"{place.name}.unread").touch()
    if killed_after != "the mark":
        (results / "cache.db").rename(place)
    if killed_after in ("the log", "making another"):
        (results / "cache.db-wal").rename(results / f"{place.name}-wal")
    if killed_after == "making another":
        (results / "cache.db-shm").rename(results / f"{place.name}-shm")
        (results / "cache.db").touch()
    cache = ResultCache(tmp_path / "cache")
    assert set(cache.keys("explained")) == {
        key for key in irreplaceable() if key.startswith("explained:")
    } | {late}
    assert cache.get("explained", late) == b"late"
    assert set_aside.unread_in(results) == ()
    cache.close()


class ResultCacheInTheLog:
    """A cache whose newest entry is in the write-ahead log alone."""

    def __init__(self, folder: Path, key: str) -> None:
        self.cache, self.key = ResultCache(folder), key

    def __enter__(self) -> None:
        self.cache.put("explained", self.key, b"late")

    def __exit__(self, *_: object) -> None:
        self.cache.close()


def test_another_cache_that_has_the_damaged_database_open_writes_to_the_new_one(
    whole: Path, tmp_path: Path
) -> None:
    shutil.copytree(whole, tmp_path / "cache")
    results = tmp_path / "cache" / "results"
    first, second = ResultCache(tmp_path / "cache"), ResultCache(tmp_path / "cache")
    keys = [first.key("explained", n=f"late {n}") for n in range(3)]
    first.put("explained", keys[0], b"0")
    second.put("explained", keys[1], b"1")
    first._database.replace_damaged("as a test says")
    assert (results / "cache.db.damaged-1").exists()
    second.put("explained", keys[2], b"2")
    third = ResultCache(tmp_path / "cache")
    assert [third.get("explained", key) for key in keys] == [b"0", b"1", b"2"]
    for cache in (first, second, third):
        cache.close()


def test_the_kinds_that_are_saved_are_those_that_are_written() -> None:
    assert (
        {store.ANSWERS, store.EXPLAINED, hub._KIND, salvage.NOTES} == set(salvage.IRREPLACEABLE) == set(KEPT)
    )


def test_a_database_on_which_nothing_can_be_set_aside_is_one_clear_error(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = damaged(whole, tmp_path / "cache", "header")
    content = (results / "cache.db").read_bytes()

    def refuse(*_: object) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "rename", refuse)
    cache = ResultCache(tmp_path / "cache")
    with pytest.raises(salvage.connections.CacheError, match="permission denied"):
        cache.keys("explained")
    assert (results / "cache.db").read_bytes() == content


def test_one_that_cannot_be_read_for_now_is_read_the_next_time(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = Path(shutil.copytree(whole, tmp_path / "cache")) / "results"
    place = results / "cache.db.damaged-1"
    (results / f"{place.name}.unread").touch()
    (results / "cache.db").rename(place)
    connect = connections.connect

    def held(path: Path) -> connections.Connection:
        if path != place:
            return connect(path)
        error = sqlite3.OperationalError("database is locked")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise error

    with monkeypatch.context() as patched, closing(ResultCache(tmp_path / "cache")) as cache:
        patched.setattr(connections, "connect", held)
        with pytest.raises(CacheError, match=r"locked|busy|another process"):
            cache.keys("explained")
    assert set_aside.unread_in(results) == (place,)
    with closing(ResultCache(tmp_path / "cache")) as cache:
        assert set(cache.keys("explained")) == {k for k in irreplaceable() if k.startswith("explained:")}
