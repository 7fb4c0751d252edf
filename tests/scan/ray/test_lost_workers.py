"""Machines that go away before Ray has noticed, or for good: real nodes, and a made-up Ray for the rest."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.scan.fake_model import random_corpus
from tests.scan.helpers import RoughModel
from tests.scan.ray.made_up import Actor, Gone, MadeUpRay, away
from tests.scan.ray.two_nodes import PROMPTS
from tests.scan.test_scan import digests, new_scan
from tui_lookups.scan.ray import workers as ray_workers
from tui_lookups.scan.ray.cluster import RayError
from tui_lookups.scan.ray.scan import RayScan
from tui_lookups.scan.ray.workers import RETRIES, RayWorkers
from tui_lookups.scan.scan import run_scan

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow  # the made-up Ray below loses workers in the default run
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_machine_that_goes_away_leaves_its_shards_to_the_others(tmp_path: Path) -> None:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "tests.scan.ray.two_nodes", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=240, check=False,
        env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["workers"] == [2]
    assert said["again"] > 0
    assert said["identical"]
    assert said["prompts"] == PROMPTS


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> MadeUpRay:
    """Lost workers are asked again at once."""
    monkeypatch.setattr(ray_workers, "_BACK_SECONDS", 0.0)
    return MadeUpRay()


def two_workers(ray: MadeUpRay) -> RayWorkers:
    cluster: Any = SimpleNamespace(open=lambda poll: ray, close=lambda seconds: None)
    return RayWorkers(cluster, lambda: RoughModel(gated=True), count=2, processors=1, gpus_each=0)


def opened(ray: MadeUpRay, folder: Path) -> tuple[RayWorkers, RayScan]:
    workers = two_workers(ray)
    report = workers.open(lambda: None)
    scan = RayScan(
        workers, report.scanned, random_corpus(800), folder,
        layers=range(3), top=6, batch_tokens=40, checkpoint_seconds=1e9, sample=12,
    )  # fmt: skip
    scan.resume()
    return workers, scan


def expected(folder: Path) -> dict[str, str]:
    run_scan(new_scan(RoughModel(gated=True), random_corpus(800), folder))
    found: dict[str, str] = digests(folder)
    return found


def test_a_worker_that_is_back_gets_shards_again(ray: MadeUpRay, tmp_path: Path) -> None:
    _, scan = opened(ray, tmp_path / "shared")
    while len(ray.actors) < 2 or not ray.actors[1].given:
        scan.step()
    lost = ray.actors[1]
    before, lost.answers = lost.given, away(1, 3)
    run_scan(scan)
    assert lost.given > before + 1
    assert digests(tmp_path / "shared") == expected(tmp_path / "alone")


def test_with_all_workers_away_the_scan_waits_for_one(ray: MadeUpRay, tmp_path: Path) -> None:
    _, scan = opened(ray, tmp_path / "shared")
    scan.step()
    for actor in ray.actors:
        actor.answers = away(1, 3)
    run_scan(scan)
    assert digests(tmp_path / "shared") == expected(tmp_path / "alone")


def test_workers_that_stay_away_end_the_scan_and_a_later_one_goes_on(
    ray: MadeUpRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_workers, "_PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(ray_workers, "_LOADING_SECONDS", 0.2)
    workers, scan = opened(ray, tmp_path / "shared")
    for _ in range(6):
        scan.step()
    assert scan.progress().tokens > 0
    for actor in ray.actors:
        actor.answers = lambda: False
    with pytest.raises(RayError, match="All workers have been lost"):
        all(scan.step() for _ in repeat(None))
    assert workers.count == 2
    scan.checkpoint()
    scan.close()
    assert not ray.actors  # also those that are away are let go of
    _, later = opened(MadeUpRay(), tmp_path / "shared")
    assert later.resume() > 0
    run_scan(later)
    assert digests(tmp_path / "shared") == expected(tmp_path / "alone")


def test_a_shard_that_every_worker_is_lost_with_ends_the_scan(
    ray: MadeUpRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, scan = opened(ray, tmp_path / "shared")
    get, lost = ray.get, []

    def deadly(reference: tuple[Actor, Callable[[], Any]]) -> Any:
        found = get(reference)
        if getattr(found, "first", -1) == 0:
            lost.append(reference[0])
            raise Gone
        return found

    monkeypatch.setattr(ray, "get", deadly)
    with pytest.raises(RayError, match=f"shard at batch 0 lost its worker, {RETRIES + 1} times"):
        run_scan(scan)
    assert len(lost) == RETRIES + 1
    assert len(set(map(id, lost))) == 2


def test_a_worker_that_cannot_load_is_left_out_and_the_last_one_ends_the_scan(
    ray: MadeUpRay, tmp_path: Path
) -> None:
    ray.unable = 1
    workers, scan = opened(ray, tmp_path / "shared")
    assert (workers.count, len(ray.actors)) == (1, 1)
    run_scan(scan)
    assert digests(tmp_path / "shared") == expected(tmp_path / "alone")
    none = MadeUpRay()
    none.unable = 2
    workers = two_workers(none)
    with pytest.raises(RayError, match="died while it loaded the model"):
        workers.open(lambda: None)
    workers.close()
    assert not none.actors
