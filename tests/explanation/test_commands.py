"""The commands' manners: the plan comes first, a person is asked, tables hold foreign text as text."""

from __future__ import annotations

import io
import json
import os
import pty
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.explanation.chat_server import EXPLANATION, ChatServer, is_scoring, sensible
from tests.explanation.chat_server import status as status_of
from tests.explanation.conftest import Bench
from tests.explanation.fake_examples import HEAD, NEURON, PROMPTS
from tests.fake_answers import HOSTILE, MODEL
from tui_lookups import cli
from tui_lookups.commands import invocation, tables, tables_explanation
from tui_lookups.commands.sending import plan_sentence
from tui_lookups.results import Plan, Status
from tui_lookups.settings import Settings

NAMES = (str(NEURON), str(HEAD))


class BenchExplorer:
    """An Explorer that knows of explanations only."""

    problems: tuple[str, ...] = ()

    def __init__(self, bench: Bench) -> None:
        self.settings = bench.settings
        self.explaining = bench.explaining
        self.head_scores = bench.scores
        self.explain = bench.explaining.explain
        self.score_explanation = bench.scores.score
        self.explanations = bench.explaining.explanations

    def status(self) -> Status:
        return Status("ready", "", "cpu", "float32", MODEL, None, None)

    def close(self) -> None:
        """The bench closes what it opened."""


class Shell:
    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        self._capture.readouterr()
        status = invocation.run(cli.app, list(arguments))
        return status, *self._capture.readouterr()


@pytest.fixture
def shell(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Shell]:
    import logging

    def open_explorer(settings: Settings) -> Any:
        return BenchExplorer(bench)

    monkeypatch.setattr(invocation, "open_explorer", open_explorer)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield Shell(capfd)
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


def test_the_plan_is_said_before_anything_is_sent(shell: Shell, server: ChatServer) -> None:
    said: list[int] = []
    server.reply = lambda message: (said.append(1), (EXPLANATION, None))[1]
    status, out, err = shell("explain", *NAMES)
    assert status == 0
    assert err.startswith("1 request to gpt-4 at http://127.0.0.1:")
    assert "tokens (estimated at one token per 3 bytes) and at most 200 back." in err
    assert EXPLANATION in out
    status, out, err = shell("explain", *NAMES)
    assert (status, err) == (0, "")
    assert "gpt-4 (cached)" in out
    assert len(said) == 1


def test_a_dry_run_sends_nothing(shell: Shell, server: ChatServer) -> None:
    status, out, err = shell("score", *NAMES, "--dry-run")
    assert (status, err) == (0, "")
    assert f"requests         {1 + 2 * PROMPTS}" in out
    assert not server.bodies


def test_a_score_for_people(shell: Shell) -> None:
    status, out, err = shell("score", *NAMES)
    assert status == 0
    assert f"{1 + 2 * PROMPTS} requests" in err
    row = next(line for line in out.splitlines() if line.startswith("this explanation"))
    assert row.split()[2:] == ["1.000", "1.000", "1.000", "1.000", "1.000", "4", "0", "4", "0", "0"]
    row = next(line for line in out.splitlines() if line.startswith("control: generic"))
    assert row.split()[2:] == ["0.500", "0.000", "–", "0.000", "0.500", "0", "0", "4", "4", "0"]


def test_all_heads_the_report_and_the_index_for_people(shell: Shell) -> None:
    status, out, _ = shell("score", "--worth-explaining", NAMES[0])
    assert status == 0
    assert "head explanation score  mean 0.583 sd 0.589 over 2" in out
    assert "L0.H0 of L5.N371 is left out. L0.H0 is active on none of the 8 prompts used to explain" in out
    assert "over 2" in shell("report")[1]
    assert len(shell("explanations", "L3.H1")[1].splitlines()) == 2
    assert shell("explanations", "zzz")[1] == "Nothing that was explained fits.\n"
    assert EXPLANATION in shell("explain", "--worth-explaining", NAMES[0])[1]


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch, typed: bytes) -> Iterator[None]:
    """stdin and stderr are a terminal at which somebody has typed."""
    ours, theirs = pty.openpty()
    os.write(ours, typed)
    with os.fdopen(theirs, "r+b", buffering=0, closefd=True) as stream:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream, write_through=True))  # type: ignore[type-var]
        monkeypatch.setattr(sys, "stderr", open(os.ttyname(stream.fileno()), "w"))  # noqa: SIM115
        yield
    os.close(ours)


@pytest.mark.parametrize(
    ("typed", "flags", "status", "sent"),
    [
        (b"n\n", [], 1, 0),
        (b"y\n", [], 0, 1 + 2 * PROMPTS),
        (b"", ["--yes"], 0, 1 + 2 * PROMPTS),
    ],
)
def test_a_person_is_asked_before_many_requests(
    shell: Shell,
    server: ChatServer,
    monkeypatch: pytest.MonkeyPatch,
    typed: bytes,
    flags: list[str],
    status: int,
    sent: int,
) -> None:
    with terminal(monkeypatch, typed):
        found = invocation.run(cli.app, ["score", *NAMES, *flags])
        monkeypatch.undo()
    assert found == status
    assert len(server.bodies) == sent


PLAN = Plan("gpt-4", "http://h/v1", 3, 2, 1500, 600, "counted with x", 0.0815, 5000, ("A note.",))


def test_plans_in_a_line() -> None:
    assert plan_sentence(PLAN) == (
        "3 requests to gpt-4 at http://h/v1 (2 more answers are in the cache): 1,500 tokens (counted with x) "
        "and at most 600 back, at most 0.0815 at the prices set."
    )
    assert plan_sentence(replace(PLAN, calls=0)) == "Nothing to send: all 2 answers are in the cache."


def text_of(result: object) -> str:
    return tables.to_text(tables.render(result), io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))


def test_a_plan_for_people() -> None:
    assert "cost             at most 0.0815" in text_of(PLAN)
    assert "no price is set" in text_of(replace(PLAN, cost=None))
    assert "A note." in text_of(PLAN)


def test_what_an_endpoint_says_reaches_no_terminal_as_it_is(
    make_bench: Callable[..., Bench], server: ChatServer
) -> None:
    server.reply = lambda message: (f"Words {HOSTILE.text}", None)
    bench = make_bench(explainer_model="[red]m\x1b[31m")
    found = [
        bench.explaining.explain(NEURON, HEAD),
        bench.scores.score(NEURON, HEAD),
        bench.scores.score_all(NEURON),
        bench.explaining.explain_all(NEURON),
        bench.explaining.explanations(),
        bench.explaining.plan(NEURON, HEAD),
    ]
    for result in found:
        text = text_of(result)
        assert "[red]m␛[31m" in text or "[/INST]␛[31m" in text
        assert not {"\x1b", "\u202e"} & set(text)


def test_usage_in_words() -> None:
    from tui_lookups.results import Usage

    assert tables_explanation.usage_text(Usage(3, 2, 1, 1500, 20, True, 0.5)) == (
        "3 asked, 2 cached, 1 failed, about 1,500 tokens sent, 20 received, cost 0.5000"
    )


def test_without_a_key_nobody_is_asked_whether_to_send(
    shell: Shell, bench: Bench, monkeypatch: pytest.MonkeyPatch, server: ChatServer
) -> None:
    plan = Plan("m", "e", 9, 0, 1, 1, "estimated", None, None, (), "There is no key.", "Set one.")
    monkeypatch.setattr(type(bench.scores), "plan", lambda *_, **__: plan)
    status, out, err = shell("score", *NAMES)
    assert (status, out) == (1, "")
    assert "Error: There is no key." in err
    assert "Hint: Set one." in err
    assert not server.bodies
    status, out, _ = shell("score", *NAMES, "--dry-run")
    assert status == 0
    assert "There is no key." in out


def test_a_score_of_nothing_fails_and_says_why(shell: Shell, server: ChatServer) -> None:
    server.reply = lambda message: ("Maybe" if is_scoring(message) else EXPLANATION, None)
    for subject in (NAMES, ("--worth-explaining", NAMES[0])):
        status, out, err = shell("score", *subject)
        assert status == 1
        assert "prompts: nothing was scored" in out
        assert "Error: Nothing was scored, since none of" in err
        assert "neither Yes nor No: 'Maybe'." in err
    assert json.loads(shell("score", *NAMES, "--json")[1])["score"]["unanswered"] == PROMPTS


def test_a_score_of_some_prompts_counts_them(shell: Shell, server: ChatServer) -> None:
    server.reply = lambda message: sensible(message) if " not " in message else ("Maybe", None)
    status, out, err = shell("score", *NAMES, "--no-control")
    assert (status, "Error" in err) == (0, False)
    assert f"answered         {PROMPTS // 2} of {PROMPTS} prompts" in out


def test_explaining_nothing_fails(shell: Shell, server: ChatServer) -> None:
    server.always = status_of(500)
    status, out, err = shell("explain", "--worth-explaining", NAMES[0])
    assert status == 1
    assert out.count("failed with status 500") == 3
    assert "Error: Nothing was explained." in err
