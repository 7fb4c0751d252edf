"""The explainer's endpoint: one chat-completions request at a time, through the official client.

1. The `openai` package sends it: retries with backoff on 429, 5xx and broken connections, Retry-After up to
   two minutes, proxies and certificates from the environment.
2. An endpoint that refuses a parameter by name (400) is asked again without it, and remembered as a
   `Dialect`; every answer's notes say what it was asked without.
3. Whatever goes wrong becomes one sentence. `AnswerError`: this one request failed. `ExplainerError`: the
   next one would fail in the same way.

The API key goes into the client and nowhere else. Server messages are quoted only after anything that
begins like the key was taken out, and no exception of the layers below is chained, since a traceback would
print what it quotes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from tui_lookups.errors import LookupsError
from tui_lookups.explanation.dialect import Dialect
from tui_lookups.explanation.endpoint import (
    KEY_VARIABLE,
    NO_KEY,
    Endpoint,
    ExplainerError,
    key_of_environment,
)
from tui_lookups.explanation.requests import ChatAnswer, ChatRequest, yes_probability
from tui_lookups.visible import visible

OnText = Callable[[str], None]
"""Told the whole text so far, each time a piece of an answer arrives; called on the requests' thread."""

_CONNECT_SECONDS = 10.0
_MOST_QUOTED = 300
_LOOKS_LIKE_A_KEY = re.compile(r"\bsk-[\w*.-]{8,}")
_SHORTEST_SECRET, _SHORTEST_PREFIXED = 8, 12  # stand-ins for local servers ("EMPTY") are words of their own
_UNREACHABLE = frozenset({"ConnectError", "ConnectTimeout", "ProxyError", "UnsupportedProtocol"})
_TRANSPORTS = frozenset({"httpx", "httpx2", "httpcore", "httpcore2", "h11", "anyio", "ssl"})


class AnswerError(LookupsError):
    """One request got no usable answer; another one may."""


class ChatClient:
    """Sends requests to one endpoint within one event loop: `async with ChatClient(...) as client`."""

    def __init__(
        self, endpoint: Endpoint, key: str, dialect: Dialect, *, timeout: float, retries: int
    ) -> None:
        self._endpoint = endpoint
        self._key = key
        self._dialect = dialect
        self._timeout = timeout
        self._retries = retries
        self._api: Any = None

    def __repr__(self) -> str:
        return f"ChatClient({self._endpoint.base_url}, {self._endpoint.model})"

    async def __aenter__(self) -> ChatClient:
        import openai

        self._api = openai.AsyncOpenAI(
            api_key=self._key,
            base_url=self._endpoint.base_url,
            timeout=openai.Timeout(self._timeout, connect=min(self._timeout, _CONNECT_SECONDS)),
            max_retries=self._retries,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._api.close()

    async def ask(self, request: ChatRequest, on_text: OnText | None = None) -> ChatAnswer:
        """The answer to a request, streamed when `on_text` is given. Raises ExplainerError, AnswerError."""
        while True:
            sent = self._dialect.parameters(request, stream=on_text is not None)
            try:
                return await self._send(request, sent, on_text)
            except (ExplainerError, AnswerError):
                raise
            except Exception as error:
                if self._asks_for_another_dialect(request, sent, error, on_text is not None):
                    continue
                told = self._in_words(error)
                if told is None:
                    raise
            raise told  # outside the handler: nothing is chained

    async def _send(self, request: ChatRequest, sent: dict[str, Any], on_text: OnText | None) -> ChatAnswer:
        messages = [{"role": "user", "content": request.message}]
        response = await self._api.chat.completions.create(
            model=self._endpoint.model, messages=messages, **sent
        )
        notes = self._dialect.notes(request)
        if on_text is None:
            return self._read(response, notes)
        try:
            return await self._read_stream(response, notes, on_text)
        finally:
            await response.close()

    def _read(self, response: Any, notes: tuple[str, ...]) -> ChatAnswer:
        """An answer that came in one piece. The client validates nothing, so every field is looked at."""
        choice = _first(getattr(response, "choices", None))
        message = getattr(choice, "message", None)
        if message is None:
            raise self._malformed()
        self._refuse_refusal(message, choice)
        text = getattr(message, "content", None)
        if text is not None and not isinstance(text, str):
            raise self._malformed()
        return self._answer(
            text or "",
            getattr(choice, "finish_reason", None),
            getattr(response, "model", None),
            getattr(response, "usage", None),
            notes,
            alternatives=_alternatives(choice),
        )

    async def _read_stream(self, stream: Any, notes: tuple[str, ...], on_text: OnText) -> ChatAnswer:
        text, reason, model, usage = "", None, None, None
        async for chunk in stream:
            model = getattr(chunk, "model", None) or model
            usage = getattr(chunk, "usage", None) or usage
            choice = _first(getattr(chunk, "choices", None))
            if choice is None:
                continue
            delta = getattr(choice, "delta", None)
            self._refuse_refusal(delta, choice)
            piece = getattr(delta, "content", None)
            if isinstance(piece, str) and piece:
                text += piece
                on_text(self._without_key(text))
            reason = getattr(choice, "finish_reason", None) or reason
        if reason is None:
            raise AnswerError(
                f"{self._name} broke the answer off{' in the middle' if text else ''}.", "Ask again."
            )
        return self._answer(text, reason, model, usage, notes, alternatives=None)

    def _answer(
        self,
        text: str,
        reason: Any,
        model: Any,
        usage: Any,
        notes: tuple[str, ...],
        alternatives: dict[str, float] | None,
    ) -> ChatAnswer:
        return ChatAnswer(
            text=self._without_key(text),
            finish_reason=self._without_key(reason) if isinstance(reason, str) else "",
            answered_by=self._without_key(model) if isinstance(model, str) else "",
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            input_tokens=_count(getattr(usage, "prompt_tokens", None)),
            output_tokens=_count(getattr(usage, "completion_tokens", None)),
            alternatives=alternatives,
            notes=notes,
        )

    def _refuse_refusal(self, message: Any, choice: Any) -> None:
        refusal = getattr(message, "refusal", None)
        if isinstance(refusal, str) and refusal:
            raise AnswerError(f"The model declined to answer: {self._quoted(refusal)}.", "Try another model.")
        if getattr(choice, "finish_reason", None) == "content_filter":
            raise AnswerError(f"A content filter of {self._name} withheld the answer.", "Try another model.")

    # --- what goes wrong ---

    @property
    def _name(self) -> str:
        return urlsplit(self._endpoint.base_url).netloc

    def _malformed(self) -> AnswerError:
        return AnswerError(
            f"{self._name} answered with something that is not a chat completion.",
            "Check --base-url: it usually ends in /v1.",
        )

    def _asks_for_another_dialect(
        self, request: ChatRequest, sent: dict[str, Any], error: Exception, stream: bool
    ) -> bool:
        """Whether a parameter was refused that the request can do without. Others may have learnt it too."""
        if getattr(error, "status_code", None) not in (400, 422):
            return False
        message = str(getattr(error, "message", ""))
        if _is_too_long(message):
            return False
        return self._dialect.learn(sent, message) or self._dialect.parameters(request, stream) != sent

    def _in_words(self, error: Exception) -> LookupsError | None:
        """An exception of the client or of the transport as a sentence; None when it is neither's."""
        import openai

        name, cause = self._name, type(error.__cause__ or error).__name__
        tries = f", also after {self._retries} retries" if self._retries else ""
        if isinstance(error, openai.APIStatusError):
            return self._status_in_words(error.status_code, error, tries)
        if cause in _UNREACHABLE:
            return ExplainerError(
                f"{name} cannot be reached: {self._quoted(str(error.__cause__ or error)) or cause}.",
                "Check the network, the proxy variables and --base-url.",
            )
        if isinstance(error, openai.APITimeoutError):
            return AnswerError(
                f"{name} did not answer within {self._timeout:g} seconds{tries}.",
                "Ask again, or raise the setting explainer_timeout.",
            )
        if isinstance(error, openai.APIConnectionError):
            return AnswerError(f"{name} dropped the connection{tries}.", "Ask again.")
        if isinstance(error, openai.APIResponseValidationError | ValueError):
            return self._malformed()
        if isinstance(error, openai.APIError):
            return AnswerError(f"{name} failed while answering: {self._quoted(error.message)}.", "Ask again.")
        if type(error).__module__.partition(".")[0] in _TRANSPORTS or isinstance(error, OSError):
            return AnswerError(f"{name} dropped the connection{tries}.", "Ask again.")
        return None

    def _status_in_words(self, status: int, error: Any, tries: str) -> LookupsError:
        name, model = self._name, self._endpoint.model
        said = self._quoted(str(error.message))
        if status == 401:
            given = "needs an API key" if self._key == NO_KEY else "does not accept the API key"
            of_ours = self._key in (NO_KEY, key_of_environment())
            hint = (
                f"Set {KEY_VARIABLE} to one that is valid there."
                if of_ours
                else "Give one that is valid there."
            )
            return ExplainerError(f"{name} {given} (401).", hint)
        if status == 403:
            return ExplainerError(
                f"{name} does not allow this (403): {said}.", "Check what the key may do, and --base-url."
            )
        if status == 404:
            return ExplainerError(
                f"{name} has no model {visible(model)}, or no chat completions at that address (404).",
                "Check --explainer-model and --base-url (it usually ends in /v1).",
            )
        if status == 429:
            if getattr(error, "code", None) == "insufficient_quota":
                return ExplainerError(f"The account at {name} has no quota left (429).", "Add to it there.")
            wait = error.response.headers.get("retry-after", "")
            wait = f"; it asks to wait {wait} seconds" if wait.isdigit() else ""
            return ExplainerError(
                f"{name} allows no more requests for now (429){tries}{wait}.",
                "Wait and ask again (answers so far are kept), or lower the setting explainer_concurrency.",
            )
        if status >= 500:
            return AnswerError(f"{name} failed with status {status}{tries}.", "Ask again later.")
        if _is_too_long(str(error.message)):
            return AnswerError(
                f"The request does not fit into the context of {visible(model)}.",
                "Choose a model with a longer context, or a shorter --window.",
            )
        return ExplainerError(f"{name} refused the request ({status}): {said}.", "Check --explainer-model.")

    def _quoted(self, text: str) -> str:
        """What a server said, fit to be shown: without the key, on one line, not too long."""
        line = visible(" ".join(self._without_key(text).split()))
        return (line[:_MOST_QUOTED] + "…" if len(line) > _MOST_QUOTED else line).rstrip(".")

    def _without_key(self, text: str) -> str:
        """`text` with the key, and whatever begins like it (servers mask the rest), taken out."""
        if len(self._key) >= _SHORTEST_SECRET:
            text = text.replace(self._key, "[key]")
            if len(self._key) >= _SHORTEST_PREFIXED:
                text = re.sub(re.escape(self._key[:7]) + r"[^\s\"']*", "[key]", text)
        return _LOOKS_LIKE_A_KEY.sub("[key]", text)


def _is_too_long(message: str) -> bool:
    said = message.lower()
    return "context length" in said or "context size" in said or "context window" in said


def _first(choices: Any) -> Any:
    return choices[0] if isinstance(choices, list) and choices else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _alternatives(choice: Any) -> dict[str, float] | None:
    """Tokens and log-probabilities at the first place where Yes or No is among the alternatives."""
    places = getattr(getattr(choice, "logprobs", None), "content", None)
    for place in places if isinstance(places, list) else ():
        found: dict[str, float] = {}
        listed = getattr(place, "top_logprobs", None)
        for each in [place, *(listed if isinstance(listed, list) else ())]:
            token, logprob = getattr(each, "token", None), getattr(each, "logprob", None)
            if isinstance(token, str) and isinstance(logprob, int | float) and math.isfinite(logprob):
                found[token] = float(logprob)
        if yes_probability(found) is not None:
            return found
    return None
