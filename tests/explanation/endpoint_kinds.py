"""How endpoints that people pay for today behave, as faults of a ChatServer.

Each fault answers as the server's `reply` says, in the shape of its kind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tests.explanation.chat_server import Fault, Handler, completion
from tests.explanation.conftest import Bench

THOUGHTS = "Yes or no? The piece has no “not”, so no. Hm, yes."
"""What every thinking model here thinks: it must turn up in no explanation and in no answer."""

LIMITS = ("max_tokens", "max_completion_tokens")
OPTIONAL = ("temperature", "logprobs", "stream_options")


def said(handler: Handler, body: dict[str, Any]) -> str:
    """What the server's `reply` says to a request."""
    return handler.server.reply(body["messages"][0]["content"])[0]


def limit_of(body: dict[str, Any]) -> int:
    """The limit a request was sent with; as good as none where it has none."""
    return next((body[name] for name in LIMITS if name in body), 10**6)


def whole(
    message: dict[str, Any], *, reason: str = "stop", thinking: int | None = None, **choice: Any
) -> dict[str, Any]:
    """A completion of one message; `thinking` tokens are counted as OpenAI does."""
    made = completion(
        {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason} | choice
    )
    if thinking is not None:
        made["usage"]["completion_tokens_details"] = {"reasoning_tokens": thinking}
    return made


def refusing(words: str, *names: str, status: int = 400, shape: str = "error") -> Fault:
    """An error in these words (`{name}` is the parameter) for the first of `names` that was sent.

    `shape`: error, list (Gemini's), detail (FastAPI's), string, text, or param (names it in a field).
    """

    def fault(handler: Handler, body: dict[str, Any]) -> None:
        name = next((name for name in names if name in body), None)
        if name is None:
            return handler.answer(body)
        message = words.format(name=name)
        bodies: dict[str, Any] = {
            "error": {"error": {"message": message}},
            "list": [{"error": {"code": status, "message": message, "status": "INVALID_ARGUMENT"}}],
            "detail": {"detail": [{"type": "extra_forbidden", "loc": ["body", name], "msg": message}]},
            "string": {"error": message},
            "param": {"error": {"message": message, "type": "invalid_request_error", "param": name}},
        }
        if shape == "text":
            return handler.raw(status, message.encode(), "text/plain")
        return handler.json(status, bodies[shape])

    return fault


def reasoning_model(thinking: int, *, refuses: Sequence[str] = ("max_tokens", *OPTIONAL[:2])) -> Fault:
    """OpenAI's: refuses one parameter at a time; thinks so many tokens, none of which it shows."""

    def fault(handler: Handler, body: dict[str, Any]) -> None:
        for name in refuses:
            if name in body:
                instead = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
                message = f"Unsupported parameter: '{name}' is not supported with this model.{instead}"
                return handler.json(
                    400, {"error": {"message": message, "param": name, "code": "unsupported_parameter"}}
                )
        left = limit_of(body) > thinking
        answer = {"content": said(handler, body) if left else ""}
        counted = min(thinking, limit_of(body))
        return handler.json(200, whole(answer, reason="stop" if left else "length", thinking=counted))

    return fault


def thinking_in(place: str, *, needs: int = 100) -> Fault:
    """A model that needs so many tokens for its thoughts, and the place where they are found.

    A server of its own (vLLM, llama.cpp, Ollama, Mistral) or a router: nothing is refused.
    """

    def fault(handler: Handler, body: dict[str, Any]) -> None:
        left = limit_of(body) > needs
        text = said(handler, body) if left else ""
        messages: dict[str, dict[str, Any]] = {
            "reasoning_content": {"content": text or None, "reasoning_content": THOUGHTS},
            "reasoning": {"content": text, "reasoning": THOUGHTS},
            "thinking": {"content": text, "thinking": THOUGHTS},
            "tags": {"content": f"<think>{THOUGHTS}</think>\n\n{text}" if left else f"<think>{THOUGHTS}"},
            "lone tag": {"content": f"{THOUGHTS}\n</think>\n\n{text}" if left else THOUGHTS},
            "channels": {
                "content": f"<|channel|>analysis<|message|>{THOUGHTS}"
                + (f"<|end|><|start|>assistant<|channel|>final<|message|>{text}<|return|>" if left else "")
            },
            "one channel": {
                "content": f"<|channel|>analysis<|message|>{THOUGHTS}" + (f"<|end|>{text}" if left else "")
            },
            "bare channels": {"content": f"analysis{THOUGHTS}" + (f"assistantfinal{text}" if left else "")},
            "blocks": {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": THOUGHTS}]},
                    {"type": "text", "text": text},
                ]
            },
            "other blocks": {
                "content": [{"type": "reasoning", "text": THOUGHTS}, {"type": "output_text", "text": text}]
            },
        }
        reason = "stop" if left else "length"
        return handler.json(200, whole(messages[place], reason=reason))

    return fault


PLACES = (
    "reasoning_content", "reasoning", "thinking", "tags", "lone tag", "channels", "one channel",
    "bare channels", "blocks", "other blocks",
)  # fmt: skip


def spelled(tokens: Sequence[str], chances: Sequence[dict[str, float]]) -> dict[str, Any]:
    """The log-probabilities of these tokens; each place's `chances` hold the token itself."""
    places = []
    for token, chance in zip(tokens, chances, strict=True):
        listed = [
            {"token": each, "logprob": math.log(share), "bytes": list(each.encode())}
            for each, share in chance.items()
        ]
        own = next(each for each in listed if each["token"] == token)
        places.append({**own, "top_logprobs": listed})
    return {"content": places}


def everything_kept(bench: Bench) -> str:
    """All that the cache folder holds, as text; the bench is closed by it."""
    bench.cache.close()
    files = [path for path in bench.settings.cache_dir.rglob("*") if path.is_file()]
    return "".join(path.read_bytes().decode("utf-8", "replace") for path in files)
