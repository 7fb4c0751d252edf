"""Before there is an explorer: nothing is made, nothing waits, and what is closed stays closed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import cast

import pytest

from tests.tui.canned import CannedExplorer
from tui_lookups.errors import Cancelled, ModelLoadError
from tui_lookups.results import Status
from tui_lookups.tui.explorer_protocol import ExplorerLike
from tui_lookups.tui.lazy_explorer import LazyExplorer

WAITING = Status("starting", "starting", "cpu", "float32", None, None, None)
LONG = 20.0


class Maker:
    """Makes a canned explorer once `go` is set."""

    def __init__(self, error: Exception | None = None) -> None:
        self.go = threading.Event()
        self.made: list[CannedExplorer] = []
        self.begun = threading.Event()
        self.error = error

    def __call__(self) -> ExplorerLike:
        self.begun.set()
        assert self.go.wait(LONG)
        if self.error is not None:
            raise self.error
        self.made.append(CannedExplorer())
        return cast("ExplorerLike", self.made[-1])


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


def test_status_answers_before_there_is_an_explorer() -> None:
    make = Maker()
    explorer = LazyExplorer(make, WAITING)
    assert explorer.status() is WAITING
    assert not make.begun.is_set()
    make.go.set()
    assert explorer.resolve().status().stage == "ready"
    assert explorer.status().stage == "ready"


def test_questions_wait_for_the_one_explorer() -> None:
    make, heard = Maker(), [Heard(), Heard()]
    explorer = LazyExplorer(make, WAITING)
    for each in heard:
        explorer.ask(lambda: explorer.first_view().neuron, each.done, each.failed)
    assert not any(each.arrived.is_set() for each in heard)
    make.go.set()
    for each in heard:
        assert each.arrived.wait(LONG)
        assert str(each.answer) == "L5.N371"
    assert len(make.made) == 1
    third = Heard()
    explorer.ask(lambda: 3, third.done, third.failed)
    assert third.answer == 3, "with an explorer there, asking goes straight through"


def test_a_cancelled_question_is_never_answered() -> None:
    make, heard, after = Maker(), Heard(), Heard()
    explorer = LazyExplorer(make, WAITING)
    explorer.ask(lambda: 1, heard.done, heard.failed).cancel()
    make.go.set()
    explorer.ask(lambda: 2, after.done, after.failed)
    assert after.arrived.wait(LONG)
    wait_until(lambda: not any(t.name == "lookups-explorer" for t in threading.enumerate()))
    assert not heard.arrived.is_set()


def test_closing_does_not_wait_and_closes_what_is_still_being_made() -> None:
    make, heard = Maker(), Heard()
    explorer = LazyExplorer(make, WAITING)
    explorer.ask(lambda: 1, heard.done, heard.failed)
    assert make.begun.wait(LONG)
    explorer.close()
    make.go.set()
    wait_until(lambda: bool(make.made) and make.made[0].closed == 1)
    assert not heard.arrived.is_set()
    with pytest.raises(Cancelled):
        explorer.resolve()


def test_closing_what_was_never_opened_makes_nothing() -> None:
    make = Maker()
    explorer = LazyExplorer(make, WAITING)
    explorer.close()
    with pytest.raises(Cancelled):
        explorer.first_view()
    assert not make.begun.is_set()


@pytest.mark.parametrize("error", [ModelLoadError("No.", "Try."), ImportError("no module")])
def test_an_explorer_that_cannot_be_made_is_a_failed_status(error: Exception) -> None:
    make, heard = Maker(error), Heard()
    make.go.set()
    explorer = LazyExplorer(make, WAITING)
    explorer.ask(lambda: 1, heard.done, heard.failed)
    assert heard.arrived.wait(LONG)
    assert heard.error is error
    explorer.start()
    wait_until(lambda: explorer.status().stage == "failed")
    assert str(error) in explorer.status().message


def test_start_starts_the_explorer_on_another_thread() -> None:
    make = Maker()
    explorer = LazyExplorer(make, WAITING)
    explorer.start()
    make.go.set()
    wait_until(lambda: bool(make.made) and make.made[0].started == 1)
