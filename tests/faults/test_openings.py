"""One database opened several times at once, in each of several processes: nothing is lost, nothing torn.

The processes are started anew, so that each holds locks of its own; what they share is the folder alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults import processes
from tests.faults.tally import Row, tried
from tui_lookups.storage.cache import ResultCache

PROCESS = """
import json, random, sys, threading, time
from pathlib import Path
from tui_lookups.storage.cache import ResultCache

folder, name, rounds, seconds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
openings, threads = (3, 2) if int(name) % 2 == 0 else (1, 1)
until, written, problems = time.monotonic() + seconds, [], []

def work(thread):
    source = random.Random(f"{name} {thread}")
    caches = [ResultCache(folder) for _ in range(openings)]
    number = 0
    while number < rounds or time.monotonic() < until:
        key = caches[0].key("explained", process=name, thread=thread, n=number)
        value = b"%d " % number * source.choice([5, 50, 900])
        caches[number % openings].put("explained", key, value)
        assert caches[(number + 1) % openings].get("explained", key) == value, key
        written.append(key)
        if source.random() < 0.2:
            chosen = source.randrange(openings)
            problems.extend(caches[chosen].problems)
            caches[chosen].close()
            caches[chosen] = ResultCache(folder)
        number += 1
    for cache in caches:
        problems.extend(cache.problems)
        cache.close()

def guarded(thread):
    try:
        work(thread)
    except BaseException as error:
        problems.append(repr(error))
        raise

working = [threading.Thread(target=guarded, args=(n,)) for n in range(threads)]
for thread in working:
    thread.start()
for thread in working:
    thread.join()
json.dump([written, problems], sys.stdout)
"""

lengths = pytest.mark.parametrize(
    ("rounds", "seconds"),
    [(60, 0), pytest.param(1, 60, marks=[pytest.mark.slow, pytest.mark.timeout(600)])],
    ids=["short", "a minute"],
)


@lengths
@pytest.mark.parametrize("count", [2, 4])
def test_nothing_is_lost(tmp_path: Path, count: int, rounds: int, seconds: int) -> None:
    """Each process opens, writes, reads and closes: every second one holds six openings at once, whose locks
    the last connection of another one, which closes time and again, must find."""
    cache = tmp_path / "cache"
    with tried(Row.SHARING, count), ExitStack() as stack:
        others = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", PROCESS, str(cache), str(number), str(rounds), str(seconds)],
                    stdout=subprocess.PIPE,
                )
            )
            for number in range(count)
        ]
        answers = [json.loads(other.communicate()[0]) for other in others]
        written = {key for keys, _ in answers for key in keys}
        assert [problem for _, problems in answers for problem in problems] == []
        again = ResultCache(cache)
        assert set(again.keys("explained")) == written
        assert again.verify() == again.problems == again.info().problems == ()
        again.close()


@processes.needs_fork
def test_a_forked_child_does_not_believe_in_locks_of_its_parent(tmp_path: Path) -> None:
    """The parent's last connection goes while the child writes: its log would be removed with it."""
    caches = [ResultCache(tmp_path) for _ in range(2)]
    keys = [caches[0].key("explained", n=n) for n in range(4)]
    for number, cache in enumerate(caches):
        cache.put("explained", keys[number], b"parent's")
    told, tell = os.pipe()
    ready, say_ready = os.pipe()

    def work() -> None:
        caches[0].put("explained", keys[2], b"child's")
        os.write(say_ready, b".")
        os.read(told, 1)
        caches[0].put("explained", keys[3], b"child's")
        caches[0].close()

    with tried(Row.SHARING):
        child = processes.start(work)
        os.read(ready, 1)
        for cache in caches:
            cache.close()
        os.write(tell, b".")
        assert processes.finished(child)
        again = ResultCache(tmp_path)
        assert set(again.keys("explained")) == set(keys)
        assert again.verify() == again.problems == ()
        again.close()


def remove_the_folder(results: Path) -> None:
    for path in sorted(results.iterdir()):
        path.unlink()
    results.rmdir()


def rename_the_database(results: Path) -> None:
    for path in sorted(results.glob("cache.db*")):
        path.rename(path.with_name(f"old-{path.name}"))


@pytest.mark.parametrize("take_away", [remove_the_folder, rename_the_database])
def test_a_database_that_is_taken_away_is_not_written_to(
    tmp_path: Path, take_away: Callable[[Path], None]
) -> None:
    """What an open cache keeps afterwards is found by the next one that is opened."""
    cache = ResultCache(tmp_path)
    before, after = cache.key("explained", n=1), cache.key("explained", n=2)
    cache.put("explained", before, b"gone with it")
    take_away(tmp_path / "results")
    assert cache.get("explained", before) is None
    cache.put("explained", after, b"kept")
    other = ResultCache(tmp_path)
    assert other.keys("explained") == [after]
    assert (cache.problems, other.problems) == ((), ())
    cache.close()
    other.close()
