"""Real workers of Ray: two on this machine, one killed in the midst, one with another model."""

from __future__ import annotations

import builtins
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.answering.conftest import TEXTS
from tests.scan.fake_model import FakeModel, random_corpus
from tests.scan.helpers import RoughModel, SlowModel
from tests.scan.test_scan import digests, new_scan
from tests.scan.test_shards import plan_of
from tui_lookups.errors import ModelLoadError
from tui_lookups.explorer import Explorer
from tui_lookups.scan.ray import cluster as ray_cluster
from tui_lookups.scan.ray import reaper as ray_reaper
from tui_lookups.scan.ray.cluster import RayCluster, RayError
from tui_lookups.scan.ray.scan import RayScan
from tui_lookups.scan.ray.workers import ModelWorker, RayWorkers
from tui_lookups.scan.scan import run_scan
from tui_lookups.scan.shards import make_shard
from tui_lookups.settings import load_settings

PROMPTS = 400


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    """Ray, started once; workers find it running and leave it so."""
    if importlib.util.find_spec("ray") is None:  # not imported: what Ray reads then is set up with it
        pytest.skip("Ray is not installed")
    started = RayCluster(None, processors=2)
    started.open(lambda: None)
    yield started
    started.close(30)


def workers_of(load, count: int = 2) -> RayWorkers:
    return RayWorkers(RayCluster(None, processors=count), load, count=count, processors=1, gpus_each=0)


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


@pytest.mark.parametrize("kills", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_survey_by_workers_is_that_of_one_process(
    cluster: RayCluster,
    tiny_folder: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kills: int,
) -> None:
    """Also where a worker is killed that was just given a pass; by default a made-up Ray loses them."""
    (tmp_path / "texts.txt").write_text("\n\n".join(TEXTS), encoding="utf-8")

    def explorer(cache: str, **settings: Any) -> Explorer:
        return Explorer(
            load_settings(
                model=str(tiny_folder("llama")), corpus=str(tmp_path / "texts.txt"), device="cpu", threads=1,
                top=6, window=24, cache_dir=str(tmp_path / cache), **settings,
            )
        )  # fmt: skip

    with closing(explorer("alone")) as alone:
        expected = alone.survey()
        trimmed = alone.ablate_survey(alone.survey(trimmed=True))
    assert len({row.neuron.layer for row in expected.neurons if row.prompts}) > 1
    shutil.copytree(tmp_path / "alone" / "indexes", tmp_path / "shared" / "indexes")
    submit, killed = RayWorkers.submit_work, list[int]()

    def submit_and_kill(workers: RayWorkers, *given: Any) -> None:
        submit(workers, *given)
        if len(killed) < kills:
            assert workers._expected is not None
            killed.append(workers._expected.process)  # that of the first, which is given the first pass
            os.kill(killed[-1], signal.SIGKILL)

    monkeypatch.setattr(RayWorkers, "submit_work", submit_and_kill)
    with closing(explorer("shared", engine="ray", ray_workers=1 + kills)) as shared:
        with shared._engine.workers.borrowed():  # started once for all of it
            assert shared.survey() == expected
            assert shared.ablate_survey(shared.survey(trimmed=True)) == trimmed
        assert shared._engine._model is None
    assert len(killed) == kills


def test_what_loading_raises_comes_back_as_it_is(cluster: RayCluster) -> None:
    with pytest.raises(ModelLoadError, match="no such model") as caught:
        workers_of(fail, 1).open(lambda: None)
    assert caught.value.hint == "Name another."


def test_more_workers_than_processors_are_refused(cluster: RayCluster) -> None:
    with pytest.raises(RayError, match="2 processors, not 50"):
        workers_of(FakeModel, 50).open(lambda: None)


class FakeActor:
    report = SimpleNamespace(remote=object)


class FakeRay:
    """A cluster of 16 processors and 8 GPUs on two machines; workers have loaded the model at once."""

    def __init__(self) -> None:
        self.options: dict[str, object] = {}
        self.given: list[tuple[object, ...]] = []
        self.exceptions = SimpleNamespace(RayTaskError=ArithmeticError, RayError=ArithmeticError)

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 16.0, "GPU": 8.0}

    def nodes(self) -> list[dict[str, bool]]:
        return [{"Alive": True}, {"Alive": True}, {"Alive": False}]

    def remote(self, **options: object):
        self.options = options

        def make(*given: object) -> FakeActor:
            self.given.append(given)
            return FakeActor()

        return lambda kind: SimpleNamespace(remote=make)

    def wait(self, references: list[object], **_: object) -> tuple[list[object], list[object]]:
        return references[:1], references[1:]

    def get(self, reference: object) -> object:
        return ModelWorker(FakeModel).report()


@pytest.mark.parametrize(
    ("count", "each", "workers", "gpus", "sharing"),
    [(None, 1, 8, 1, 4), (None, 4, 2, 4, 1), (None, 3, 2, 3, 1), (3, 2, 3, 2, 2), (None, 0, 4, 0, 2)],
)
def test_workers_get_whole_groups_of_gpus(
    count: int | None, each: int, workers: int, gpus: int, sharing: int
) -> None:
    ray = FakeRay()
    cluster = SimpleNamespace(open=lambda poll: ray, close=lambda seconds: None)
    started = RayWorkers(cluster, FakeModel, count=count, processors=None, gpus_each=each)
    started.open(lambda: None)
    assert started.count == workers
    assert ray.options["num_gpus"] == gpus
    assert ray.given == [(FakeModel, sharing)] * workers  # and how many share a machine's memory


@pytest.mark.parametrize(
    ("count", "each", "message", "hint"),
    [
        (5, 2, "8 GPUs, not 10", "at most 4 with --ray-workers"),
        (None, 9, "8 GPUs, not 9", "at most 8 with --gpus-per-worker"),
        (17, 0, "16 processors, not 17", "at most 16 with --ray-workers"),
    ],
)
def test_more_gpus_than_there_are_is_refused(count: int | None, each: int, message: str, hint: str) -> None:
    cluster = SimpleNamespace(open=lambda poll: FakeRay(), close=lambda seconds: None)
    with pytest.raises(RayError, match=message) as caught:
        RayWorkers(cluster, FakeModel, count=count, processors=None, gpus_each=each).open(lambda: None)
    assert hint in caught.value.hint


def test_groups_of_gpus_need_gpus(cluster: RayCluster) -> None:
    workers = RayWorkers(RayCluster(None, processors=2), FakeModel, count=1, processors=1, gpus_each=2)
    with pytest.raises(RayError, match="no GPUs"):
        workers.open(lambda: None)


def test_a_worker_with_another_model_refuses() -> None:
    corpus = random_corpus(40)
    plan, sample = plan_of(corpus)
    shard = make_shard(plan, corpus, sample, 0, 2)
    worker = ModelWorker(FakeModel)
    report = worker.report()
    assert worker.scan(report, shard, range(3), 4).end == 2
    scanned = report.scanned
    others = {
        "the model": replace(scanned, info=replace(scanned.info, fingerprint="other")),
        "the kind of device": replace(scanned, device="cuda"),
        "the dtype": replace(scanned, dtype="bfloat16"),
        "the basis": replace(scanned, basis="raw"),
        "the forward pass": replace(scanned, forward="compiled"),
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


SETTINGS = bytes([0, 0, 6, 4, 0, 0, 0, 0, 0]) + bytes([0, 4, 0, 0, 1, 0])  # as a gRPC server begins


@contextmanager
def listener(answer: bytes | None) -> Iterator[str]:
    """HOST:PORT where somebody answers with these bytes and hangs up; says nothing for None."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:  # it was closed
                    return
                kept.append(connection)
                if answer is not None:
                    with connection:
                        connection.recv(1000)
                        connection.sendall(answer)

        kept: list[socket.socket] = []
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        for connection in kept:
            connection.close()


@pytest.fixture
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if Ray were imported and not started yet, in a process that has started it."""
    idle = SimpleNamespace(is_initialized=lambda: False, shutdown=lambda: None)
    monkeypatch.setattr(ray_cluster, "import_ray", lambda *, joining: idle)


@pytest.mark.parametrize("scheme", ["", "ray://"])
@pytest.mark.parametrize("answer", [None, b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9\r\n"])
def test_an_address_where_something_else_listens_is_said_soon(
    scheme: str, answer: bytes | None, without_ray: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "_ANSWER_SECONDS", 0.2)
    with (
        listener(answer) as address,
        pytest.raises(RayError, match=r"could not be reached at .* listens there") as caught,
    ):
        RayCluster(scheme + address, processors=1).open(lambda: None)
    assert "ray start" in caught.value.hint


def test_a_cluster_that_is_not_there_is_said_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # a port on which nobody listens
        with pytest.raises(OSError, match="refused"):
            ray_cluster._require_answer(f"127.0.0.1:{taken.getsockname()[1]}")


def test_ray_listens_on_the_loopback_interface_and_answers_as_it_is_expected_to(cluster: RayCluster) -> None:
    import ray

    host, port = ray.get_runtime_context().gcs_address.rsplit(":", 1)
    assert host == "127.0.0.1"
    ray_cluster._require_answer(f"{host}:{port}")
    here = socket.getaddrinfo(socket.gethostname(), int(port), socket.AF_INET, socket.SOCK_STREAM)
    for *_, address in here:
        if not address[0].startswith("127."):
            with pytest.raises(OSError, match="refused"):
                socket.create_connection(address, timeout=10).close()


def test_what_may_be_a_cluster_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ray_cluster._require_answer("auto")
    with listener(SETTINGS) as address:
        ray_cluster._require_answer(address)
    monkeypatch.setenv("RAY_USE_TLS", "1")
    with listener(None) as address:
        ray_cluster._require_answer(address)


def test_joining_takes_no_longer_than_it_may(without_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever speaks HTTP/2 need not be a cluster: Ray would try again and again."""
    leave, left = threading.Event(), threading.Event()

    def connect(self: RayCluster, ray: object) -> None:
        leave.wait(30)
        left.set()

    monkeypatch.setattr(RayCluster, "_connect", connect)
    monkeypatch.setattr(ray_cluster, "_ANSWER_SECONDS", 0.0)
    monkeypatch.setattr(ray_cluster, "_JOINING_SECONDS", 0.2)
    with pytest.raises(RayError, match=r"10\.0\.0\.5:6379: it has not let us join"):
        RayCluster("10.0.0.5:6379", processors=1).open(lambda: None)
    leave.set()
    assert left.wait(30)


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


@pytest.mark.skipif(not Path("/proc").exists(), reason="there is no /proc")
def test_the_reaper_knows_by_its_log_what_wrote_its_title_over_the_mark(tmp_path: Path) -> None:
    folder = tmp_path / "ray"
    folder.mkdir()

    def holding(title: str, log: Path) -> subprocess.Popen[bytes]:
        with log.open("w") as file:
            return subprocess.Popen(
                [title, "-S", "-c", "import time; time.sleep(60)"], executable=sys.executable, stdout=file
            )

    titled = holding("ray::DashboardAgent", folder / "agent.log")
    others = [holding("less", folder / "other.log"), holding("ray::DashboardAgent", tmp_path / "another.log")]
    try:
        reaper = ray_cluster._start_reaper(folder)
        reaper.communicate(timeout=30)
        assert titled.wait(30) == -signal.SIGKILL
        assert [other.poll() for other in others] == [None, None]
    finally:
        for process in (titled, *others):
            process.kill()
            process.wait()


def test_the_reaper_looks_again_for_what_one_look_cannot_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process whose program is just being put in place has no environment to show yet."""
    seen, killed = iter([[11, 12], [], [], [13], []]), []
    monkeypatch.setattr(ray_reaper, "marked", lambda folder: next(seen, []))
    monkeypatch.setattr(ray_reaper, "_BETWEEN_SECONDS", 0.0)
    monkeypatch.setattr(ray_reaper.os, "kill", lambda process, number: killed.append((process, number)))
    (tmp_path / "ray").mkdir()
    ray_reaper.reap(str(tmp_path / "ray"))
    assert killed == [(process, signal.SIGKILL) for process in (11, 12, 13)]
    assert not (tmp_path / "ray").exists()
