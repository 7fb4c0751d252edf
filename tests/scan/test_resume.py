"""Checkpoints: killed at any moment, damaged, made with other settings."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from tests.faults import processes
from tests.scan.fake_model import FakeModel, random_corpus
from tests.scan.test_scan import digests, distinct_scan
from tui_lookups.errors import Cancelled
from tui_lookups.scan.scan import run_scan
from tui_lookups.storage.arrays import ArrayFolder
from tui_lookups.storage.index import ScanIndex

PROMPTS = 120


def partly_scanned(folder: Path, batches: int) -> int:
    """A folder with the checkpoint of a scan that ended after some batches; prompts in it."""
    scan = distinct_scan(FakeModel(gated=True), random_corpus(PROMPTS), folder)
    scan.resume()
    for _ in range(batches):
        scan.step()
    scan.checkpoint()
    scan.close()
    return scan.progress().prompts


def start_child(folder: Path) -> tuple[int, IO[str]]:
    """A scan in a process of its own, and its words: a line when it has resumed, one a batch, one at last."""
    said, says = os.pipe()

    def work() -> None:
        os.close(said)
        with os.fdopen(says, "w", buffering=1) as out:
            model, corpus = FakeModel(gated=True), random_corpus(PROMPTS)
            scan = distinct_scan(model, corpus, folder, checkpoint_seconds=0)
            print(scan.resume(), file=out)
            run_scan(scan, progress=lambda progress: print(progress.prompts, file=out))
            print("finished", file=out)

    child = processes.start(work)
    os.close(says)
    return child, os.fdopen(said)


def kill_and_resume(folder: Path, kills: int, seed: int) -> list[int]:
    """Kill the scan again and again, at a random moment after a random batch; prompts found each time."""
    rng, resumed = random.Random(seed), []
    while True:
        child, said = start_child(folder)
        with said:
            resumed.append(int(said.readline()))
            if kills == 0:
                assert said.read().endswith("finished\n")
                assert processes.finished(child)
                return resumed
            kills -= 1
            for _ in range(rng.randint(1, 4)):
                said.readline()
            time.sleep(rng.random() * 0.01)  # somewhere within the next batch or its commit
            os.kill(child, signal.SIGKILL)
            assert not processes.finished(child)


@processes.needs_fork
def test_kill_minus_nine_and_resume_give_identical_bytes(tmp_path: Path) -> None:
    run_scan(distinct_scan(FakeModel(gated=True), random_corpus(PROMPTS), tmp_path / "smooth"))
    resumed = kill_and_resume(tmp_path / "killed", kills=2, seed=0)
    assert resumed[0] == 0
    assert 0 < resumed[1] < resumed[2] < PROMPTS
    assert digests(tmp_path / "killed") == digests(tmp_path / "smooth")


@pytest.mark.slow
@processes.needs_fork
@pytest.mark.parametrize("seed", range(5))
def test_kill_minus_nine_many_times(tmp_path: Path, seed: int) -> None:
    run_scan(distinct_scan(FakeModel(gated=True), random_corpus(PROMPTS), tmp_path / "smooth"))
    kill_and_resume(tmp_path / "killed", kills=5, seed=seed)
    assert digests(tmp_path / "killed") == digests(tmp_path / "smooth")


def test_resumes_after_every_batch_with_identical_bytes(tmp_path: Path) -> None:
    model, corpus = FakeModel(gated=True), random_corpus(40)
    smooth = distinct_scan(model, corpus, tmp_path / "smooth")
    run_scan(smooth)
    for expected in [0, *(int(end) for end in smooth.plan.offsets[1:])]:
        scan = distinct_scan(model, corpus, tmp_path / "broken off")
        assert scan.resume() == expected
        scan.step()
        scan.checkpoint()
        scan.close()
    assert ScanIndex.find(tmp_path / "broken off") is None
    scan = distinct_scan(model, corpus, tmp_path / "broken off")
    index = run_scan(scan)
    assert scan.resumed_from == index.manifest.prompts == 40
    assert digests(tmp_path / "broken off") == digests(tmp_path / "smooth")


def test_a_checkpoint_of_an_earlier_version_is_resumed(tmp_path: Path) -> None:
    """It says of every layer whether NaN was seen, which the extremes tell."""
    found = partly_scanned(tmp_path / "old", 3)
    folder = ArrayFolder(tmp_path / "old")
    committed = folder.manifest()
    assert committed is not None
    state = {name: np.array(array) for name, array in folder.open("state").items()}
    with folder.writing() as writer:
        assert writer is not None
        writer.write("state", {**state, "broken": np.zeros(3, bool)})
        writer.commit(committed.description)
    scan = distinct_scan(FakeModel(gated=True), random_corpus(PROMPTS), tmp_path / "old")
    assert (scan.resume(), scan.problems) == (found, ())
    run_scan(scan)
    run_scan(distinct_scan(FakeModel(gated=True), random_corpus(PROMPTS), tmp_path / "smooth"))
    assert digests(tmp_path / "old") == digests(tmp_path / "smooth")


def test_cancelling_writes_a_checkpoint(tmp_path: Path) -> None:
    calls = iter(range(10))

    def poll() -> None:
        if next(calls, None) is None:
            raise Cancelled

    with pytest.raises(Cancelled):
        run_scan(distinct_scan(FakeModel(), random_corpus(40), tmp_path), poll=poll)
    again = distinct_scan(FakeModel(), random_corpus(40), tmp_path)
    assert again.resume() == again.plan.offsets[3]  # three layers a batch
    again.close()


def test_checkpoints_keep_to_their_time(tmp_path: Path) -> None:
    now = [0.0]
    scan = distinct_scan(
        FakeModel(), random_corpus(60), tmp_path, checkpoint_seconds=10, clock=lambda: now[0]
    )
    scan.resume()
    manifest = tmp_path / "manifest.json"
    scan.step()
    assert not manifest.exists()
    now[0] = 10.0
    scan.step()
    first = manifest.read_bytes()
    now[0] = 19.0
    scan.step()
    assert manifest.read_bytes() == first
    now[0] = 20.0
    scan.step()
    assert manifest.read_bytes() != first
    scan.close()


@pytest.mark.parametrize("damage", ["array", "cut", "missing", "manifest", "next_batch", "kind", "shape"])
def test_a_damaged_checkpoint_is_told_and_the_scan_starts_anew(tmp_path: Path, damage: str) -> None:
    run_scan(distinct_scan(FakeModel(gated=True), random_corpus(PROMPTS), tmp_path / "smooth"))
    folder = tmp_path / "damaged"
    partly_scanned(folder, 3)
    spoil(folder, damage)
    scan = distinct_scan(FakeModel(gated=True), random_corpus(PROMPTS), folder)
    assert scan.resume() == 0
    assert len(scan.problems) == 1
    assert "starts anew" in scan.progress().message
    run_scan(scan)
    assert digests(folder) == digests(tmp_path / "smooth")
    assert len(list(folder.glob("*.npy"))) == len(digests(folder))


def spoil(folder: Path, damage: str) -> None:
    from tui_lookups.storage import arrays

    keys = next(folder.glob("state.keys.*.npy"))
    manifest = folder / "manifest.json"
    if damage == "array":
        data = bytearray(keys.read_bytes())
        data[-3] ^= 0x40
        keys.write_bytes(data)
    elif damage == "cut":
        keys.write_bytes(keys.read_bytes()[:-100])
    elif damage == "missing":
        keys.unlink()
    elif damage == "manifest":
        manifest.write_bytes(manifest.read_bytes()[: manifest.stat().st_size // 2])
    else:
        body = json.loads(manifest.read_text())
        body.pop("checksum")
        if damage == "next_batch":
            body["description"]["next_batch"] = 10**6
        elif damage == "kind":
            body["description"]["kind"] = "holiday"
        else:  # sound files, but not of this scan
            body["arrays"]["state"]["sums"] = body["arrays"]["state"]["positive"]
        body["checksum"] = arrays._body_checksum(body)
        manifest.write_text(json.dumps(body))


@pytest.mark.parametrize(
    "changes", [{"top": 7}, {"layers": (0, 1)}, {"sample": 13}], ids=lambda changes: next(iter(changes))
)
def test_another_scan_in_the_folder_is_not_resumed(tmp_path: Path, changes: dict[str, object]) -> None:
    partly_scanned(tmp_path, 3)
    scan = distinct_scan(FakeModel(gated=True), random_corpus(PROMPTS), tmp_path, **changes)
    assert scan.resume() == 0
    assert "holds another scan" in scan.problems[0]
    run_scan(scan)


def test_a_scan_by_another_forward_pass_is_not_resumed(tmp_path: Path) -> None:
    """A compiled pass rounds differently: an index comes from one kind of pass, and says which."""
    partly_scanned(tmp_path, 3)
    model = FakeModel(gated=True)
    model.forward_path = "compiled"
    scan = distinct_scan(model, random_corpus(PROMPTS), tmp_path)
    assert scan.resume() == 0
    assert "holds another scan" in scan.problems[0]
    assert run_scan(scan).manifest.forward == "compiled"


def test_a_corpus_of_the_same_name_with_other_lengths_is_not_resumed(tmp_path: Path) -> None:
    partly_scanned(tmp_path, 3)
    scan = distinct_scan(FakeModel(gated=True), random_corpus(PROMPTS, seed=1), tmp_path)
    assert scan.resume() == 0
    assert "another batch plan" in scan.problems[0]
    scan.close()


def test_a_resumed_scan_keeps_the_plan_of_its_checkpoint(tmp_path: Path) -> None:
    run_scan(distinct_scan(FakeModel(gated=True), random_corpus(PROMPTS), tmp_path / "smooth"))
    prompts = partly_scanned(tmp_path / "resumed", 3)
    scan = distinct_scan(
        FakeModel(gated=True), random_corpus(PROMPTS), tmp_path / "resumed", batch_tokens=100, seed=9
    )
    assert scan.resume() == prompts
    index = run_scan(scan)
    assert (index.manifest.batch_tokens, index.manifest.seed) == (40, 0)
    assert digests(tmp_path / "resumed") == digests(tmp_path / "smooth")


def test_a_finished_index_is_not_scanned_again(tmp_path: Path) -> None:
    model = FakeModel()
    run_scan(distinct_scan(model, random_corpus(30), tmp_path))
    model.batches.clear()
    scan = distinct_scan(model, random_corpus(30), tmp_path)
    index = run_scan(scan)
    assert (model.batches, scan.resumed_from, index.manifest.prompts) == ([], 30, 30)


def test_what_did_not_fit_is_recorded_and_known_after_a_kill(tmp_path: Path) -> None:
    """Else the resumed scan would cut its batches elsewhere."""
    from tests.scan.test_scan import CrampedModel

    scan = distinct_scan(CrampedModel(), random_corpus(PROMPTS), tmp_path, checkpoint_seconds=0)
    scan.resume()
    for _ in range(3):
        scan.step()
    scan.close()
    model = CrampedModel()
    scan = distinct_scan(model, random_corpus(PROMPTS), tmp_path)
    assert scan.resume() > 0
    index = run_scan(scan)
    assert 0 < index.manifest.cut_to <= model.room
    assert all(rows * tokens <= model.room for rows, tokens in model.batches)  # none was tried in vain


def test_state_does_not_grow_with_the_corpus(tmp_path: Path) -> None:
    sizes = []
    for prompts in (30, 300):
        scan = distinct_scan(FakeModel(), random_corpus(prompts), tmp_path / str(prompts))
        scan.resume()
        while scan.step():
            pass
        scan.checkpoint()
        sizes.append(sum(path.stat().st_size for path in (tmp_path / str(prompts)).glob("*.npy")))
        scan.close()
    assert sizes[0] == sizes[1]
