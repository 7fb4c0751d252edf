from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.storage.samples import explanation, score, token_neurons
from tui_lookups.errors import CacheError, NumericalError
from tui_lookups.results import Explained, TokenNeurons
from tui_lookups.storage import connections
from tui_lookups.storage.cache import ResultCache
from tui_lookups.storage.codec import to_plain

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def spelled(value: object) -> str:
    """A value with its types, so that 1, 1.0 and True differ; mappings in key order."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key!r}:{spelled(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(spelled(each) for each in value) + "]"
    return f"{type(value).__name__}:{value!r}"


@given(PLAIN, PLAIN)
def test_keys_are_the_same_exactly_when_the_parts_are(first: Any, second: Any) -> None:
    cache = ResultCache(Path("unused"))
    same_key = cache.key("kind", part=first) == cache.key("kind", part=second)
    assert same_key == (spelled(first) == spelled(second))


def test_keys_depend_on_kind_and_part_names_and_not_on_their_order() -> None:
    cache = ResultCache(Path("unused"))
    assert cache.key("kind", a=1, b=2) == cache.key("kind", b=2, a=1)
    assert cache.key("kind", a=1) != cache.key("other", a=1)
    assert cache.key("kind", a=1) != cache.key("kind", b=1)
    assert cache.key("kind", kind="x") != cache.key("kind")


@pytest.mark.parametrize("part", [{1: "a"}, object(), b"bytes", {"a": {None: 1}}, [Path("x")]])
def test_parts_that_json_cannot_spell_in_one_way_are_refused(part: object) -> None:
    with pytest.raises(TypeError):
        ResultCache(Path("unused")).key("kind", part=part)


def test_nothing_is_touched_before_the_first_use(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path / "cache")
    assert cache.info().entries == 0
    assert cache.verify() == ()
    assert not (tmp_path / "cache").exists()


def test_values_come_back_in_another_session(tmp_path: Path) -> None:
    first = ResultCache(tmp_path / "cache")
    key = first.key("neurons", token=1093)
    assert first.get("neurons", key) is None
    first.put("neurons", key, b"one")
    first.put("neurons", key, b"two")
    first.close()
    second = ResultCache(tmp_path / "cache")
    assert second.get("neurons", key) == b"two"
    assert second.problems == ()
    second.close()


def test_results_come_back_equal_and_nan_is_refused(cache: ResultCache) -> None:
    key = cache.key("neurons", token=1093)
    cache.put_result("neurons", key, token_neurons())
    assert cache.get_result("neurons", key, TokenNeurons) == token_neurons()
    with pytest.raises(NumericalError):
        cache.put_result("neurons", key, token_neurons(float("nan")))
    assert cache.get_result("neurons", key, TokenNeurons) == token_neurons()


def test_a_result_of_another_shape_is_dropped_and_reported(cache: ResultCache) -> None:
    key = cache.key("neurons", token=1)
    cache.put("neurons", key, b'{"id":1,"text":"a"}')
    assert cache.get_result("neurons", key, TokenNeurons) is None
    assert len(cache.problems) == 1
    assert cache.info().entries == 0


def test_an_explanation_of_an_earlier_version_is_read(cache: ResultCache) -> None:
    explained = Explained(explanation(), score())
    plain = to_plain(explained)
    for part in ("explanation", "score"):
        for name in ("left_out", "text_field", "other_files", "special_tokens"):
            del plain[part]["provenance"]["corpus"][name]
    key = cache.key("explained", token=1)
    cache.put("explained", key, json.dumps(plain).encode())
    assert cache.get_result("explained", key, Explained) == explained
    assert cache.problems == ()


def test_an_explanation_of_another_version_is_reported_and_stays(cache: ResultCache) -> None:
    key = cache.key("explained", token=1)
    cache.put("explained", key, b'{"id":1,"text":"a"}')
    assert cache.get_result("explained", key, TokenNeurons) is None
    assert len(cache.problems) == 1
    assert cache.get("explained", key) == b'{"id":1,"text":"a"}'


def test_folders_and_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        cache = ResultCache(tmp_path / "cache")
        cache.put("kind", cache.key("kind"), b"x")
        cache.folder("indexes")
        for path in [tmp_path / "cache", *(tmp_path / "cache").rglob("*")]:
            expected = 0o700 if path.is_dir() else 0o600
            assert stat.S_IMODE(path.stat().st_mode) == expected, path
        cache.close()
    finally:
        os.umask(old)


def test_many_threads_share_one_cache(cache: ResultCache) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(20):
                key = cache.key("kind", number=number % 3, step=step)
                value = f"{number % 3}/{step}".encode()
                cache.put("kind", key, value)
                assert cache.get("kind", key) == value
        except BaseException as error:  # noqa: BLE001 - reported by the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert cache.problems == ()
    assert cache.info().entries == 60


WRITER = """
import sys
from pathlib import Path
from tui_lookups.storage.cache import ResultCache
cache = ResultCache(Path(sys.argv[1]))
for step in range(60):
    cache.put("kind", cache.key("kind", step=step), b"v%d" % step * 5000)
    assert cache.get("kind", cache.key("kind", step=step)) == b"v%d" % step * 5000
assert cache.problems == (), cache.problems
"""


def test_two_processes_share_one_cache(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / "cache")]
    others = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for other in others:
        _, problems = other.communicate(timeout=120)
        assert other.returncode == 0, problems
    cache = ResultCache(tmp_path / "cache")
    assert cache.verify() == ()
    assert cache.info().entries == 60
    cache.close()


def test_a_write_over_the_limit_is_refused_by_name_and_nothing_is_evicted(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path / "cache", size_limit=300_000)
    first = cache.key("kind", number=1)
    cache.put("kind", first, b"x" * 100_000)
    assert cache.problems == ()
    second = cache.key("kind", number=2)
    cache.put("kind", second, b"x" * 250_000)
    assert cache.get("kind", second) is None
    assert cache.get("kind", first) == b"x" * 100_000
    assert "cache_size_limit" in cache.problems[0]
    with pytest.raises(CacheError, match="crosses the limit"):
        cache.refuse_if_full(10**9, "an index")
    cache.close()


def test_folders_beside_the_database_count_towards_the_limit(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path / "cache", size_limit=100_000)
    (cache.folder("indexes") / "array.npy").write_bytes(b"x" * 99_990)
    with pytest.raises(CacheError):
        cache.refuse_if_full(100, "a result")


@pytest.fixture
def locked(cache: ResultCache, monkeypatch: pytest.MonkeyPatch) -> Iterator[ResultCache]:
    """A cache whose database another connection is writing to."""
    monkeypatch.setattr(connections, "TIMEOUT_SECONDS", 0.05)
    cache.put("kind", cache.key("kind", known=True), b"known")
    with closing(sqlite3.connect(cache.directory / "results" / "cache.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield cache
        other.execute("ROLLBACK")


def test_a_locked_database_still_answers_and_a_write_is_reported(locked: ResultCache) -> None:
    assert locked.get("kind", locked.key("kind", known=True)) == b"known"
    locked.put("kind", locked.key("kind", known=False), b"new")
    assert "another process" in locked.problems[0]
    assert locked.get("kind", locked.key("kind", known=False)) is None


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from tui_lookups.storage.cache import ResultCache
cache = ResultCache(Path(sys.argv[1]))
cache.put("kind", cache.key("kind", n=0), b"kept")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
cache.put("kind", cache.key("kind", n=1), b"x" * 10_000_000)
assert cache.get("kind", cache.key("kind", n=0)) == b"kept"
assert cache.get("kind", cache.key("kind", n=1)) is None
print(cache.problems)
"""


def test_a_disk_that_takes_no_more_is_reported_and_the_rest_still_answers(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / "cache")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert "A result was not kept" in answer.stdout


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = ResultCache(tmp_path / "file" / "cache")
    with pytest.raises(CacheError) as caught:
        cache.get("kind", cache.key("kind"))
    assert "--cache-dir" in caught.value.hint
    cache.put("kind", cache.key("kind"), b"x")  # the answer itself must not be lost over this
    assert len(cache.problems) == 1


def test_a_closed_cache_says_so(cache: ResultCache) -> None:
    cache.put("kind", cache.key("kind"), b"x")
    cache.close()
    with pytest.raises(CacheError, match="closed"):
        cache.get("kind", cache.key("kind"))


def test_info_counts_by_kind_and_clear_empties_all(cache: ResultCache) -> None:
    for number in range(3):
        cache.put("neurons", cache.key("neurons", number=number), b"x" * 10)
    cache.put("heads", cache.key("heads"), b"x")
    (cache.folder("indexes") / "abc").mkdir()
    (cache.folder("indexes") / "abc" / "layer0.npy").write_bytes(b"x" * 1000)
    (cache.folder("corpora") / "stray").write_bytes(b"x")
    info = cache.info()
    assert (info.entries, info.indexes) == (4, 1)
    assert info.sizes["indexes"] == 1000
    assert info.sizes["neurons"] > info.sizes["heads"] > 0
    assert info.bytes > 1000
    left = cache.clear()
    assert (left.entries, left.indexes, left.problems) == (0, 0, ())
    assert left.sizes["indexes"] == left.sizes["corpora"] == 0
    assert cache.get("heads", cache.key("heads")) is None


def test_clear_leaves_everything_that_is_not_its_own(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "thesis.tex").write_bytes(b"years")
    cache = ResultCache(tmp_path / "cache")
    (cache.folder("indexes") / "key").mkdir()
    (tmp_path / "cache" / "indexes" / "key" / "link").symlink_to(outside)
    (tmp_path / "cache" / "indexes" / "link").symlink_to(outside)
    (tmp_path / "cache" / "corpora").symlink_to(outside)
    (tmp_path / "cache" / "notes.txt").write_bytes(b"mine")
    left = cache.clear()
    assert (outside / "thesis.tex").read_bytes() == b"years"
    assert (tmp_path / "cache" / "notes.txt").exists()
    assert os.listdir(tmp_path / "cache" / "indexes") == []
    assert any("corpora is a link" in problem for problem in left.problems)


def test_the_database_can_lie_elsewhere(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path / "arrays", database_directory=tmp_path / "local")
    cache.put("kind", cache.key("kind"), b"x")
    assert (tmp_path / "local" / "cache.db").exists()
    assert not (tmp_path / "arrays" / "results").exists()
    cache.close()
