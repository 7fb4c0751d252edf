"""What an endpoint says went wrong, wherever it says it: one sentence, without the key."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.explanation.chat_server import ChatServer, Fault, body_of, status
from tests.explanation.conftest import KEY, Bench
from tests.explanation.endpoint_kinds import everything_kept
from tests.explanation.fake_examples import HEAD, NEURON
from tui_lookups.explanation.endpoint import ExplainerError
from tui_lookups.explanation.failures import AnswerError

MakeBench = Callable[..., Bench]

TROUBLES: dict[str, tuple[Fault, type[Exception], str]] = {
    "an error in a 200": (
        body_of(b'{"error": {"message": "Provider returned error", "code": 502}}'),
        AnswerError,
        "answering: Provider returned error",
    ),
    "an error in a 200, a string": (body_of(b'{"error": "still loading"}'), AnswerError, "still loading"),
    "an error in a 200, beside choices": (
        body_of(b'{"choices": [], "error": {"message": "overloaded"}}'),
        AnswerError,
        "answering: overloaded",
    ),
    "an error in a choice": (
        body_of(b'{"choices": [{"message": {"content": ""}, "error": {"message": "it died"}}]}'),
        AnswerError,
        "answering: it died",
    ),
    "an error in a 200, in a list": (
        body_of(b'[{"error": {"message": "bad"}}]'),
        AnswerError,
        "answering: bad",
    ),
    "no quota, by its type": (
        lambda handler, body: handler.json(429, {"error": {"message": "x", "type": "insufficient_quota"}}),
        ExplainerError,
        r"no quota left \(429\)",
    ),
    "no quota, by its code": (
        status(429, error_code="insufficient_quota"),
        ExplainerError,
        r"no quota left \(429\)",
    ),
    "no quota in a 403": (status(403, error_code="insufficient_quota"), ExplainerError, "no quota left"),
    "no credits": (status(402, "Insufficient credits"), ExplainerError, r"no quota left \(402\)"),
    "no quota in a 200": (
        body_of(b'{"error": {"message": "x", "code": "insufficient_quota"}}'),
        ExplainerError,
        r"has no quota left\.",
    ),
    "refused, the content null": (
        body_of(b'{"choices": [{"message": {"content": null, "refusal": "I cannot"}}]}'),
        AnswerError,
        "declined to answer: I cannot",
    ),
    "a limit too large": (
        status(400, "max_tokens is too large: 8392. This model supports at most 4096 completion tokens."),
        ExplainerError,
        "too large",
    ),
    "an error of Gemini": (
        lambda handler, body: handler.json(400, [{"error": {"message": "API key not valid."}}]),
        ExplainerError,
        r"refused the request \(400\): API key not valid\.",
    ),
    "a failure that says why": (
        status(500, "CUDA out of memory"),
        AnswerError,
        "status 500: CUDA out of memory",
    ),
}


@pytest.mark.parametrize("kind", TROUBLES)
@pytest.mark.parametrize("stream", [False, True])
def test_what_goes_wrong_is_quoted(
    make_bench: MakeBench, server: ChatServer, kind: str, stream: bool
) -> None:
    server.always, raised, sentence = TROUBLES[kind]
    if stream and kind in ("an error in a choice", "refused, the content null"):
        sentence = "broke the answer off"  # a completion in one piece is no stream
    hear = (lambda text: None) if stream else None
    with pytest.raises(raised, match=sentence) as caught:
        make_bench(explainer_retries=0 if raised is AnswerError else 3).explaining.explain(
            NEURON, HEAD, on_text=hear
        )
    assert len(server.bodies) == 1, "what is no rate limit is not tried again"
    assert "\n" not in str(caught.value)


def test_a_key_that_an_error_repeats_is_told_and_kept_nowhere(
    make_bench: MakeBench, server: ChatServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    told = []
    echoes = [
        {"error": {"message": f"headers were {{'Authorization': 'Bearer {KEY}'}}"}},
        {"error": f"Bearer {KEY} may not"},
        [{"error": {"message": f"authorization: bearer {KEY[:4]}****"}}],
        {"detail": [{"loc": ["header", KEY], "msg": f"not {KEY}"}]},
        {"message": KEY, "code": KEY},
    ]
    bench = make_bench()
    for echo in echoes:
        for code in (200, 400, 403, 500):
            server.always = lambda handler, body, code=code, echo=echo: handler.json(code, echo)
            with pytest.raises((ExplainerError, AnswerError)) as caught:
                bench.explaining.explain(NEURON, HEAD)
            told.append(f"{caught.value} {caught.value!r}")
    assert not [text for text in told if KEY[:4] in text]
    assert KEY not in caplog.text
    assert KEY not in everything_kept(bench)
