"""A scan whose folder, cache or Explorer is taken away or shared: nobody waits for ever, no work is lost."""

from __future__ import annotations

import gc
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tui_lookups.answering.scan_session import ScanSession
from tui_lookups.errors import CacheError, CorpusError, LookupsError
from tui_lookups.explorer import Explorer
from tui_lookups.ids import NeuronId
from tui_lookups.scan.scan import Scan
from tui_lookups.settings import load_settings
from tui_lookups.storage.cache import ResultCache

LAYERS = "0,1"
Make = Callable[..., Explorer]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Explorers of the same few passages and the same cache, closed at the end."""
    made: list[Explorer] = []

    def explorer(**more: object) -> Explorer:
        given: dict[str, object] = {
            "cache_dir": tmp_path, "device": "cpu", "threads": 1, "layers": LAYERS, "batch_tokens": 512,
            "max_documents": 40, "checkpoint_seconds": 3600,
        }  # fmt: skip
        made.append(Explorer(load_settings(**{**given, **more})))
        return made[-1]

    yield explorer
    for each in made:
        each.close()


class Gate:
    """Every scan stops before its third batch while the gate is shut."""

    def __init__(self) -> None:
        self.reached, self._open = threading.Event(), threading.Event()

    def pass_(self, batches: int) -> None:
        if batches == 2 and not self._open.is_set():
            self.reached.set()
            assert self._open.wait(60)

    def open(self, after: float = 0.0) -> None:
        threading.Timer(after, self._open.set).start()

    def shut(self) -> None:
        self._open.clear()
        self.reached.clear()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    step, made = Scan.step, Gate()

    def stops(scan: Scan, *given, **more) -> bool:
        made.pass_(scan._manifest.next_batch)
        return step(scan, *given, **more)

    monkeypatch.setattr(Scan, "step", stops)
    yield made
    made.open()


def ends(work: Callable[[], object], seconds: float = 60.0) -> list[object]:
    """What `work` answered, or raised, on a thread of its own; fails when it does not end."""
    answers: list[object] = []

    def run() -> None:
        try:
            answers.append(work())
        except LookupsError as error:
            answers.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it still waits"
    return answers


def index_folder(explorer: Explorer) -> Path:
    return explorer._engine.cache.folder("indexes") / explorer._scan.key()


def test_a_closed_explorer_keeps_neither_the_scans_folder_nor_the_model(make: Make, gate: Gate) -> None:
    first = make()
    first.start()
    assert gate.reached.wait(60)
    model = weakref.ref(first._engine._model)
    gate.open(after=0.1)
    first.close()
    second = make()
    (summary,) = ends(second.scan)
    assert summary.prompts == second.corpus_info().prompts
    gc.collect()
    assert model() is None, "who keeps a closed Explorer keeps its weights"


def test_a_last_checkpoint_that_fails_is_said(
    make: Make, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    explorer = make()
    explorer.start()
    assert gate.reached.wait(60)

    def full(scan: Scan) -> None:
        raise CacheError("The scan could not be saved: no space left.", "Make room.")

    monkeypatch.setattr(Scan, "checkpoint", full)
    gate.open(after=0.1)
    assert explorer.close() == (
        "What was scanned since the last checkpoint is lost: "
        "The scan could not be saved: no space left. Make room."
    )
    assert explorer.close() == "", "said once"


@pytest.mark.parametrize("how", ["cache clear", "by hand"])
def test_a_scan_whose_folder_is_emptied_ends_all_the_same(
    make: Make, gate: Gate, tmp_path: Path, how: str
) -> None:
    explorer = make()
    explorer.start()
    assert gate.reached.wait(60)
    if how == "by hand":
        shutil.rmtree(index_folder(explorer))
    else:
        other = ResultCache(tmp_path)
        left = other.clear()
        other.close()
        assert f"{index_folder(explorer)} was left alone: another process is writing there." in left.problems
    gate.open()
    (summary,) = ends(explorer.scan)
    assert summary.prompts == explorer.corpus_info().prompts
    assert explorer.prompts(NeuronId(0, 1), top=1).prompts


def test_who_finds_an_index_damaged_leaves_alone_who_is_making_it_again(make: Make, gate: Gate) -> None:
    gate.open()
    first, second = make(), make(checkpoint_seconds=0.001)
    first.scan()
    folder = index_folder(first)
    first.prompts(NeuronId(0, 1), top=1)  # the other layer's arrays are not open yet
    damaged = next(file for file in folder.iterdir() if file.name.startswith("layer_1"))
    data = bytearray(damaged.read_bytes())
    data[-5] ^= 255
    damaged.write_bytes(data)
    with pytest.raises(CacheError, match="damaged and was dropped"):
        second.prompts(NeuronId(1, 1), top=1)
    gate.shut()
    second.start()
    assert gate.reached.wait(60)
    (found,) = ends(lambda: first.prompts(NeuronId(1, 2), top=1, wait=False))
    assert isinstance(found, CacheError), "its own index is damaged"
    assert folder.is_dir(), "another is making it again"
    gate.open()
    (summary,) = ends(second.scan)
    assert summary.prompts == second.corpus_info().prompts
    (listed,) = ends(lambda: first.prompts(NeuronId(1, 2), top=1))
    assert listed.prompts == second.prompts(NeuronId(1, 2), top=1).prompts


def test_a_defect_while_following_another_scan_is_told_to_who_waits(
    make: Make, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make(), make()
    first.start()
    assert gate.reached.wait(60)
    start = ScanSession.start

    def breaks(session: ScanSession) -> None:
        if threading.current_thread().name == "lookups-watch":
            raise RuntimeError("launch failure")
        start(session)

    monkeypatch.setattr(ScanSession, "start", breaks)
    waiting: list[object] = []

    def wait() -> None:
        try:
            second.scan()
        except LookupsError as error:
            waiting.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not second._scan._watching:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    first._scan._scan.close()  # as if its process had died
    thread.join(30)
    assert [str(error) for error in waiting] == [
        "internal error: RuntimeError: launch failure "
        "This is a defect of lookups-tui; its log (--log FILE) shows where."
    ]
    assert not second._scan._watching


def test_a_corpus_that_cannot_be_opened_leaves_the_model_usable(make: Make, tmp_path: Path) -> None:
    make().model_info()  # known from now on: the start goes for the corpus at once
    file = tmp_path / "texts.txt"
    explorer = make(corpus=str(file))
    explorer.start()
    deadline = time.monotonic() + 60
    while explorer.status().stage != "failed":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert explorer.neurons(" time", top=1).neurons
    assert explorer.activations(NeuronId(0, 0), "for the first time").activations
    with pytest.raises(CorpusError):
        explorer.scan()
    file.write_text("for the first time\n\nfor the second time\n")
    assert explorer.scan().prompts == 2
    assert explorer.status().stage == "ready"


def test_what_is_answered_from_the_cache_names_the_device_that_worked_it_out(make: Make) -> None:
    asked = make(device="auto")
    provenance = asked.scan().provenance
    assert provenance.device != "auto"
    asked.close()
    again = make(device="auto")
    assert again.scan().provenance.device == provenance.device
    assert again._engine._model is None
