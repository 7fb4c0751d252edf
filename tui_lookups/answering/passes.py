"""Forward passes of a survey, run here or by workers of Ray: results come in the order of the passes.

1. Here each is a job of the model thread, run when its result is asked for.
2. Workers are given passes as far as they have room, also those of the next `ahead` groups of neurons, so
   that none is idle while the last ones of a group are run. A worker that dies has its pass run again, as a
   shard of a scan is (scan/ray/workers.py).
3. Which texts run together is decided before, by the kind of device alone: on the same kind (of CPUs: also
   with as many threads) the figures are the same, bit for bit, whoever runs them.

Workers are looked after on the model thread, a moment at a time: in between it answers whoever asks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from tui_lookups.answering.engine import Engine
from tui_lookups.errors import Cancelled, LookupsError, Poll
from tui_lookups.model_thread import CURRENT_TOKEN, Priority

if TYPE_CHECKING:
    from tui_lookups.model.lookup_model import LookupModel
    from tui_lookups.scan.ray.workers import RayWorkers

S = TypeVar("S")
B = TypeVar("B")
T = TypeVar("T")

ForwardPass = Callable[["LookupModel", Poll], Any]
"""What is run and read, in a form that can be sent to another process; never returns None."""

_AHEAD = 8
"""Groups of neurons whose passes workers are given before their turn: it bounds what waits for its turn."""

_STEP_SECONDS = 0.05
"""How long workers are waited for at once: so long a question may have to wait."""


@dataclass(frozen=True, slots=True)
class Asked(Generic[T]):
    """A question: its answer, where it is in the cache under `key`, or the work that is left.

    `made` is the answer from what the work gives.
    """

    key: str
    answer: T | None
    work: ForwardPass
    made: Callable[[Any], T]

    def by(self, engine: Engine) -> T:
        """The answer, worked out by this process where it is not known."""
        return self.answer or self.keep(engine, engine.on_model(self.work))

    def keep(self, engine: Engine, result: Any) -> T:
        """The answer from the work's result, kept in the cache."""
        return engine.keep(self.key, self.made(result))


class Passes(Protocol):
    """Whoever runs forward passes."""

    ahead: int
    """How many groups of neurons ahead of their turn passes are to be added."""

    def device(self) -> str:
        """The kind of device that they run on, such as "cuda"."""

    def add(self, passes: Iterable[ForwardPass]) -> None:
        """Have these run after those that were added before."""

    def next(self) -> Any:
        """What the next one gave. Raises what it raised, and Cancelled."""


class PassesHere:
    """Passes that this process runs, with the model that it has loaded."""

    ahead = 0

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: deque[ForwardPass] = deque()

    def device(self) -> str:
        """See `Passes.device`."""
        return self._engine.on_model(lambda model, poll: model.device.type)

    def add(self, passes: Iterable[ForwardPass]) -> None:
        """See `Passes.add`."""
        self._waiting.extend(passes)

    def next(self) -> Any:
        """See `Passes.next`."""
        return self._engine.on_model(self._waiting.popleft())


class PassesByWorkers:
    """Passes that workers of Ray run; these are borrowed when they are first needed.

    Args:
        borrowed: gives them back when it is left.
    """

    def __init__(self, engine: Engine, borrowed: ExitStack, ahead: int) -> None:
        self.ahead = ahead
        self._engine = engine
        self._borrowed = borrowed
        self._workers: RayWorkers | None = None
        self._device = ""
        self._waiting: deque[ForwardPass] = deque()
        self._under_way: deque[object] = deque()  # keys of tasks, in the order of their passes

    def device(self) -> str:
        """See `Passes.device`."""
        if self._workers is None:
            self._workers, report = self._borrowed.enter_context(self._engine.workers.borrowed())
            self._device = report.scanned.device
        return self._device

    def add(self, passes: Iterable[ForwardPass]) -> None:
        """See `Passes.add`."""
        self._waiting.extend(passes)

    def next(self) -> Any:
        """See `Passes.next`."""
        self.device()
        result = None
        while result is None:
            result = self._engine.thread.run(self._step, Priority.INTERACTIVE, CURRENT_TOKEN.get())
        self._under_way.popleft()
        return result

    def _step(self, poll: Poll) -> Any:
        """Hand out what there is room for; the result of the next pass, if it is there."""
        poll()
        workers = self._workers
        if workers is None or workers.closed:
            raise LookupsError("The workers were let go of.", "Ask again: what was done is kept.")
        room = workers.room() if workers.ready() else 0
        for _ in range(min(room, len(self._waiting))):
            key = object()
            workers.submit_work(key, self._waiting.popleft())
            self._under_way.append(key)
        return workers.take(self._under_way[0], _STEP_SECONDS) if self._under_way else None

    def drop(self) -> None:
        """Nobody asks for what is left."""
        workers, keys = self._workers, list(self._under_way)
        if workers is not None and keys:
            with suppress(Cancelled):  # closing: nobody has the workers do anything any more
                self._engine.thread.run(lambda _: workers.drop(keys))


def ahead_of_turn(
    passes: Passes, things: Iterable[S], begin: Callable[[S], B], end: Callable[[B], T]
) -> Iterator[T]:
    """`end(begin(thing))` of each, in order; `begin`, which adds passes, is called for some ahead of turn."""
    begun: deque[B] = deque()
    for thing in things:
        begun.append(begin(thing))
        if len(begun) > passes.ahead:
            yield end(begun.popleft())
    while begun:
        yield end(begun.popleft())


def in_turn(engine: Engine, passes: Passes, questions: Iterable[Asked[T]]) -> Iterator[T]:
    """The answers of these questions, in their order; the work of some is added ahead of their turn."""

    def begin(question: Asked[T]) -> Asked[T]:
        if question.answer is None:
            passes.add([question.work])
        return question

    def end(question: Asked[T]) -> T:
        return question.answer or question.keep(engine, passes.next())

    return ahead_of_turn(passes, questions, begin, end)


@contextmanager
def passes_of(engine: Engine, ahead: int = _AHEAD) -> Iterator[Passes]:
    """Whoever runs the passes of a survey, by the setting that says who scans; see `Passes.ahead`."""
    if engine.settings.engine != "ray":
        yield PassesHere(engine)
        return
    with ExitStack() as borrowed:
        passes = PassesByWorkers(engine, borrowed, ahead)
        try:
            yield passes
        finally:
            passes.drop()
