"""The client against a real server: what is sent, what comes back, and everything that goes wrong."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

import pytest

from tests.explanation.chat_server import (
    EXPLANATION,
    ChatServer,
    Fault,
    body_of,
    break_off,
    completion,
    drop,
    hang,
    refuse,
    status,
)
from tests.explanation.conftest import KEY
from tui_lookups.errors import LookupsError
from tui_lookups.explanation.client import ChatClient
from tui_lookups.explanation.dialect import THINKING_TOKENS, Dialect
from tui_lookups.explanation.endpoint import (
    DEFAULT_BASE_URL,
    Endpoint,
    ExplainerError,
    find_endpoint,
    find_key,
)
from tui_lookups.explanation.failures import AnswerError
from tui_lookups.explanation.requests import ChatAnswer, ChatRequest, score_request
from tui_lookups.results import Example

EXPLAIN = ChatRequest("What is it?", 200, logprobs=False)
SCORE = score_request(EXPLANATION, Example(1, "He went not there, but", " because", ()))

Ask = Callable[..., ChatAnswer]


@pytest.fixture
def ask(server: ChatServer) -> Ask:
    dialect = Dialect()

    def put(
        request: ChatRequest = EXPLAIN,
        on_text: Callable[[str], None] | None = None,
        *,
        key: str = KEY,
        timeout: float = 5.0,
        retries: int = 0,
        base_url: str | None = None,
    ) -> ChatAnswer:
        async def main() -> ChatAnswer:
            endpoint = Endpoint(base_url or server.base_url, "gpt-4")
            async with ChatClient(endpoint, key, dialect, timeout=timeout, retries=retries) as client:
                return await client.ask(request, on_text)

        return asyncio.run(main())

    return put


# --- what is sent, and what comes back ---


def test_an_answer_in_one_piece(server: ChatServer, ask: Ask) -> None:
    answer = ask()
    assert (answer.text, answer.finish_reason, answer.answered_by) == (EXPLANATION, "stop", "tester-0001")
    assert (answer.input_tokens, answer.output_tokens, answer.alternatives) == (50, 7, None)
    assert server.bodies == [
        {
            "model": "gpt-4",
            "messages": [{"role": "user", "content": "What is it?"}],
            "max_tokens": 200,
            "temperature": 0.0,
        }
    ]
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"


def test_a_streamed_answer_grows(server: ChatServer, ask: Ask) -> None:
    heard: list[str] = []
    answer = ask(EXPLAIN, heard.append)
    words = EXPLANATION.split(" ")
    assert heard == [" ".join(words[: n + 1]) for n in range(len(words))]
    assert (answer.text, answer.finish_reason) == (EXPLANATION, "stop")
    assert (answer.input_tokens, answer.output_tokens) == (50, 7)
    assert server.bodies[0]["stream_options"] == {"include_usage": True}


def test_log_probabilities_come_back(server: ChatServer, ask: Ask) -> None:
    answer = ask(SCORE)
    assert answer.text == "Yes"
    assert answer.alternatives is not None
    assert set(answer.alternatives) == {"Yes", " yes", "No", "Well"}
    assert (server.bodies[0]["logprobs"], server.bodies[0]["top_logprobs"]) == (True, 5)


def test_no_usage_and_no_log_probabilities_are_none(server: ChatServer, ask: Ask) -> None:
    whole = completion({"index": 0, "message": {"content": "Yes"}, "finish_reason": "stop"})
    del whole["usage"]
    server.always = lambda handler, body: handler.json(200, whole)
    answer = ask(SCORE)
    assert (answer.input_tokens, answer.output_tokens, answer.alternatives) == (None, None, None)


# --- endpoints that refuse a parameter ---


def test_refused_parameters_are_left_out_and_remembered(server: ChatServer, ask: Ask) -> None:
    server.always = refuse("max_tokens", "temperature", "logprobs", "stream_options")
    answer = ask(SCORE)
    assert answer.text == "Yes"
    assert answer.alternatives is None
    # as only models that think do: there is room for that
    assert server.bodies[-1]["max_completion_tokens"] == SCORE.max_tokens + THINKING_TOKENS
    assert not {"max_tokens", "temperature", "logprobs", "top_logprobs"} & set(server.bodies[-1])
    assert len(answer.notes) == 2
    tries = len(server.bodies)
    assert ask(SCORE).notes == answer.notes
    assert len(server.bodies) == tries + 1
    assert ask(EXPLAIN, lambda text: None).text == EXPLANATION
    assert "stream_options" not in server.bodies[-1]


def test_an_endpoint_without_any_limit_says_so(server: ChatServer, ask: Ask) -> None:
    server.always = refuse("max_tokens", "max_completion_tokens")
    assert "no limit" in ask().notes[0].replace("a limit", "no limit")
    assert len(server.bodies) == 3


def test_a_refusal_of_nothing_in_particular_is_asked_once(server: ChatServer, ask: Ask) -> None:
    server.always = status(400, "Your prompt is bad.")
    with pytest.raises(ExplainerError, match=r"refused the request \(400\): .*Your prompt is bad"):
        ask()
    assert len(server.bodies) == 1


def test_too_long_is_no_refused_parameter(server: ChatServer, ask: Ask) -> None:
    server.always = status(400, "max_tokens is too large: the maximum context length is 4096 tokens.")
    with pytest.raises(AnswerError, match="does not fit into the context"):
        ask()
    assert len(server.bodies) == 1


# --- retries ---


def test_429_is_retried_after_the_time_it_names(server: ChatServer, ask: Ask) -> None:
    import time

    server.faults.append(status(429, retry_after="1"))
    began = time.monotonic()
    assert ask(retries=2).text == EXPLANATION
    assert time.monotonic() - began >= 1.0  # a lower bound: it did wait
    assert len(server.bodies) == 2


def test_500_then_an_answer(server: ChatServer, ask: Ask) -> None:
    server.faults.append(status(500, retry_after_ms="1"))
    assert ask(retries=1).text == EXPLANATION


@pytest.mark.parametrize(("code", "kind"), [(429, ExplainerError), (503, AnswerError)])
def test_retries_end(server: ChatServer, ask: Ask, code: int, kind: type[LookupsError]) -> None:
    server.always = status(code, retry_after_ms="1")
    with pytest.raises(kind, match="also after 2 retries"):
        ask(retries=2)
    assert len(server.bodies) == 3


def test_a_wait_of_hours_is_not_waited_for(server: ChatServer, ask: Ask) -> None:
    server.always = status(429, retry_after="7200")
    with pytest.raises(ExplainerError, match="wait 7200 seconds"):
        ask(retries=2)


# --- what goes wrong, in one sentence ---

TROUBLES: dict[str, tuple[Fault, type[LookupsError], str]] = {
    "401": (status(401, f"Incorrect API key provided: {KEY[:9]}*****"), ExplainerError, "API key .401."),
    "403": (status(403, "no access to gpt-4"), ExplainerError, "not allow this .403.: .*no access to gpt-4"),
    "404": (status(404), ExplainerError, "no model gpt-4, or no chat completions"),
    "429": (status(429), ExplainerError, "no more requests for now"),
    "no quota": (status(429, error_code="insufficient_quota"), ExplainerError, "no quota left"),
    "500": (status(500), AnswerError, "status 500"),
    "418": (status(418, "teapot"), ExplainerError, r"refused the request \(418\): .*teapot"),
    "not json": (body_of(b"{"), AnswerError, "not a chat completion"),
    "html": (body_of(b"<html>hello</html>", "text/html"), AnswerError, "not a chat completion"),
    "other json": (body_of(b'{"answer": 42}'), AnswerError, "not a chat completion"),
    "a list": (body_of(b"[]"), AnswerError, "not a chat completion"),
    "no choices": (body_of(b'{"choices": []}'), AnswerError, "not a chat completion"),
    "null choices": (body_of(b'{"choices": null}'), AnswerError, "not a chat completion"),
    "text as number": (
        body_of(b'{"choices": [{"message": {"content": 5}}]}'),
        AnswerError,
        "not a chat completion",
    ),
    "refusal": (
        body_of(b'{"choices": [{"message": {"content": null, "refusal": "I will not"}}]}'),
        AnswerError,
        "declined to answer: I will not",
    ),
    "filtered": (
        body_of(b'{"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}'),
        AnswerError,
        "content filter",
    ),
    "dropped": (drop, AnswerError, "dropped the connection"),
}


@pytest.mark.parametrize("name", TROUBLES)
@pytest.mark.parametrize("stream", [False, True])
def test_troubles(server: ChatServer, ask: Ask, name: str, stream: bool) -> None:
    fault, kind, sentence = TROUBLES[name]
    server.always = fault
    if stream and kind is AnswerError and name not in ("500", "dropped"):
        sentence = "broke the answer off|not a chat completion"
    with pytest.raises(kind, match=sentence) as caught:
        ask(EXPLAIN, (lambda text: None) if stream else None)
    assert caught.value.hint
    assert caught.value.message.count("\n") == 0
    assert KEY[:9] not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_server_that_says_nothing(server: ChatServer, ask: Ask) -> None:
    server.always = hang
    with pytest.raises(AnswerError, match=r"did not answer within 0\.2 seconds"):
        ask(timeout=0.2)


def test_a_stream_that_breaks_off(server: ChatServer, ask: Ask) -> None:
    server.always = break_off
    heard: list[str] = []
    with pytest.raises(AnswerError, match="broke the answer off in the middle"):
        ask(EXPLAIN, heard.append)
    assert heard[-1] == "The head is"


def test_a_stream_with_nonsense_in_it(server: ChatServer, ask: Ask) -> None:
    server.always = body_of(b"data: {nonsense\n\n", "text/event-stream")
    with pytest.raises(AnswerError, match="not a chat completion"):
        ask(EXPLAIN, lambda text: None)


def test_a_stream_that_reports_an_error(server: ChatServer, ask: Ask) -> None:
    said = f'data: {{"error": {{"message": "overloaded {KEY}"}}}}\n\n'
    server.always = body_of(said.encode(), "text/event-stream")
    with pytest.raises(AnswerError, match=r"failed while answering: overloaded \[key\]"):
        ask(EXPLAIN, lambda text: None)


def test_nobody_there(ask: Ask) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # a port on which nobody listens
        port = taken.getsockname()[1]
        with pytest.raises(ExplainerError, match=rf"127.0.0.1:{port} cannot be reached"):
            ask(base_url=f"http://127.0.0.1:{port}/v1")


def test_a_name_that_is_none(ask: Ask) -> None:
    with pytest.raises(ExplainerError, match="cannot be reached"):
        ask(base_url="http://nowhere.invalid/v1")


def test_a_defect_of_ours_is_not_dressed_up(server: ChatServer, ask: Ask) -> None:
    def broken(text: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ask(EXPLAIN, broken)


# --- the key ---


def test_a_server_that_repeats_the_key_is_not_repeated(
    server: ChatServer, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.reply = lambda message: (f"Your key is {KEY}, and sk-abcd*****wxyz too", None)
    heard: list[str] = []
    assert ask().text == "Your key is [key], and [key] too"
    assert ask(EXPLAIN, heard.append).text == "Your key is [key], and [key] too"
    server.always = status(400, f"Bad key {KEY}!")
    with pytest.raises(ExplainerError) as caught:
        ask()
    everything = caplog.text + "".join(heard) + str(caught.value) + repr(caught.value)
    assert KEY not in everything
    assert "Bad key [key]" in caught.value.message


def test_a_stand_in_for_a_key_is_no_secret(server: ChatServer, ask: Ask) -> None:
    server.reply = lambda message: ("After x, or EMPTY, or a task-based word.", None)
    for key in ("x", "EMPTY"):
        assert ask(key=key).text == "After x, or EMPTY, or a task-based word."


def test_no_client_shows_its_key() -> None:
    client = ChatClient(Endpoint("http://x/v1", "m"), KEY, Dialect(), timeout=1, retries=0)
    assert KEY not in f"{client!r} {client}"


@pytest.mark.parametrize("key", ["se cret", "sécret", "sec\x00ret", "a\nb"])
def test_a_key_that_is_no_header_is_refused_unseen(key: str) -> None:
    with pytest.raises(ExplainerError, match="characters that no key has") as caught:
        find_key(Endpoint("http://x/v1", "m"), key)
    assert key not in str(caught.value)


def test_a_variable_is_blamed_only_for_a_key_that_came_from_it(
    server: ChatServer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ExplainerError) as caught:
        find_key(Endpoint("http://x/v1", "m"), "gi ven")
    assert "OPENAI_API_KEY" not in str(caught.value)
    server.always = status(401)
    with pytest.raises(ExplainerError) as caught:
        ask(key="another-key-123")
    assert "OPENAI_API_KEY" not in str(caught.value)
    with pytest.raises(ExplainerError) as caught:
        ask()
    assert "OPENAI_API_KEY" in caught.value.hint
    monkeypatch.setenv("OPENAI_API_KEY", "se cret")
    with pytest.raises(ExplainerError, match="in OPENAI_API_KEY"):
        find_key(Endpoint("http://x/v1", "m"))


def test_spaces_around_a_key_are_taken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    assert find_key(Endpoint("http://x/v1", "m")) == KEY
    assert find_key(Endpoint("http://x/v1", "m"), "other") == "other"


def test_without_a_key_only_an_endpoint_of_ones_own_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    assert find_key(Endpoint("http://127.0.0.1:1/v1", "m"))
    with pytest.raises(ExplainerError, match="OPENAI_API_KEY is not set") as caught:
        find_key(Endpoint(DEFAULT_BASE_URL, "m"))
    assert "OPENAI_API_KEY" in caught.value.hint
    assert "--base-url" in caught.value.hint


# --- where requests go ---


def test_which_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_endpoint(None, "gpt-4") == Endpoint(DEFAULT_BASE_URL, "gpt-4")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:8000/v1/")
    assert find_endpoint(None, "m").base_url == "http://localhost:8000/v1"
    assert find_endpoint("https://h/v1", "m").base_url == "https://h/v1"


@pytest.mark.parametrize(
    ("url", "is_local", "is_encrypted"),
    [
        ("http://127.0.0.1:1/v1", True, False),
        ("http://[::1]:1/v1", True, False),
        ("https://127.example.com/v1", False, True),
        ("http://localhost.example.com/v1", False, False),
    ],
)
def test_what_stays_on_this_machine(url: str, is_local: bool, is_encrypted: bool) -> None:
    endpoint = Endpoint(url, "m")
    assert (endpoint.is_local, endpoint.is_encrypted) == (is_local, is_encrypted)


@pytest.mark.parametrize(
    "url",
    ["ftp://h/v1", "h/v1", "http://", "http://h:0x/v1", "http://u:secret@h/v1", "http://h/v1?key=secret"],
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(ExplainerError) as caught:
        find_endpoint(url, "m")
    assert "secret" not in str(caught.value)


def test_a_proxy_of_the_environment_is_used(
    server: ChatServer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.base_url.removesuffix("/v1"))
    with pytest.raises(
        ExplainerError, match=r"behind\.invalid has no model"
    ):  # a proxy's path is a whole URL
        ask(base_url="http://behind.invalid/v1")
    assert server.messages == [EXPLAIN.message]
