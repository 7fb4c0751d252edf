"""Putting questions to the explorer and getting the answers back on the event loop.

1. A question has a kind; a new one of the same kind cancels the one before and gets the next generation.
2. The explorer answers on a thread of its own; the answer travels as an `Answered` message.
3. On the event loop an answer whose generation has passed is dropped: it is for something no longer
   on screen.
4. What a question tells while it is being answered travels the same way, and is dropped the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from textual.message import Message

from tui_lookups.errors import as_lookups_error

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer, Question
    from tui_lookups.progress import Progress

T = TypeVar("T")
S = TypeVar("S")


class Answered(Message):
    """An answer or a failure, to be delivered on the event loop; `final` is False for news on the way."""

    def __init__(
        self, kind: str, generation: int, deliver: Callable[[], None], *, final: bool = True
    ) -> None:
        super().__init__()
        self.kind = kind
        self.generation = generation
        self.deliver = deliver
        self.final = final


class Queries:
    """The questions under way, at most one of each kind. Used on the event loop only."""

    def __init__(
        self,
        explorer: Explorer,
        post: Callable[[Message], object],
        failed: Callable[[str], None] = lambda kind: None,
    ) -> None:
        """`failed` is told the kind of a question that failed and has nobody of its own to say so to."""
        self._explorer = explorer
        self._post = post
        self._failed = failed
        self.errors: dict[str, tuple[str, str]] = {}
        """What went wrong with those, as a sentence and a hint, until they are put again."""
        self._generation: dict[str, int] = {}
        self._open: dict[str, Question] = {}
        self._begun: dict[str, float] = {}

    def ask(
        self,
        kind: str,
        question: Callable[[], T],
        done: Callable[[T], None],
        failed: Callable[[BaseException], None] | None = None,
    ) -> None:
        """Put `question`; `done` or `failed` is called on the event loop unless it is superseded."""
        self.cancel(kind)
        self.errors.pop(kind, None)
        generation = self._generation[kind]
        fail = partial(self._keep_error, kind) if failed is None else failed

        def answered(result: T) -> None:
            self._post(Answered(kind, generation, lambda: done(result)))

        def broke(error: BaseException) -> None:
            self._post(Answered(kind, generation, lambda: fail(error)))

        self._begun[kind] = monotonic()
        self._open[kind] = self._explorer.ask(question, answered, broke)

    def ask_telling(
        self,
        kind: str,
        question: Callable[[Callable[[S], None]], T],
        heard: Callable[[S], None],
        done: Callable[[T], None],
        failed: Callable[[BaseException], None] | None = None,
    ) -> None:
        """Like `ask`; `question` is given a function to tell what there is so far, which `heard` gets."""
        generation = self._generation.get(kind, 0) + 1

        def tell(news: S) -> None:
            self._post(Answered(kind, generation, lambda: heard(news), final=False))

        self.ask(kind, lambda: question(tell), done, failed)

    def _keep_error(self, kind: str, error: BaseException) -> None:
        self.errors[kind] = explain_error(error)
        self._failed(kind)

    def cancel(self, *kinds: str) -> None:
        """Forget the open questions of these kinds; their answers will be dropped."""
        for kind in kinds:
            self._generation[kind] = self._generation.get(kind, 0) + 1
            question = self._open.pop(kind, None)
            if question is not None:
                question.cancel()

    def cancel_all(self) -> None:
        """Forget every open question."""
        self.cancel(*tuple(self._open))

    def waiting(self, kind: str) -> bool:
        """Whether a question of this kind is under way."""
        return kind in self._open

    def seconds(self, kind: str) -> int:
        """Whole seconds that a question of this kind has been under way; 0 where none is."""
        return int(monotonic() - self._begun[kind]) if kind in self._open else 0

    def progress(self, kind: str) -> Progress | None:
        """How far a question of this kind is; None where none is under way, or it does not tell."""
        question = self._open.get(kind)
        return None if question is None else question.progress

    @property
    def busy(self) -> bool:
        """Whether any question is under way."""
        return bool(self._open)

    def deliver(self, answer: Answered) -> None:
        """Hand over an answer if it is still wanted."""
        if answer.generation != self._generation.get(answer.kind):
            return
        if answer.final:
            self._open.pop(answer.kind, None)
        answer.deliver()


def explain_error(error: BaseException) -> tuple[str, str]:
    """An error as one sentence and one hint for the screen."""
    said = as_lookups_error(error)
    return said.message, said.hint
