"""A made-up Ray whose workers are of this process, and go away when a test says so."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

from tui_lookups.scan.ray.workers import ModelWorker


class Gone(Exception):
    """No answer."""


class Actor:
    """A worker in this process. `answers` is asked before every answer."""

    def __init__(self, load: Callable[[], Any]) -> None:
        self.worker = ModelWorker(load)
        self.given = 0
        self.answers: Callable[[], bool] = lambda: True
        self.report = SimpleNamespace(remote=lambda: (self, self.worker.report))
        self.scan = SimpleNamespace(remote=partial(self._put, self.worker.scan))
        self.run = SimpleNamespace(remote=partial(self._put, self.worker.run))

    def _put(self, work: Callable[..., Any], *given: Any) -> tuple[Actor, Callable[[], Any]]:
        self.given += 1
        return self, partial(work, *given)


class MadeUpRay:
    """Two processors; a reference is an actor and what it would do, done when it is asked for."""

    exceptions = SimpleNamespace(RayTaskError=ArithmeticError, RayError=Gone)

    def __init__(self) -> None:
        self.actors: list[Actor] = []
        self.unable = 0  # so many of the first actors never answer

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def nodes(self) -> list[dict[str, bool]]:
        return [{"Alive": True}, {"Alive": True}]

    def is_initialized(self) -> bool:
        return True

    def kill(self, actor: Actor) -> None:
        self.actors.remove(actor)

    def remote(self, **_: object) -> Any:
        def make(load: Callable[[], Any], sharing: int) -> Actor:
            actor = Actor(load)
            if self.unable > len(self.actors):
                actor.answers = lambda: False
            self.actors.append(actor)
            return actor

        return lambda kind: SimpleNamespace(remote=make)

    def wait(self, references: list[Any], **_: object) -> tuple[list[Any], list[Any]]:
        return references[:1], references[1:]

    def get(self, reference: tuple[Actor, Callable[[], Any]]) -> Any:
        actor, work = reference
        if not actor.answers():
            raise Gone
        return work()


def away(first: int, last: int) -> Callable[[], bool]:
    """Answers, but for those from the `first` on to before the `last`."""
    asked = 0

    def answers() -> bool:
        nonlocal asked
        asked += 1
        return not first <= asked < last

    return answers
