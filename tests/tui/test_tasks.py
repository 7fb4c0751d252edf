"""The list of what is under way: how far, how to stop it, and how the last things ended."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tui_lookups.tui
from tests.tui.canned import CannedExplorer
from tests.tui.driving import LARGE, SMALL, press, running, settle, until
from tests.tui.views import texts
from tui_lookups.errors import LookupsError
from tui_lookups.explorer import Question
from tui_lookups.model_thread import CancelToken
from tui_lookups.progress import Progress
from tui_lookups.results import Status
from tui_lookups.tui.screens.tasks import TaskRows, TasksScreen, row_text
from tui_lookups.tui.state import queries as queries_module
from tui_lookups.tui.state.queries import Answered, Queries
from tui_lookups.tui.state.tasks import WORDS, Row, Tasks
from tui_lookups.tui.widgets.text import WrappedText

EXPLORER = CannedExplorer(scanned=506)
STATUS = EXPLORER.status()


class Stoppable(CannedExplorer):
    """Its scan can be stopped, and goes on."""

    started = stopped = False

    def status(self) -> Status:
        found = super().status()
        assert found.scan is not None
        return replace(found, scan=replace(found.scan, state="stopped")) if self.stopped else found

    def stop_scan(self) -> None:
        self.stopped = True

    def start(self) -> None:
        self.started, self.stopped = True, False


class Bench:
    """Questions that are answered by hand, and their list by a clock of its own."""

    def __init__(self) -> None:
        self.now = 100.0
        self.tasks = Tasks(lambda: self.now)
        self.explorer = CannedExplorer(hold=True)
        self.posted: list[Answered] = []
        self.queries = Queries(self.explorer, self.posted.append, tasks=lambda: self.tasks)  # type: ignore[arg-type]
        self.got: list[object] = []

    def ask(self, kind: str, question: Callable[[], object] = lambda: None) -> None:
        self.queries.ask(kind, question, self.got.append, self.got.append, "L5.N371")

    def deliver(self) -> None:
        for message in self.posted:
            self.queries.deliver(message)
        self.posted.clear()

    @property
    def rows(self) -> list[tuple[str, str]]:
        return [(row_text(row), row.how or "") for row in self.tasks.rows(STATUS, self.explorer)]


def test_what_is_waited_for_is_listed_with_how_far_it_is() -> None:
    bench = Bench()
    bench.ask("overview")
    assert bench.rows == [], "half a second is no wait"
    bench.now += 2
    assert bench.rows == [("heads over all prompts, L5.N371", "")]
    bench.tasks.running[0].question.hear(Progress("trimming", 6, 20, "prompts", 2.0, 4.0))
    assert bench.rows == [("heads over all prompts, L5.N371: trimming: 6 of 20 prompts (30%)", "")]
    bench.explorer.release()
    bench.deliver()
    assert bench.rows == [("heads over all prompts, L5.N371", "done")]


def test_what_took_no_time_leaves_without_a_word_unless_it_failed() -> None:
    bench = Bench()

    def fails() -> None:
        raise LookupsError("The disk\x1b is full.", "Make room.")

    bench.ask("heads")
    bench.ask("export", fails)
    bench.explorer.release()
    bench.deliver()
    assert bench.rows == [("writing the export, L5.N371: The disk␛ is full. Make room.", "failed")]


def test_a_question_that_gave_way_to_a_newer_one_is_not_listed() -> None:
    bench = Bench()
    bench.ask("heads")
    bench.now += 2
    bench.ask("heads")
    assert bench.rows == []
    assert len(bench.tasks.running) == 1
    bench.queries.cancel_all()
    assert not bench.tasks.running


def test_stopping_tells_who_waits_and_drops_the_answer() -> None:
    bench = Bench()
    bench.ask("ablate")
    bench.now += 3
    (row,) = bench.tasks.rows(STATUS, bench.explorer)
    assert row.stop is not None
    row.stop()
    bench.explorer.release()  # it comes all the same
    bench.deliver()
    assert [str(each) for each in bench.got] == ["This was stopped. Ask for it again to start anew."]
    assert bench.rows == [("ablation, L5.N371", "stopped")]
    assert not bench.queries.waiting("ablate")


def listed(**changes: Any) -> tuple[list[str], list[Row]]:
    rows = list(Tasks().rows(replace(STATUS, **changes), EXPLORER))
    return [row_text(row) for row in rows], rows


def test_loading_and_the_scan_are_listed_and_can_be_stopped() -> None:
    reading = Progress("reading the weights", 41, 100, stage=5, stages=6)
    scanning = CannedExplorer(scanned=253).status().scan
    said, rows = listed(loading=reading, scan=scanning)
    assert said == [
        "5 of 6: reading the weights, 41%",
        "scanning: 253 of 506 prompts (50%), 5,000 tokens/s",
    ]
    assert [row.stop for row in rows] == [EXPLORER.stop_loading, EXPLORER.stop_scan]


def test_what_is_stopped_says_so_and_how_far_it_is_and_can_go_on() -> None:
    scan = CannedExplorer(scanned=253).status().scan
    assert scan is not None
    said, rows = listed(stage="stopped", scan=replace(scan, state="stopped"))
    assert said == ["loading the model", "scan: 253 of 506 prompts"]
    assert [(row.how, row.stop, row.resume) for row in rows] == [("stopped", None, EXPLORER.start)] * 2


def test_what_no_key_stops_says_why() -> None:
    scan = CannedExplorer(scanned=253).status().scan
    assert scan is not None
    elsewhere = replace(scan, state="waiting", message="another lookups-tui is scanning this corpus")
    _, rows = listed(loading=Progress("tokenising", stage=2, stages=6), scan=elsewhere)
    assert all(row.stop is None and row.resume is None and row.why for row in rows)


async def test_the_scan_is_stopped_and_goes_on_by_one_key() -> None:
    explorer = Stoppable(scanned=253, hostile=False)
    async with running(explorer, SMALL) as (app, pilot):
        await until(lambda: explorer.started, pilot)
        await press(pilot, "J", "s")
        note = app.screen.query_one("#task-note", WrappedText).text
        assert (
            note == "The scan stops after the batch under way and keeps what it has. s on it again goes on."
        )
        assert any("stopped" in text and "scan: 253 of 506 prompts" in text for text in texts(app))
        asked = len(explorer.calls)
        app.walk_screen.poll_status()
        app.walk_screen.steps.neurons.poll()
        assert len(explorer.calls) == asked, "what is stopped brings no better prompts"
        await press(pilot, "escape")
        await until(lambda: "scan stopped at 50%" in texts(app)[0], pilot)
        await press(pilot, "J", "s", "escape")
        await until(lambda: "scan stopped" not in texts(app)[0], pilot)
        app.walk_screen.steps.neurons.poll()
        assert len(explorer.calls) > asked


@pytest.mark.parametrize("size", [(60, 16), SMALL])
async def test_the_list_stops_what_is_under_the_cursor(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    explorer = CannedExplorer(hostile=False)
    async with running(explorer, size) as (app, pilot):
        clock = [1000.0]
        app.tasks._clock = lambda: clock[0]
        monkeypatch.setattr(queries_module, "monotonic", lambda: clock[0])
        await press(pilot, "J")
        assert "Nothing is under way" in app.screen.query_one(TaskRows).empty
        await press(pilot, "escape", "3")
        asked = Question(CancelToken())

        def hold(*_: Any) -> Question:
            return asked

        monkeypatch.setattr(explorer, "ask", hold)
        await press(pilot, "a")
        asked.hear(Progress("attributing to the heads", 8, 20, "prompts", 2.0, 3.0))
        clock[0] += 2
        await until(lambda: "8 of 20 prompts (40%), 0:03 left" in " ".join(texts(app)), pilot)
        await press(pilot, "J")
        assert isinstance(app.screen, TasksScreen)
        (row,) = app.screen.query_one(TaskRows).rows
        assert row_text(row).startswith("heads over all prompts, L5.N371: attributing to the heads: 8 of 20")
        await press(pilot, "s")
        await settle(pilot)
        assert asked.token.cancelled
        await until(lambda: app.screen.query_one(TaskRows).rows[0].how == "stopped", pilot)
        await press(pilot, "J")
        assert app.screen is app.walk_screen
        assert "This was stopped." in " ".join(texts(app))


async def test_the_wait_of_an_ablation_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = CannedExplorer(hostile=False)
    async with running(explorer, LARGE) as (app, pilot):
        await press(pilot, "3")
        asked = Question(CancelToken())
        asked.hear(Progress("running them without L3.H2", 8, 20, "prompts", 2.0, 3.0, stage=3, stages=3))
        monkeypatch.setattr(explorer, "ask", lambda *_: asked)
        await press(pilot, "d")
        shown = " ".join(str(each) for each in texts(app))
        assert "3 of 3: running them without L3.H2: 8 of 20 prompts (40%), 0:03 left… esc stops" in shown


def test_every_kind_of_question_has_words() -> None:
    package = Path(tui_lookups.tui.__file__).parent
    put = re.compile(r"""queries\.ask(?:_telling)?\(\s*"([\w -]+)\"""")
    kinds = {kind for path in package.rglob("*.py") for kind in put.findall(path.read_text("utf-8"))}
    assert len(kinds) > 25
    spoken = {"save session", "delete session"}  # words as they are
    assert kinds - spoken <= set(WORDS)
