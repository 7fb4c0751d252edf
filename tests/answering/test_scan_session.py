"""A scan that fails on its way keeps what it had done; one of another process is followed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tui_lookups.errors import CacheError, LookupsError, UnavailableError
from tui_lookups.explorer import Explorer
from tui_lookups.ids import NeuronId
from tui_lookups.results import ScanProgress
from tui_lookups.scan.scan import Scan
from tui_lookups.scan.state import ScanState
from tui_lookups.settings import Settings, load_settings
from tui_lookups.storage.arrays import ArrayFolder

pytestmark = pytest.mark.usefixtures("once_loaded")


def of_few_texts(cache: Path, **changes: float) -> Settings:
    """A scan of one layer in about fifteen batches."""
    return load_settings(
        cache_dir=cache, device="cpu", threads=1, layers="0", batch_tokens=1024, max_documents=120, **changes
    )


@pytest.mark.parametrize(
    ("error", "kept"),
    [(LookupsError("All workers are lost.", "Scan again."), True), (KeyError("bug"), False)],
)
def test_what_was_scanned_before_an_error_is_kept_but_not_before_a_defect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, kept: bool
) -> None:
    settings = of_few_texts(tmp_path, checkpoint_seconds=3600)
    step, steps = Scan.step, []

    def fails_at_the_fourth(scan: Scan, *given, **more) -> bool:
        steps.append(1)
        if len(steps) == 4:
            raise error
        return step(scan, *given, **more)

    monkeypatch.setattr(Scan, "step", fails_at_the_fourth)
    explorer = Explorer(settings)
    try:
        with pytest.raises(LookupsError):
            explorer.scan()
    finally:
        explorer.close()
    again = Explorer(settings)
    try:
        assert (again.scan().resumed_from > 0) is kept
    finally:
        again.close()


def test_a_checkpoint_that_is_asked_for_is_written_between_two_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = of_few_texts(tmp_path, checkpoint_seconds=3600)
    step, steps = Scan.step, []

    def asked_at_the_third(scan: Scan, *given, **more) -> bool:
        steps.append(1)
        if len(steps) == 3:
            explorer.request_checkpoint()
        if len(steps) == 5:
            raise KeyError("a defect, after which nothing is written any more")
        return step(scan, *given, **more)

    explorer = Explorer(settings)
    explorer.request_checkpoint()  # before there is a scan
    monkeypatch.setattr(Scan, "step", asked_at_the_third)
    try:
        with pytest.raises(LookupsError):
            explorer.scan()
    finally:
        explorer.close()
    again = Explorer(settings)
    try:
        resumed = again.scan().resumed_from
    finally:
        again.close()
    assert 0 < resumed < again.corpus_info().prompts


def test_a_scan_that_is_stopped_keeps_and_answers_what_it_has_and_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, neuron = of_few_texts(tmp_path, checkpoint_seconds=3600), NeuronId(0, 1)
    step, steps = Scan.step, []

    def stopped_at_the_third(scan: Scan, *given, **more) -> bool:
        steps.append(1)
        if len(steps) == 3:
            explorer.stop_scan()
        return step(scan, *given, **more)

    monkeypatch.setattr(Scan, "step", stopped_at_the_third)
    explorer = Explorer(settings)
    explorer.stop_scan()  # there is nothing to stop
    try:
        explorer.start()
        until(lambda: state_of(explorer) == "stopped")
        scan = explorer.status().scan
        assert scan is not None
        assert 0 < scan.prompts < scan.total_prompts
        assert scan.under_way is None
        assert len(steps) == 3, "the batch under way was the last"
        so_far = explorer.prompts(neuron, wait=False)
        assert (so_far.scanned_prompts, so_far.complete) == (scan.prompts, False)
        explorer.stats([neuron])
        assert state_of(explorer) == "stopped", "questions leave it at rest"
        assert len(steps) == 3
        explorer.start()
        until(lambda: state_of(explorer) == "done")
        assert explorer.prompts(neuron).complete
    finally:
        explorer.close()


def test_a_scan_stops_where_it_cannot_be_saved_and_a_question_for_all_of_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, step = of_few_texts(tmp_path, checkpoint_seconds=3600), Scan.step

    def no_room(_scan: Scan) -> None:
        raise CacheError("The disk is full.", "Make room.")

    def stopped_at_once(scan: Scan, *given, **more) -> bool:
        explorer.stop_scan()
        monkeypatch.setattr(Scan, "step", step)
        return step(scan, *given, **more)

    monkeypatch.setattr(Scan, "step", stopped_at_once)
    monkeypatch.setattr(Scan, "checkpoint", no_room)
    explorer = Explorer(settings)
    try:
        explorer.start()
        until(lambda: state_of(explorer) == "stopped")
        scan = explorer.status().scan
        assert scan is not None
        assert "The disk is full." in scan.message
        assert explorer.scan().prompts == scan.total_prompts
    finally:
        explorer.close()


def state_of(explorer: Explorer) -> str:
    scan = explorer.status().scan
    return "" if scan is None else scan.state


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_scan_of_another_process_is_followed_from_checkpoint_to_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = of_few_texts(tmp_path, checkpoint_seconds=3600)
    step, may_go_on, steps = Scan.step, threading.Event(), []

    def stops_after_four(scan: Scan, *given, **more) -> bool:
        steps.append(1)
        if len(steps) == 4:
            first.request_checkpoint()  # written when these four are done
        if len(steps) == 5:
            assert may_go_on.wait(60)
        return step(scan, *given, **more)

    monkeypatch.setattr(Scan, "step", stops_after_four)
    first, second = Explorer(settings), Explorer(settings)

    def seen(explorer: Explorer) -> ScanProgress:
        found = explorer.status().scan
        return found or ScanProgress("waiting", 0, 0, 0, 0, 0.0, None, 0.0)

    try:
        first.start()
        until(lambda: len(steps) == 5)
        second.start()
        until(lambda: seen(second).prompts > 0)
        followed = seen(second)
        assert followed.state == "waiting"
        assert followed.message == "another lookups-tui is scanning this corpus"
        assert 0 < followed.prompts == seen(first).prompts < followed.total_prompts
        assert followed.tokens == seen(first).tokens
        assert followed.seconds_left is not None
        may_go_on.set()
        until(lambda: seen(second).state == "done" or second._scan._ended.is_set())
        assert second.scan().prompts == first.scan().prompts
        assert len(steps) < 20  # and did not scan it again
    finally:
        may_go_on.set()
        first.close()
        second.close()


def refused(*_: object, **__: object) -> None:
    raise UnavailableError("keys.npy could not be read: too many open files.", "See to that and ask again.")


def test_a_checkpoint_that_cannot_be_read_for_a_moment_does_not_keep_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next question scans on, instead of waiting for ever on a lock of its own process."""
    settings = of_few_texts(tmp_path, checkpoint_seconds=0.001)

    class Enough(Exception):
        pass

    def hear(progress: ScanProgress) -> None:
        if progress.prompts:
            raise Enough

    first = Explorer(settings)
    try:
        with pytest.raises(Enough):
            first.scan(hear)
    finally:
        first.close()
    explorer = Explorer(settings)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(ScanState, "load_arrays", refused)
            with pytest.raises(UnavailableError) as kept:  # and with its traceback the scan, as in a notebook
                explorer.scan()
        assert "too many open files" in str(kept.value)
        (folder,) = (tmp_path / "indexes").iterdir()
        assert not ArrayFolder(folder).held()
        assert explorer.scan().resumed_from > 0
    finally:
        explorer.close()


def test_a_look_at_another_process_that_fails_for_a_moment_ends_no_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    explorer = Explorer(of_few_texts(tmp_path))
    try:
        session = explorer._scan
        folder = explorer._engine.cache.folder("indexes") / session.key()
        with monkeypatch.context() as patch, ArrayFolder(folder).writing() as elsewhere:
            assert elsewhere is not None
            patch.setattr(ArrayFolder, "manifest", refused)
            session._follow(folder)
            assert session.progress is not None
            assert (session.progress.state, session.progress.prompts) == ("waiting", 0)
        assert explorer.scan().prompts > 0
    finally:
        explorer.close()
