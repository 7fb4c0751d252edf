"""How far a piece of work is, from whoever does it to whoever waits for it.

1. Work that has steps counts each of them as it begins, on the thread that does it.
2. Who set the work to that thread hears of it; elsewhere nobody does, and counting costs nothing.
3. Of steps within a step nobody hears: of twenty prompts each is a step, not the blocks that it runs through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic


@dataclass(frozen=True, slots=True)
class Progress:
    """The step under way, from 1 on, of so many; `seconds_left` is None while nothing is known of it."""

    what: str
    step: int
    steps: int
    seconds_left: float | None


_HEARS: ContextVar[Callable[[Progress], None] | None] = ContextVar("_HEARS", default=None)


@contextmanager
def heard_by(hears: Callable[[Progress], None] | None) -> Iterator[None]:
    """Who hears how far the work within is."""
    before = _HEARS.set(hears)
    try:
        yield
    finally:
        _HEARS.reset(before)


class Steps:
    """Steps of one kind, counted and timed as they begin; `what` is one of them, such as "block"."""

    def __init__(self, what: str, steps: int) -> None:
        self._what, self._steps = what, steps
        self._begun = monotonic()
        self._done = 0

    def begin(self, count: int = 1) -> None:
        """The next step, or several at once, begins: what was begun before is done."""
        hears = _HEARS.get()
        if hears is not None:
            each = (monotonic() - self._begun) / self._done if self._done else None
            left = None if each is None else each * (self._steps - self._done)
            hears(Progress(self._what, self._done + 1, self._steps, left))
        self._done += count
