"""Before the first question nothing is imported or opened, nothing waits; what is closed stays closed."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tui_lookups.answering import engine
from tui_lookups.errors import Cancelled, ModelLoadError
from tui_lookups.explorer import Explorer
from tui_lookups.settings import Settings, load_settings

LONG = 20.0
LATE = ("torch", "transformers", "transformer_lens", "numpy", "sqlite3", "diskcache", "tokenizers")


class Opening:
    """Stands in for the class Engine: one is made once `go` is set."""

    def __init__(self) -> None:
        self.go, self.begun = threading.Event(), threading.Event()
        self.made: list[engine.Engine] = []
        self.error: Exception | None = None

    def __call__(self, settings: Settings, results: Path | None) -> engine.Engine:
        self.begun.set()
        assert self.go.wait(LONG)
        if self.error is not None:
            raise self.error
        self.made.append(engine.Engine(settings, results))
        return self.made[-1]


class Heard:
    """What came back from a question."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.answer: object = None
        self.error: BaseException | None = None

    def done(self, answer: object) -> None:
        self.answer = answer
        self.arrived.set()

    def failed(self, error: BaseException) -> None:
        self.error = error
        self.arrived.set()


def wait_until(true: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(int(LONG / 0.01)):
        if true():
            return
        pause.wait(0.01)
    raise AssertionError("it never came")


@pytest.fixture
def opening(monkeypatch: pytest.MonkeyPatch) -> Opening:
    stand_in, real = Opening(), engine.Engine

    def make(settings: Settings, results: Path | None) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(engine, "Engine", real)
            return stand_in(settings, results)

    monkeypatch.setattr(engine, "Engine", make)
    return stand_in


@pytest.fixture
def explorer(tmp_path: Path) -> Iterator[Explorer]:
    made = Explorer(load_settings(cache_dir=tmp_path / "cache", device="cpu", threads=1))
    yield made
    made.close()


def test_nothing_is_imported_or_opened_before_the_first_question(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from tui_lookups.explorer import Explorer\n"
        "from tui_lookups.settings import load_settings\n"
        f"folder = pathlib.Path({str(tmp_path / 'cache')!r})\n"
        "explorer = Explorer(load_settings(cache_dir=folder, model='nowhere'))\n"
        "explorer.status(), explorer.problems, explorer.request_checkpoint()\n"
        "print(*(name for name in sys.modules if name.startswith('tui_lookups.')))\n"
        f"print(sorted(set(sys.modules) & set({LATE})), folder.exists())\n"
        "explorer.close()\n"
        "print(folder.exists())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours, late, closed = done.stdout.splitlines()
    behind = ("answering", "analysis", "explanation", "model.", "corpus", "storage", "tui.")
    assert not [name for name in ours.split() if name.startswith(tuple(f"tui_lookups.{b}" for b in behind))]
    assert late == "[] False"
    assert closed == "False"


def test_status_answers_before_anything_is_opened(explorer: Explorer, opening: Opening) -> None:
    status = explorer.status()
    assert (status.stage, status.message, status.device, status.asked) == ("starting", "", "cpu", "demo")
    assert (status.model, status.corpus, status.scan) == (None, None, None)
    assert not opening.begun.is_set()
    opening.go.set()
    assert explorer.resolve_token(" because").token is not None
    assert explorer.status().stage == "loading"


def test_questions_wait_for_the_one_engine(explorer: Explorer, opening: Opening) -> None:
    heard = [Heard(), Heard()]
    for each in heard:
        explorer.ask(lambda: explorer.resolve_token(" because").text, each.done, each.failed)
    assert not any(each.arrived.is_set() for each in heard)
    assert explorer.status().stage == "starting", "which waits for nothing"
    opening.go.set()
    for each in heard:
        assert each.arrived.wait(LONG)
        assert each.answer == " because", each.error
    assert len(opening.made) == 1


def test_a_cancelled_question_is_never_answered(explorer: Explorer, opening: Opening) -> None:
    heard, after = Heard(), Heard()
    explorer.ask(explorer.model_fingerprint, heard.done, heard.failed).cancel()
    opening.go.set()
    explorer.ask(lambda: 2, after.done, after.failed)
    assert after.arrived.wait(LONG)
    wait_until(lambda: not any(t.name == "lookups-question" for t in threading.enumerate()))
    assert not heard.arrived.is_set()


def test_closing_does_not_wait_and_closes_what_is_still_being_made(
    explorer: Explorer, opening: Opening
) -> None:
    heard = Heard()
    explorer.ask(explorer.first_view, heard.done, heard.failed)
    assert opening.begun.wait(LONG)
    explorer.close()
    opening.go.set()
    wait_until(lambda: bool(opening.made) and opening.made[0].closing)
    wait_until(lambda: not any(t.name == "lookups-question" for t in threading.enumerate()))
    assert not heard.arrived.is_set()
    with pytest.raises(Cancelled):
        explorer.first_view()


def test_closing_what_was_never_opened_opens_nothing(explorer: Explorer, opening: Opening) -> None:
    assert explorer.close() == ""
    assert explorer.problems == ()
    with pytest.raises(Cancelled):
        explorer.first_view()
    assert not opening.begun.is_set()


@pytest.mark.parametrize("error", [ModelLoadError("No.", "Try."), ImportError("no module")])
def test_what_cannot_be_opened_is_a_failed_status(
    explorer: Explorer, opening: Opening, error: Exception
) -> None:
    heard, opening.error = Heard(), error
    opening.go.set()
    explorer.ask(explorer.first_view, heard.done, heard.failed)
    assert heard.arrived.wait(LONG)
    assert heard.error is error
    assert explorer.status().stage == "failed"
    explorer.start()
    wait_until(lambda: explorer.status().stage == "failed")
    assert str(error) in explorer.status().message


def test_start_opens_it_on_another_thread(explorer: Explorer, opening: Opening) -> None:
    explorer.start()
    assert opening.begun.wait(LONG)
    assert explorer.status().stage == "starting"
    opening.go.set()
    wait_until(lambda: explorer.status().stage == "loading")
