"""How far something under way is: one type for loading, scans, passes over prompts and requests.

1. Whoever works through several things counts them (`Count`, or `batches` where they are run in batches),
   and tells at each step what is done, of how many, for how long, and how long the rest will take.
2. It is told to whoever listens in this context (`heard_by`), and is handed down nowhere: a question's thread
   has its listener, and the model thread runs a job in the context of the one who asked for it.
3. Who counts something as a whole has its parts `heard_by` nobody; parts that follow each other are `staged`.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TypeAlias

from tui_lookups.errors import Poll
from tui_lookups.visible import visible


@dataclass(frozen=True, slots=True)
class Progress:
    """How far something is.

    Attributes:
        what: it is, in a few words.
        done, total: so many of so many `unit`; without a unit only the share counts. A total of 0: nobody
            knows of how many.
        seconds: it has taken; seconds_left: the rest will take, None where nobody can tell yet.
        note: another figure. trouble: what stands in its way.
        stage, stages: the n-th of m parts; 0 where it is one.
        worked: the share that is done, where that is known better than by whole things.
    """

    what: str
    done: int = 0
    total: int = 0
    unit: str = ""
    seconds: float = 0.0
    seconds_left: float | None = None
    note: str = ""
    trouble: str = ""
    stage: int = 0
    stages: int = 0
    worked: float | None = None

    @property
    def share(self) -> float | None:
        """What is done of it, 0 to 1; None where nobody knows."""
        if self.worked is not None:
            return self.worked
        return min(1.0, self.done / self.total) if self.total else None

    def bar(self, width: int = 10) -> str:
        """What is done as "###-------"; blank where nobody knows."""
        if self.share is None:
            return " " * width
        full = int(self.share * width)
        return "#" * full + "-" * (width - full)

    @property
    def how_far(self) -> str:
        """Without what it is: "6 of 20 prompts (30%), 0:04 left"; "" where nothing is known."""
        share = "" if self.share is None else f"{self.share:.0%}"
        if self.unit and self.total:
            share = f"{self.done:,} of {self.total:,} {self.unit} ({share})"
        left = "" if self.seconds_left is None else f"{clock_text(self.seconds_left)} left"
        return ", ".join(filter(None, (share, self.note, left)))

    @property
    def sentence(self) -> str:
        """For people: "5 of 6: reading the weights of demo, 41%"."""
        stage = f"{self.stage} of {self.stages}: " if self.stages else ""
        between = ": " if self.unit and self.total else ", "
        far = f"{between}{self.how_far}" if self.how_far else ""
        trouble = f"; {visible(self.trouble)}" if self.trouble else ""
        return f"{stage}{visible(self.what)}{far}{trouble}"

    def within(self, whole: Progress) -> Progress:
        """This as a part of a whole that has stages: "2 of 5: step1000, reading the weights, 41%"."""
        return replace(self, what=f"{whole.what}, {self.what}", stage=whole.stage, stages=whole.stages)


Hear: TypeAlias = Callable[[Progress], None]
"""Is told how far something is, on whichever thread works at it."""

Say: TypeAlias = Callable[["Progress | str"], None]
"""Is told what is being done: in a few words, or with how far it is."""


def as_progress(news: Progress | str) -> Progress:
    """What was said, as progress; of words nothing is known but these."""
    return Progress(news) if isinstance(news, str) else news


_HEARS: ContextVar[Hear | None] = ContextVar("HEARS", default=None)


def clock_text(seconds: float) -> str:
    """Seconds as "0:07" or "1:02:03"."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def megabytes(done: int, total: int) -> str:
    """Bytes as "0.3 of 2.4 MB"; "" where nobody knows of how many."""
    return f"{done / 1e6:.1f} of {total / 1e6:.1f} MB" if total else ""


def listener() -> Hear:
    """Who listens in this context: nobody, where nobody does."""
    return _HEARS.get() or (lambda _: None)


def tell(progress: Progress) -> None:
    """Tell whoever listens in this context, if anybody does."""
    listener()(progress)


@contextmanager
def heard_by(hear: Hear | None) -> Iterator[None]:
    """What is told inside goes to `hear`; None: to nobody."""
    token = _HEARS.set(hear)
    try:
        yield
    finally:
        _HEARS.reset(token)


@contextmanager
def staged(stage: int, stages: int) -> Iterator[None]:
    """What is told inside is the part `stage` (from 1) of `stages`."""
    hear = listener()

    def of_stage(progress: Progress) -> None:
        hear(replace(progress, stage=stage, stages=stages))

    with heard_by(of_stage):
        yield


class Count:
    """Counts through `total` things, of which `known` were there before and took no time."""

    def __init__(self, what: str, total: int, unit: str = "", *, known: int = 0) -> None:
        self.total = total
        self._what, self._unit, self._known = what, unit, known
        self._began = time.monotonic()

    def at(self, done: int, note: str = "") -> Progress:
        """How far it is with `done` of them, those known included."""
        seconds, worked = time.monotonic() - self._began, done - self._known
        left = seconds / worked * (self.total - done) if worked > 0 and self.total else None
        return Progress(self._what, done, self.total, self._unit, seconds, left, note)


def counting(poll: Poll, what: str, total: int, unit: str) -> Poll:
    """`poll`, called before each of `total` pieces of work, telling how many are done."""
    count, done = Count(what, total, unit), itertools.count()

    def polled() -> None:
        poll()
        tell(count.at(next(done)))

    return polled


def batches(found: Sequence[range], what: str, unit: str = "prompts") -> Iterator[range]:
    """Batches one after the other; before each is told how many of their rows are done."""
    count = Count(what, found[-1].stop if found else 0, unit)
    for batch in found:
        tell(count.at(batch.start))
        yield batch
