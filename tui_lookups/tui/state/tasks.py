"""What is under way in the app, and how the last things ended.

Questions of every screen are listed from when they are put; how one ended stays where it took long enough to
be waited for, failed, or was stopped. One that gave way to a newer question leaves without a word.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer, Question
    from tui_lookups.progress import Progress
    from tui_lookups.results import Status

How = Literal["done", "stopped", "failed"]

WAIT_SECONDS = 0.5
"""What takes less is nothing to wait for."""
_KEPT = 50

WORDS = {
    "neurons": "ranking the neurons",
    "prompts": "prompts",
    "heads": "heads",
    "overview": "heads over all prompts",
    "sources": "what the head reads",
    "attended": "what the largest heads attend to",
    "inputs": "what fires the neuron",
    "why": "why this token",
    "removed": "without the component",
    "ablate": "ablation",
    "export": "writing the export",
    "open": "reading the export",
    "plan": "what the request would cost",
    "request": "request to the explainer",
    "head-run": "all heads in words",
    "figures": "figures at the peaks",
    "promoted": "tokens the neuron promotes",
    "predictions": "what follows",
    "activity": "how often neurons fire",
    "atlas": "atlas",
    "candidates": "tokens that match",
    "session": "the session",
    "notes": "notes",
    "root": "trace",
    "activations": "activations on the text",
    "given": "the text",
    "preview": "cached prompts",
    "story": "the first token and the tour",
    "search": "searching the corpus",
    "served-by": "neurons that the head serves",
    "reads": "what the head reads for the neuron",
    "all-reads": "what the head reads for each neuron",
    "shared-heads": "heads of the marked neurons",
    "diff-weights": "weights of two models",
    "diff-activations": "activations of two models",
    "diff-neuron": "the neuron in two models",
    "diff-heads": "its heads in two models",
    "revisions": "the neuron over revisions",
    "survey": "survey",
    "survey-plan": "what the survey would cost",
    "head-table": "what is known of the heads",
    "head-table-overview": "heads over all prompts",
    "explanations": "what was explained",
    "restore": "the last session",
    "sessions": "the sessions",
    "name": "the token of that name",
    "write": "writing the explanation",
}
"""Questions by their kind."""

OF_NEURON = frozenset(("prompts", "heads", "overview", "sources", "attended", "inputs", "figures"))
"""Kinds that are about the open neuron."""


@dataclass(slots=True, eq=False)
class Task:
    """A question under way; `stop` gives it up."""

    what: str
    question: Question
    stop: Callable[[], None]
    begun: float

    @property
    def progress(self) -> Progress | None:
        """How far it is, as it was told last."""
        return self.question.progress


class Ended(NamedTuple):
    """Something that has ended, and how; `said` is why it failed."""

    what: str
    seconds: float
    how: How
    said: str


class Row(NamedTuple):
    """A line of the list.

    Attributes:
        stop: None for what no key stops: `why` says why. Of what can be stopped it says what comes of that.
        resume: goes on with what was stopped.
    """

    what: str
    seconds: float
    how: How | None
    progress: Progress | None = None
    said: str = ""
    stop: Callable[[], None] | None = None
    why: str = ""
    resume: Callable[[], None] | None = None


_WEIGHTS = 4
"""The first stage of loading that can be stopped: before it are files and texts."""


def _loading(status: Status, explorer: Explorer) -> list[Row]:
    """What makes the model ready, or that this was stopped."""
    loading = status.loading
    if status.stage == "stopped":
        return [Row("loading the model", 0.0, "stopped", resume=explorer.start)]
    if loading is None:
        return []
    if loading.stage < _WEIGHTS:
        why = "Nothing is answered without files and texts: only quitting stops this."
        return [Row("", loading.seconds, None, loading, why=why)]
    why = "Loading stops after the tensor under way; what is cached goes on being shown."
    return [Row("", loading.seconds, None, loading, stop=explorer.stop_loading, why=why)]


def _scan(status: Status, explorer: Explorer) -> list[Row]:
    """The scan: under way, stopped, or made by another process."""
    scan = status.scan
    if scan is not None and scan.state == "stopped":
        far = f"{scan.prompts:,} of {scan.total_prompts:,} prompts"
        return [Row("scan", scan.seconds, "stopped", said=far, resume=explorer.start)]
    if scan is None or (under_way := scan.under_way) is None:
        return []
    if scan.state == "waiting":
        why = "Another lookups-tui makes this scan: it is stopped there."
        return [Row("", under_way.seconds, None, under_way, why=why)]
    why = "The scan stops after the batch under way and keeps what it has."
    return [Row("", under_way.seconds, None, under_way, stop=explorer.stop_scan, why=why)]


class Tasks:
    """What is under way, oldest first, and what has ended, newest first. Used on the event loop only."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self.running: list[Task] = []
        self.ended: deque[Ended] = deque(maxlen=_KEPT)

    def begin(self, kind: str, about: str, question: Question, stop: Callable[[], None]) -> Task:
        """List a question."""
        what = ", ".join(filter(None, (WORDS.get(kind, kind), about)))
        task = Task(what, question, stop, self._clock())
        self.running.append(task)
        return task

    def end(self, task: Task, how: How, said: str = "") -> None:
        """It was answered, failed, or was stopped."""
        self.drop(task)
        seconds = self._clock() - task.begun
        if how != "done" or seconds >= WAIT_SECONDS:
            self.ended.appendleft(Ended(task.what, seconds, how, said))

    def drop(self, task: Task) -> None:
        """Nobody waits for it any more."""
        self.running.remove(task)

    def rows(self, status: Status, explorer: Explorer) -> tuple[Row, ...]:
        """What makes ready, the scan, the questions that are waited for, and what has ended."""
        now = self._clock()
        rows = [*_loading(status, explorer), *_scan(status, explorer)]
        rows += [
            Row(task.what, now - task.begun, None, task.progress, stop=task.stop)
            for task in self.running
            if now - task.begun >= WAIT_SECONDS
        ]
        return (*rows, *(Row(ended.what, ended.seconds, ended.how, said=ended.said) for ended in self.ended))
