"""The scan by many workers, with workers in memory: order, bounds, kills, mixing with the local engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scan.fake_model import random_corpus
from tests.scan.helpers import MemoryWorkers, RoughModel
from tests.scan.test_scan import digests, distinct_scan
from tui_lookups.errors import Cancelled, NumericalError
from tui_lookups.ids import NeuronId
from tui_lookups.scan.copies import find_copies
from tui_lookups.scan.plan import BLOCK_BATCHES
from tui_lookups.scan.ray.cluster import RayError
from tui_lookups.scan.ray.scan import RayScan
from tui_lookups.scan.scan import run_scan
from tui_lookups.scan.subject import ScannedModel

PROMPTS = 400


def new_ray_scan(workers: MemoryWorkers, corpus, folder: Path, **changes) -> RayScan:
    copies = find_copies(corpus, lambda: None)
    choices = {
        "layers": range(3), "top": 6, "batch_tokens": 40, "checkpoint_seconds": 1e9, "sample": 12,
        "copies": copies,
    }  # fmt: skip
    return RayScan(workers, ScannedModel.of(workers.model), corpus, folder, **{**choices, **changes})


@pytest.fixture(scope="module")
def corpus():
    return random_corpus(PROMPTS)


@pytest.fixture(scope="module")
def expected(corpus, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """SHA-256 of every array of the index of a scan in one process."""
    folder = tmp_path_factory.mktemp("smooth")
    run_scan(distinct_scan(RoughModel(gated=True), corpus, folder))
    return digests(folder)


@pytest.mark.parametrize(("count", "late", "seed"), [(1, 0, 0), (2, 3, 1), (3, 8, 2), (7, 5, 3)])
def test_results_in_any_order_give_the_identical_index(
    tmp_path: Path, corpus, expected, count: int, late: int, seed: int
) -> None:
    workers = MemoryWorkers(RoughModel(gated=True), count, late=late, seed=seed)
    scan = new_ray_scan(workers, corpus, tmp_path)
    index = run_scan(scan)
    assert digests(tmp_path) == expected
    assert index.manifest.prompts == PROMPTS
    ends = sorted(workers.submitted)
    assert [first for first, _ in ends] == [0, *(end for _, end in ends[:-1])]  # nothing twice, nothing lost
    assert ends[-1][1] == len(scan.plan)
    assert all(first % BLOCK_BATCHES == 0 for first, _ in ends)
    assert workers.closed


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_a_killed_scan_is_resumed_by_the_other_engine(tmp_path: Path, corpus, expected, steps: int) -> None:
    for turn in range(6):
        if turn % 2:
            scan = new_ray_scan(MemoryWorkers(RoughModel(gated=True), 2, seed=turn), corpus, tmp_path)
        else:
            scan = distinct_scan(RoughModel(gated=True), corpus, tmp_path)
        scan.resume()
        for _ in range(steps):
            scan.step()
        scan.checkpoint()
        scan.close()
    scan = new_ray_scan(MemoryWorkers(RoughModel(gated=True), 2), corpus, tmp_path)
    assert (scan.resume() > 0) == (steps > 0)
    run_scan(scan)
    assert digests(tmp_path) == expected


def test_a_checkpoint_holds_the_first_batches_of_the_plan_alone(tmp_path: Path, corpus) -> None:
    """What came too early is no part of it: it would be counted twice after a kill."""
    workers = MemoryWorkers(RoughModel(gated=True), 4, late=0, seed=5)
    scan = new_ray_scan(workers, corpus, tmp_path)
    scan.resume()
    while not workers.done or scan.progress().prompts == 0:
        scan.step()
    scan.checkpoint()
    scan.close()
    local = distinct_scan(RoughModel(gated=True), corpus, tmp_path)
    done = local.resume()
    assert done in local.plan.offsets
    assert local.progress().prompts == done
    local.close()


def test_what_waits_for_its_turn_is_bounded(tmp_path: Path) -> None:
    corpus = random_corpus(3000)
    workers = MemoryWorkers(RoughModel(gated=True), 2)
    scan = new_ray_scan(workers, corpus, tmp_path, batch_tokens=20)
    scan.resume()
    workers.late = 10
    for _ in range(200):
        scan.step()
    assert len(workers.submitted) == 8
    scan.close()


def test_cancelling_writes_a_checkpoint_and_stops_the_workers(tmp_path: Path, corpus) -> None:
    calls = iter(range(10))

    def poll() -> None:
        if next(calls, None) is None:
            raise Cancelled

    workers = MemoryWorkers(RoughModel(gated=True), 2)
    scan = new_ray_scan(workers, corpus, tmp_path)
    with pytest.raises(Cancelled):
        run_scan(scan, poll=poll)
    assert workers.closed
    again = distinct_scan(RoughModel(gated=True), corpus, tmp_path)
    assert 0 < again.resume() < PROMPTS
    again.close()


def test_peek_and_progress_while_it_runs(tmp_path: Path, corpus) -> None:
    workers = MemoryWorkers(RoughModel(gated=True), 2)
    scan = new_ray_scan(workers, corpus, tmp_path)
    scan.resume()
    while scan.progress().prompts == 0:
        assert scan.step()
    progress = scan.progress()
    assert progress.state == "running"
    assert 0 < progress.tokens < progress.total_tokens
    assert len(scan.peek(NeuronId(1, 2)).top(6)) == 6
    while scan.step():
        pass
    record = scan.peek(NeuronId(1, 2)).top(6)
    assert scan.finish().top(NeuronId(1, 2), 6) == record


def test_a_shard_that_fails_for_good_ends_the_scan_and_keeps_the_rest(
    tmp_path: Path, corpus, expected
) -> None:
    workers = MemoryWorkers(RoughModel(gated=True), 2)
    scan = new_ray_scan(workers, corpus, tmp_path, checkpoint_seconds=0)
    scan.resume()
    while scan.progress().prompts == 0:
        scan.step()
    workers.broken = RayError("The shard lost its worker.")
    with pytest.raises(RayError):
        run_scan(scan)
    again = new_ray_scan(MemoryWorkers(RoughModel(gated=True), 2), corpus, tmp_path)
    assert again.resume() > 0
    run_scan(again)
    assert digests(tmp_path) == expected


def test_nan_on_a_worker_is_named_and_never_saved(tmp_path: Path, corpus) -> None:
    model = RoughModel(gated=True)
    model.by_token[1, 5, 2] = float("nan")
    scan = new_ray_scan(MemoryWorkers(model, 2), corpus, tmp_path, checkpoint_seconds=0)
    with pytest.raises(NumericalError, match="layer 1"):
        run_scan(scan)


def test_shards_grow_where_they_are_quick_and_shrink_at_the_end(tmp_path: Path) -> None:
    corpus = random_corpus(1000)
    workers = MemoryWorkers(RoughModel(), 2)
    run_scan(new_ray_scan(workers, corpus, tmp_path, batch_tokens=20))
    sizes = [end - first for first, end in workers.submitted]
    assert sizes[0] == BLOCK_BATCHES
    assert max(sizes) > 4 * BLOCK_BATCHES
    assert sizes[-1] <= BLOCK_BATCHES
