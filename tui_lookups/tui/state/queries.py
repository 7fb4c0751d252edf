"""Putting questions to the explorer and getting the answers back on the event loop.

1. A question has a kind and a number; a new one of the same kind cancels the one before.
2. The explorer answers on a thread of its own; the answer travels as an `Answered` message.
3. On the event loop an answer is dropped unless the question of its number is the open one of its kind: it
   is for something no longer on screen. Nothing is kept of a question that is answered.
4. What a question tells while it is being answered travels the same way, and is dropped the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from textual.message import Message

from tui_lookups.errors import LookupsError, as_lookups_error
from tui_lookups.tui.state.tasks import OF_NEURON, Tasks

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer, Question
    from tui_lookups.progress import Progress
    from tui_lookups.tui.state.tasks import How, Task

T = TypeVar("T")
S = TypeVar("S")


class Answered(Message):
    """An answer or a failure, to be delivered on the event loop; `final` is False for news on the way."""

    def __init__(
        self,
        kind: str,
        number: int,
        deliver: Callable[[], None],
        *,
        final: bool = True,
        error: BaseException | None = None,
    ) -> None:
        super().__init__()
        self.kind = kind
        self.number = number
        self.deliver = deliver
        self.final = final
        self.error = error


class StoppedError(LookupsError):
    """A question that was given up in the list of what is under way."""


class _Open(NamedTuple):
    """A question under way, what is told where it fails, since when, and its line in the list."""

    number: int
    question: Question
    fail: Callable[[BaseException], None]
    begun: float
    task: Task


class Queries:
    """The questions under way, at most one of each kind. Used on the event loop only."""

    def __init__(
        self,
        explorer: Explorer,
        post: Callable[[Message], object],
        failed: Callable[[str], None] = lambda kind: None,
        tasks: Callable[[], Tasks] | None = None,
    ) -> None:
        """`failed` is told the kind of a question that failed and has nobody of its own to say so to.

        `tasks` is the list of what is under way, its own where there is none.
        """
        self._explorer = explorer
        self._post = post
        self._failed = failed
        self.errors: dict[str, tuple[str, str]] = {}
        """What went wrong with those, as a sentence and a hint, until they are put again."""
        self._numbers = count()
        own = Tasks()
        self._tasks = tasks or (lambda: own)
        self.subject: Callable[[], str] = str
        """The neuron that is open."""
        self._open: dict[str, _Open] = {}

    def ask(
        self,
        kind: str,
        question: Callable[[], T],
        done: Callable[[T], None],
        failed: Callable[[BaseException], None] | None = None,
        about: str = "",
        number: int | None = None,
    ) -> None:
        """Put `question`; `done` or `failed` is called on the event loop unless it is superseded.

        `about` is the neuron or head it is about, for the list of what is under way; `number` is its own, a
        new one by default.
        """
        self.cancel(kind)
        self.errors.pop(kind, None)
        own = next(self._numbers) if number is None else number
        fail = partial(self._keep_error, kind) if failed is None else failed

        def answered(result: T) -> None:
            self._post(Answered(kind, own, lambda: done(result)))

        def broke(error: BaseException) -> None:
            self._post(Answered(kind, own, lambda: fail(error), error=error))

        begun = monotonic()
        put = self._explorer.ask(question, answered, broke)
        about = about or (self.subject() if kind in OF_NEURON else "")
        task = self._tasks().begin(kind, about, put, partial(self.stop, kind))
        self._open[kind] = _Open(own, put, fail, begun, task)

    def ask_telling(
        self,
        kind: str,
        question: Callable[[Callable[[S], None]], T],
        heard: Callable[[S], None],
        done: Callable[[T], None],
        failed: Callable[[BaseException], None] | None = None,
        about: str = "",
    ) -> None:
        """Like `ask`; `question` is given a function to tell what there is so far, which `heard` gets."""
        number = next(self._numbers)

        def tell(news: S) -> None:
            self._post(Answered(kind, number, lambda: heard(news), final=False))

        self.ask(kind, lambda: question(tell), done, failed, about, number)

    def _keep_error(self, kind: str, error: BaseException) -> None:
        self.errors[kind] = explain_error(error)
        self._failed(kind)

    def cancel(self, *kinds: str) -> None:
        """Forget the open questions of these kinds; their answers will be dropped."""
        for kind in kinds:
            open_ = self._open.pop(kind, None)
            if open_ is not None:
                open_.question.cancel()
                self._tasks().drop(open_.task)

    def stop(self, kind: str) -> None:
        """Give a question up where it is listed: whoever waits for it is told that it was stopped."""
        open_ = self._open.get(kind)
        if open_ is not None:
            error = StoppedError("This was stopped.", "Ask for it again to start anew.")
            open_.question.cancel()
            self._post(Answered(kind, open_.number, lambda: open_.fail(error), error=error))

    def cancel_all(self) -> None:
        """Forget every open question."""
        self.cancel(*self.open_kinds)

    def waiting(self, kind: str) -> bool:
        """Whether a question of this kind is under way."""
        return kind in self._open

    def seconds(self, kind: str) -> int:
        """Whole seconds that a question of this kind has been under way; 0 where none is."""
        return int(monotonic() - self._open[kind].begun) if kind in self._open else 0

    def progress(self, kind: str) -> Progress | None:
        """How far a question of this kind is, as it was told last; None where nothing was."""
        return self._open[kind].question.progress if kind in self._open else None

    def how_far(self, kind: str, *, counts: bool = True) -> str:
        """How far a question of this kind is, in words: its stage and the time left, or the seconds so far.

        `counts`: whether to say the seconds.
        """
        progress, seconds = self.progress(kind), self.seconds(kind)
        told = "" if progress is None else progress.sentence
        timed = progress is not None and progress.seconds_left is not None
        since = f"{seconds} s" if seconds and counts and not timed else ""
        return ", ".join(filter(None, (told, since)))

    @property
    def open_kinds(self) -> tuple[str, ...]:
        """The kinds of the questions that are under way."""
        return tuple(self._open)

    @property
    def busy(self) -> bool:
        """Whether any question is under way."""
        return bool(self._open)

    def deliver(self, answer: Answered) -> None:
        """Hand over an answer if it is still wanted."""
        open_ = self._open.get(answer.kind)
        if open_ is None or open_.number != answer.number:
            return
        if answer.final:
            del self._open[answer.kind]
            self._end(open_.task, answer.error)
        answer.deliver()

    def _end(self, task: Task, error: BaseException | None) -> None:
        how: How = "done" if error is None else "stopped" if isinstance(error, StoppedError) else "failed"
        self._tasks().end(task, how, " ".join(explain_error(error)) if how == "failed" and error else "")


def explain_error(error: BaseException) -> tuple[str, str]:
    """An error as one sentence and one hint for the screen."""
    said = as_lookups_error(error)
    return said.message, said.hint
