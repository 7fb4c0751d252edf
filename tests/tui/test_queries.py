"""Late answers are dropped; superseded questions are cancelled."""

from __future__ import annotations

from collections.abc import Callable

from textual.message import Message

from tests.tui.canned import CannedExplorer
from tui_lookups.errors import BadIdError
from tui_lookups.tui.state.queries import Answered, Queries, explain_error


class Desk:
    """`Queries` whose messages are delivered by hand, as the event loop would."""

    def __init__(self) -> None:
        self.posted: list[Answered] = []
        self.explorer = CannedExplorer(hold=True)
        self.queries = Queries(self.explorer, self.post)
        self.got: list[object] = []

    def post(self, message: Message) -> None:
        assert isinstance(message, Answered)
        self.posted.append(message)

    def ask(self, kind: str, question: Callable[[], object]) -> None:
        self.queries.ask(kind, question, self.got.append, lambda error: self.got.append(error))

    def deliver(self) -> None:
        for message in self.posted:
            self.queries.deliver(message)


def test_an_answer_arrives_once() -> None:
    desk = Desk()
    desk.ask("a", lambda: 1)
    assert desk.queries.waiting("a")
    desk.explorer.release()
    desk.deliver()
    assert desk.got == [1]
    assert not desk.queries.waiting("a")


def test_a_superseded_question_is_cancelled() -> None:
    desk = Desk()
    desk.ask("a", lambda: 1)
    desk.ask("a", lambda: 2)
    desk.ask("b", lambda: 3)
    desk.explorer.release()
    desk.deliver()
    assert desk.got == [2, 3]


def test_an_answer_already_on_its_way_is_dropped_when_it_is_late() -> None:
    desk = Desk()
    desk.ask("a", lambda: 1)
    desk.explorer.release()  # the answer is posted, not yet delivered
    desk.ask("a", lambda: 2)
    desk.deliver()
    assert desk.got == [2]


def test_cancel_drops_what_is_on_its_way() -> None:
    desk = Desk()
    desk.ask("a", lambda: 1)
    desk.explorer.release()
    desk.queries.cancel_all()
    desk.deliver()
    assert desk.got == []


def test_failures_are_answers() -> None:
    desk = Desk()
    error = BadIdError("No.", "Try 1.2.")

    def fail() -> object:
        raise error

    desk.ask("a", fail)
    desk.explorer.release()
    desk.deliver()
    assert desk.got == [error]


def test_errors_as_two_sentences() -> None:
    assert explain_error(BadIdError("No.", "Try 1.2.")) == ("No.", "Try 1.2.")
    message, hint = explain_error(ZeroDivisionError("[red]"))
    assert message == "internal error: ZeroDivisionError: [red]"
    assert "defect" in hint


def test_news_on_the_way_arrives_and_leaves_the_question_open() -> None:
    desk = Desk()
    heard: list[str] = []

    def question(tell: Callable[[str], None]) -> int:
        tell("half")
        return 2

    desk.queries.ask_telling("a", question, heard.append, desk.got.append, desk.got.append)
    desk.explorer.release()
    desk.queries.deliver(desk.posted[0])
    assert heard == ["half"]
    assert desk.queries.waiting("a")
    desk.queries.deliver(desk.posted[1])
    assert desk.got == [2]
    assert not desk.queries.waiting("a")


def test_news_of_a_cancelled_question_is_dropped() -> None:
    desk = Desk()
    heard: list[str] = []
    desk.queries.ask_telling("a", lambda tell: tell("late"), heard.append, desk.got.append, desk.got.append)
    desk.explorer.release()
    desk.queries.cancel("a")
    desk.deliver()
    assert heard == []
    assert desk.got == []


def test_nothing_is_kept_of_questions_that_are_answered() -> None:
    desk = Desk()
    for number in range(50):  # a kind of its own for each head that is looked at
        desk.ask(f"words of head {number}", lambda: None)
    desk.explorer.release()
    desk.deliver()
    assert len(desk.got) == 50
    held = [value for value in vars(desk.queries).values() if isinstance(value, dict | list | set)]
    assert not any(held)


def test_of_a_stopped_question_and_its_answer_one_arrives() -> None:
    desk = Desk()
    desk.ask("a", lambda: 1)
    desk.explorer.release()  # the answer is posted
    desk.queries.stop("a")
    desk.deliver()
    assert desk.got == [1]
