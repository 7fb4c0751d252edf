"""What is being done to make a model ready, for the status: stage n of m, how far, for how long."""

from __future__ import annotations

import time
from dataclasses import replace

from tui_lookups.errors import LoadingStoppedError
from tui_lookups.progress import Progress, Say, as_progress


class Doing:
    """Is told by whoever works at it, on any thread.

    The stages are the files, tokenising, repeated texts, torch, the weights, a check of them, and compiling.
    """

    def __init__(self, *, compiles: bool) -> None:
        self.stages = 6 + compiles
        self.stopped = False
        """Whether the person stopped the loading of the weights; set from any thread."""
        self._told, self._since = Progress("starting"), time.monotonic()

    def say(self, news: Progress | str) -> None:
        """This is being done."""
        now = as_progress(news)
        if now.what != self._told.what:
            self._since = time.monotonic()
        self._told = now

    @property
    def progress(self) -> Progress:
        """What was told last, and for how long it has been done."""
        return replace(self._told, seconds=time.monotonic() - self._since)

    def require_going(self) -> None:
        """Raises LoadingStoppedError once loading was stopped."""
        if self.stopped:
            raise LoadingStoppedError(
                "Loading the model was stopped.", "The app's list of what is under way goes on with it."
            )

    def stage(self, first: int, last: int | None = None, *, stops: bool = False) -> Say:
        """Say what is done as a stage: `first`, up to `last` one more for each new thing.

        `stops`: saying raises LoadingStoppedError once loading was stopped.
        """
        things: list[str] = []

        def say(news: Progress | str) -> None:
            if stops:
                self.require_going()
            now = as_progress(news)
            if now.what not in things:
                things.append(now.what)
            stage = min(first + len(things) - 1, last or first)
            self.say(replace(now, stage=stage, stages=self.stages))

        return say
