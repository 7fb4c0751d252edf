"""What the cache could not keep or had to drop, told once a sentence, one after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

_APART_SECONDS = 6.0
"""As long as a message stays on the bottom line."""


class Problems:
    """Remembers what was told. `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: set[str] = set()
        self._last = float("-inf")

    def to_tell(self, problems: Sequence[str]) -> str | None:
        """The next sentence that was not told, once the one before has been on screen."""
        now = self._clock()
        if now - self._last < _APART_SECONDS:
            return None
        for problem in problems:
            if problem not in self._told:
                self._told.add(problem)
                self._last = now
                return problem
        return None
