"""`scan --engine ray` as a program: killed and resumed, its one document, its secrets, what it leaves."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

import tui_lookups
from tests.test_end_to_end import _array_digests, _command
from tui_lookups.explorer import Explorer
from tui_lookups.settings import Settings, load_settings

pytestmark = [
    pytest.mark.timeout(1200),  # Ray starts slowly on a machine that does other things
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked up in /proc"),
]

SECRET = "sk-not-for-workers"
RAY = ("--engine", "ray", "--ray-workers", "2")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    packaged = Path(tui_lookups.__file__).parent / "demo" / "passages.jsonl"
    path = tmp_path_factory.mktemp("corpus") / "some.jsonl"
    path.write_text("".join(packaged.read_text(encoding="utf-8").splitlines(keepends=True)[:80]))
    return path


@pytest.fixture(scope="module")
def expected(
    corpus: Path, tmp_path_factory: pytest.TempPathFactory, one_torch_thread: None
) -> dict[str, str]:
    """The index of an undisturbed scan in one process."""
    explorer = Explorer(settings_for(tmp_path_factory.mktemp("whole"), corpus))
    try:
        return _array_digests(Path(explorer.scan().index_path))
    finally:
        explorer.close()


def settings_for(cache: Path, corpus: Path) -> Settings:
    """What `scan` asks for, in this process."""
    return load_settings(corpus=str(corpus), cache_dir=str(cache), device="cpu", threads=1, batch_tokens=128)


def environment(mark: str) -> dict[str, str]:
    """What every process of a scan inherits; `mark` tells them from others."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("LOOKUPS_", "RAY_"))}
    return own | {
        "LOOKUPS_BATCH_TOKENS": "128",
        "LOOKUPS_CHECKPOINT_SECONDS": "0.02",
        "LOOKUPS_CONFIG": "",
        "LOOKUPS_TEST_MARK": mark,
        "OPENAI_API_KEY": SECRET,
    }


def scan(cache: Path, corpus: Path, *flags: str) -> dict[str, Any]:
    """A scan to the end: its only document."""
    done = subprocess.run(
        _command(cache, corpus, "scan", *flags),
        env=environment(str(cache)), capture_output=True, timeout=550, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    document: dict[str, Any] = json.loads(done.stdout)  # one, and nothing beside it
    if "ray" in flags:
        said = done.stderr.decode()
        assert "raylet" not in said
        assert "usage" not in said.lower()
    return document


def start(cache: Path, corpus: Path, *flags: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        _command(cache, corpus, "scan", *flags),
        env=environment(str(cache)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def until_committed(program: subprocess.Popen[bytes], cache: Path) -> None:
    """Wait for the first checkpoint."""
    deadline = time.monotonic() + 500
    while not list((cache / "indexes").glob("*/manifest.json")):
        assert program.poll() is None, "the scan ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def processes(mark: str) -> dict[int, str]:
    """Environments of the processes that inherited `mark`."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "environ").read_bytes().decode(errors="replace")
            except OSError:  # it has ended, or is another user's
                continue
            if f"LOOKUPS_TEST_MARK={mark}" in text.split("\0"):
                found[int(entry.name)] = text
    return found


def require_all_gone(mark: str) -> None:
    """Wait until no process carries `mark`; a machine with other work may take a while to end them."""
    deadline = time.monotonic() + 60
    while left := processes(mark):
        if time.monotonic() > deadline:
            pytest.fail("Ray outlives the program that started it: " + "; ".join(map(described, left)))
        time.sleep(0.1)


def described(process: int) -> str:
    """A process in words: its id, state, parent and command line."""
    try:
        about = Path(f"/proc/{process}/status").read_text().splitlines()
        command = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return f"{process}, which has ended since"
    said = [line.replace("\t", " ") for line in about if line.startswith(("State:", "PPid:", "Threads:"))]
    return f"{process} ({', '.join(said)}): {command[:200]}"


@pytest.mark.slow  # a worker is killed in the default run, in tests/scan/ray/test_workers.py
def test_killed_with_its_workers_it_is_resumed_to_the_identical_index(
    tmp_path: Path, corpus: Path, expected: dict[str, str]
) -> None:
    program = start(tmp_path, corpus, *RAY)
    until_committed(program, tmp_path)
    ours = processes(str(tmp_path))
    assert len(ours) > 4  # the driver, and what Ray consists of
    assert SECRET in ours.pop(program.pid)
    assert not [text for text in ours.values() if SECRET in text]
    program.send_signal(signal.SIGKILL)
    program.wait()
    require_all_gone(str(tmp_path))
    explorer = Explorer(settings_for(tmp_path, corpus))  # by one process, on the workers' checkpoint
    try:
        done = explorer.scan()
    finally:
        explorer.close()
    assert 0 < done.resumed_from < done.prompts
    assert _array_digests(Path(done.index_path)) == expected
    assert not list(Path("/tmp").glob(f"lookups-ray-{program.pid}-*"))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_killed_at_ten_random_moments(
    tmp_path: Path, corpus: Path, expected: dict[str, str], engine: str
) -> None:
    """At any moment after a new checkpoint, the driver or, with Ray, a worker of its and then the driver.

    A scan that ends before ten kills has ended in the identical index; another one takes the rest of them.
    """
    flags = RAY if engine == "ray" else ()
    draw, kills, cache = random.Random(0), 0, tmp_path / "0"
    while kills < 10:
        program = start(cache, corpus, *flags)
        before = _next_batch(cache)
        while program.poll() is None and _next_batch(cache) == before:
            time.sleep(0.002)
        time.sleep(draw.random() * 0.3)
        victim = program.pid
        if engine == "ray" and draw.random() < 0.5:
            victim = draw.choice(_scanning(str(cache)) or [program.pid])
        if program.poll() is not None:
            assert _array_digests(next((cache / "indexes").iterdir())) == expected
            cache = tmp_path / str(int(cache.name) + 1)
            continue
        os.kill(victim, signal.SIGKILL)
        kills += 1
        if victim != program.pid:
            time.sleep(draw.random())
            program.kill()
        program.wait()
    done = scan(cache, corpus, *flags)
    assert _array_digests(Path(done["index_path"])) == expected
    require_all_gone(str(cache))


def _next_batch(cache: Path) -> int:
    for manifest in (cache / "indexes").glob("*/manifest.json"):
        return int(json.loads(manifest.read_text())["description"]["next_batch"])
    return 0


def _scanning(mark: str) -> list[int]:
    """Processes of workers."""
    found = []
    for process in processes(mark):
        try:
            title = Path(f"/proc/{process}/cmdline").read_bytes()
        except OSError:
            continue
        if b"ModelWorker" in title:
            found.append(process)
    return found


@pytest.mark.slow
def test_ctrl_c_keeps_the_work_and_leaves_nothing(tmp_path: Path, corpus: Path) -> None:
    program = start(tmp_path, corpus, *RAY)
    until_committed(program, tmp_path)
    program.send_signal(signal.SIGINT)
    assert program.wait(30) == 130
    assert _next_batch(tmp_path) > 0
    require_all_gone(str(tmp_path))
    assert not list(Path("/tmp").glob(f"lookups-ray-{program.pid}-*"))
