"""Real workers of Ray: two on this machine, one killed in the midst, one with another model."""

from __future__ import annotations

import builtins
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.analysis.fake_model import FakeModel, random_corpus
from tests.analysis.scan_helpers import RoughModel, SlowModel
from tests.analysis.test_scan import digests, new_scan
from tests.analysis.test_scan_shards import plan_of
from tui_lookups.analysis import ray_cluster, ray_reaper
from tui_lookups.analysis.ray_cluster import RayCluster, RayError
from tui_lookups.analysis.ray_workers import RayWorkers, ShardWorker
from tui_lookups.analysis.scan import run_scan
from tui_lookups.analysis.scan_ray import RayScan
from tui_lookups.analysis.scan_shards import make_shard
from tui_lookups.errors import ModelLoadError

PROMPTS = 400


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    """Ray, started once; workers find it running and leave it so."""
    pytest.importorskip("ray")
    started = RayCluster(None, processors=2)
    started.open(lambda: None)
    yield started
    started.close(30)


def workers_of(load, count: int = 2) -> RayWorkers:
    return RayWorkers(RayCluster(None, processors=count), load, count=count, processors=1, on_gpu=False)


def fail() -> FakeModel:
    raise ModelLoadError("There is no such model.", "Name another.")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_worker_killed_in_mid_shard_loses_nothing(cluster: RayCluster, tmp_path: Path) -> None:
    corpus, traces = random_corpus(PROMPTS), tmp_path / "traces"
    traces.mkdir()
    smooth = new_scan(RoughModel(gated=True), corpus, tmp_path / "smooth")
    run_scan(smooth)
    workers = workers_of(partial(SlowModel, str(traces), 0.02))
    report = workers.open(lambda: None)
    assert report.scanned.info.name == "fake"
    assert report.process != os.getpid()
    scan = RayScan(
        workers, report.scanned, corpus, tmp_path / "killed",
        layers=range(3), top=6, batch_tokens=40, checkpoint_seconds=1e9, sample=12,
    )  # fmt: skip
    killed: list[int] = []

    def kill_one() -> None:
        deadline = time.monotonic() + 60
        while not list(traces.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.05)  # some batches into its shard
        victim = int(next(traces.iterdir()).name)
        os.kill(victim, signal.SIGKILL)
        killed.append(victim)

    killer = threading.Thread(target=kill_one)
    killer.start()
    index = run_scan(scan)
    killer.join()
    assert killed
    batches = sum(len(trace.read_text().splitlines()) for trace in traces.iterdir())
    assert batches > len(scan.plan)  # some were done again
    assert index.manifest.prompts == PROMPTS
    assert digests(tmp_path / "killed") == digests(tmp_path / "smooth")
    assert len(list(traces.iterdir())) >= 2  # processes that have scanned


def test_what_loading_raises_comes_back_as_it_is(cluster: RayCluster) -> None:
    with pytest.raises(ModelLoadError, match="no such model") as caught:
        workers_of(fail, 1).open(lambda: None)
    assert caught.value.hint == "Name another."


def test_more_workers_than_processors_are_refused(cluster: RayCluster) -> None:
    with pytest.raises(RayError, match="2 processors, not 50"):
        workers_of(FakeModel, 50).open(lambda: None)


def test_a_worker_with_another_model_refuses() -> None:
    corpus = random_corpus(40)
    plan, sample = plan_of(corpus)
    shard = make_shard(plan, corpus, sample, 0, 2)
    worker = ShardWorker(FakeModel)
    report = worker.report()
    assert worker.scan(report, shard, range(3), 4).end == 2
    scanned = report.scanned
    others = {
        "the model": replace(scanned, info=replace(scanned.info, fingerprint="other")),
        "the kind of device": replace(scanned, device="cuda"),
        "the dtype": replace(scanned, dtype="bfloat16"),
        "the basis": replace(scanned, basis="raw"),
        "the forward pass": replace(scanned, forward="bridge"),
    }
    for what, other in others.items():
        with pytest.raises(RayError, match=what):
            worker.scan(replace(report, scanned=other), shard, range(3), 4)
    with pytest.raises(RayError, match="the versions"):
        worker.scan(replace(report, versions=("torch 1.0",)), shard, range(3), 4)


def test_missing_ray_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without_ray(name: str, *rest, **more):
        if name == "ray":
            raise ImportError("No module named 'ray'")
        return imported(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_ray)
    with pytest.raises(RayError, match="not installed") as caught:
        RayCluster(None, processors=1).open(lambda: None)
    assert "lookups-tui[ray]" in caught.value.hint


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_cluster_that_is_not_there_is_said_at_once(scheme: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # a port on which nobody listens
        with pytest.raises(OSError):
            ray_cluster._require_listening(f"{scheme}127.0.0.1:{taken.getsockname()[1]}")
        taken.listen()
        ray_cluster._require_listening(f"{scheme}127.0.0.1:{taken.getsockname()[1]}")
    ray_cluster._require_listening("auto")


def test_keys_are_kept_from_what_ray_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("HF_TOKEN", "for the model")
    with ray_cluster._own_environment(tmp_path):
        assert "OPENAI_API_KEY" not in os.environ
        assert os.environ["HF_TOKEN"] == "for the model"
        assert os.environ[ray_reaper.MARK] == str(tmp_path)
    assert ray_reaper.MARK not in os.environ
    assert os.environ["OPENAI_API_KEY"] == "secret"


def test_folders_of_dead_processes_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster.tempfile, "gettempdir", lambda: str(tmp_path))
    dead, mine, other = (tmp_path / name for name in (
        "lookups-ray-999999999-x", f"lookups-ray-{os.getpid()}-x", "lookups-ray-notes"
    ))  # fmt: skip
    for folder in (dead, mine, other):
        (folder / "session").mkdir(parents=True)
    ray_cluster._sweep()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([mine.name, other.name])


def test_a_long_temporary_folder_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster.tempfile, "gettempdir", lambda: str(tmp_path / ("long" * 12)))
    folder = ray_cluster._private_folder()
    try:
        assert len(str(folder)) <= ray_cluster._LONGEST_TEMP
        assert folder.stat().st_mode & 0o777 == 0o700
    finally:
        folder.rmdir()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked up in /proc")
def test_the_reaper_ends_what_carries_the_folder_and_nothing_else(tmp_path: Path) -> None:
    folder, sleep = tmp_path / "ray", [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
    folder.mkdir()
    reaper = ray_cluster._start_reaper(folder)
    ours = subprocess.Popen(sleep, env={**os.environ, ray_reaper.MARK: str(folder)})
    other = subprocess.Popen(sleep, env={**os.environ, ray_reaper.MARK: f"{folder}-of-another"})
    try:
        time.sleep(0.2)
        assert reaper.poll() is None  # it waits for its owner
        assert ours.poll() is None
        reaper.communicate(timeout=30)
        assert ours.wait(30) == -signal.SIGKILL
        assert other.poll() is None
        assert not folder.exists()
    finally:
        ours.kill()
        other.kill()
        ours.wait()
        other.wait()
