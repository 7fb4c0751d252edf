"""The explainer's endpoint: one chat-completions request at a time, through the official client.

1. The `openai` package sends it: retries with backoff on 429, 5xx and broken connections, Retry-After up to
   two minutes, proxies and certificates from the environment.
2. An endpoint that refuses a parameter, in whatever words and with whatever status, is asked again without
   it, and remembered (dialect.py); every answer's notes say what it was asked without.
3. Of an answer only what the model said counts: its thoughts, which come in fields and blocks of their own,
   are seen and left out. Thoughts within the text are left to reading.py.
4. An error is one wherever it stands, also in an answer with status 200. Whatever goes wrong becomes one
   sentence (failures.py).

The API key goes into the client and nowhere else, and no exception of the layers below is chained, since a
traceback would print what it quotes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from ssl import SSLContext
from types import TracebackType
from typing import Any

from tui_lookups.errors import LookupsError
from tui_lookups.explanation.dialect import Dialect, Learned, next_try
from tui_lookups.explanation.endpoint import Endpoint, ExplainerError
from tui_lookups.explanation.error_body import ErrorBody, error_in, read_error
from tui_lookups.explanation.failures import (
    AnswerError,
    ErrorInAnswerError,
    Failures,
    error_body,
    refuse_retries,
)
from tui_lookups.explanation.message_parts import field, said_in, thought_apart
from tui_lookups.explanation.reading import (
    TokenAlternatives,
    answer_alternatives,
    begins_in_thoughts,
    read_explanation,
    thoughts,
)
from tui_lookups.explanation.requests import ChatAnswer, ChatRequest

OnText = Callable[[str], None]
"""Told the text so far without thoughts, each time some arrives; called on the requests' thread."""

_CONNECT_SECONDS = 10.0


@cache
def _certificates() -> SSLContext:
    """Whom a connection trusts, read once a process: reading them takes longer than all else of a client."""
    import httpx

    return httpx.create_ssl_context()


@dataclass(frozen=True, slots=True)
class _Reply:
    """What came back, as far as it is known. `thoughts_apart`: the model thought outside of its text."""

    text: str
    reason: Any
    model: Any
    usage: Any
    thoughts_apart: bool
    alternatives: dict[str, float] | None = None

    @property
    def thought(self) -> bool:
        """Whether the model was seen to think; one whose limit left it no word has."""
        ate_the_limit = self.reason == "length" and not self.text.strip()
        return self.thoughts_apart or ate_the_limit or bool(thoughts(self.text)) or bool(self.thinking_tokens)

    @property
    def thinking_tokens(self) -> int | None:
        """Tokens of thoughts as the endpoint counted them, None where it did not."""
        details = getattr(self.usage, "completion_tokens_details", None)
        return _count(getattr(details, "reasoning_tokens", None))


@dataclass(frozen=True, slots=True)
class _Failed:
    """Why nothing usable came back, in words, and as the endpoint said it."""

    told: LookupsError
    body: ErrorBody | None


class ChatClient:
    """Sends requests to one endpoint within one event loop: `async with ChatClient(...) as client`."""

    def __init__(
        self, endpoint: Endpoint, key: str, dialect: Dialect, *, timeout: float, retries: int
    ) -> None:
        self._endpoint = endpoint
        self._failures = Failures(endpoint, key, timeout, retries)
        self._dialect = dialect
        self._api: Any = None

    def __repr__(self) -> str:
        return f"ChatClient({self._endpoint.base_url}, {self._endpoint.model})"

    async def __aenter__(self) -> ChatClient:
        import openai

        failures = self._failures
        self._api = openai.AsyncOpenAI(
            api_key=failures.key,
            base_url=self._endpoint.base_url,
            timeout=openai.Timeout(failures.timeout, connect=min(failures.timeout, _CONNECT_SECONDS)),
            max_retries=failures.retries,
            http_client=openai.DefaultAsyncHttpxClient(
                verify=_certificates(), event_hooks={"response": [refuse_retries]}
            ),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._api.close()

    async def ask(
        self,
        request: ChatRequest,
        on_text: OnText | None = None,
        *,
        room: bool = False,
        reserve: Callable[[int], None] = lambda tokens: None,
    ) -> ChatAnswer:
        """The answer to a request, streamed when `on_text` is given. Raises ExplainerError, AnswerError.

        Args:
            room: let the model think before it answers, though it was not seen to.
            reserve: told of tokens that another try may take beyond those of the first; may raise.
        """
        stream = on_text is not None
        learned = trying = self._dialect.learned
        most = self._dialect.most_tokens(request, trying, room=room)
        paid: ChatAnswer | None = None
        while True:
            needed = self._dialect.most_tokens(request, trying, room=room)
            if needed > most:
                reserve(needed - most)
                most = needed
            sent = self._dialect.parameters(request, trying, stream=stream, room=room)
            came = await self._try(sent, request, on_text)
            if isinstance(came, _Failed):
                following = self._following(came, request, sent, trying, learned, stream=stream)
                if following is None:
                    raise came.told  # outside of any handler: nothing is chained
                learned, trying = self._dialect.learned, following
                continue
            self._remember(came, None if trying is learned else trying)
            answer = self._answer(came, self._dialect.notes(request, trying), paid)
            if not trying.withheld or came.thinking_tokens != 0:
                return answer
            paid, trying = answer, replace(trying, withheld=())  # no reasoning model after all

    def _following(
        self,
        failed: _Failed,
        request: ChatRequest,
        sent: dict[str, Any],
        trying: Learned,
        known: Learned,
        *,
        stream: bool,
    ) -> Learned | None:
        """What to send a request by after it failed; None where that was for good."""
        newest = self._dialect.learned
        if failed.body is None or not failed.body.refused(sent):
            return None
        if newest is not known and self._dialect.parameters(request, newest, stream=stream) != sent:
            return newest  # another request has learnt it in the meantime
        return next_try(trying, sent, failed.body)

    def _remember(self, reply: _Reply, tried: Learned | None) -> None:
        """Know from now on whether the model thinks, and what it took where something else was `tried`."""
        learned = self._dialect.learned
        if tried is not None:
            learned = replace(learned, limit=tried.limit, refused=tried.refused, withheld=tried.withheld)
        thinks = learned.thinks or reply.thought
        begins = learned.begins_in_thoughts or begins_in_thoughts(reply.text)
        self._dialect.remember(replace(learned, thinks=thinks, begins_in_thoughts=begins))

    async def _try(
        self, sent: dict[str, Any], request: ChatRequest, on_text: OnText | None
    ) -> _Reply | _Failed:
        messages = [{"role": "user", "content": request.message}]
        try:
            response = await self._api.chat.completions.create(
                model=self._endpoint.model, messages=messages, **sent
            )
            if on_text is None:
                return self._read(response)
            try:
                return await self._read_stream(response, on_text)
            finally:
                await response.close()
        except (ExplainerError, AnswerError):
            raise
        except Exception as error:
            body = error_body(error)
            if body is not None and body.is_thought_away:
                return _Reply("", "length", None, None, thoughts_apart=True)
            told = self._failures.in_words(error, body)
            if told is None:
                raise
            return _Failed(told, body)

    def _read(self, response: Any) -> _Reply:
        """An answer that came in one piece. The client validates nothing, so every field is looked at."""
        choice = _first(getattr(response, "choices", None))
        _raise_error_in(response, choice)
        message = getattr(choice, "message", None)
        if message is None:
            raise self._failures.malformed()
        self._refuse_refusal(message, choice)
        text = said_in(message)
        if text is None:
            raise self._failures.malformed()
        return _Reply(
            text,
            getattr(choice, "finish_reason", None),
            getattr(response, "model", None),
            getattr(response, "usage", None),
            thought_apart(message),
            _alternatives(choice, text),
        )

    async def _read_stream(self, stream: Any, on_text: OnText) -> _Reply:
        await _raise_error_instead_of(stream)
        text, reason, model, usage, apart = "", None, None, None, False
        async for chunk in stream:
            model = getattr(chunk, "model", None) or model
            usage = getattr(chunk, "usage", None) or usage
            choice = _first(getattr(chunk, "choices", None))
            _raise_error_in(chunk, choice)
            if choice is None:
                continue
            delta = getattr(choice, "delta", None)
            self._refuse_refusal(delta, choice)
            apart = apart or thought_apart(delta)
            piece = said_in(delta)
            if piece:
                text += piece
                self._tell(text, on_text)
            reason = getattr(choice, "finish_reason", None) or reason
        if reason is None:
            raise AnswerError(
                f"{self._failures.name} broke the answer off{' in the middle' if text else ''}.", "Ask again."
            )
        return _Reply(text, reason, model, usage, apart)

    def _tell(self, text: str, on_text: OnText) -> None:
        """Show what was said so far, once it is sure to be no thought."""
        if self._dialect.learned.begins_in_thoughts and not begins_in_thoughts(text):
            return
        said = read_explanation(text) if thoughts(text) else text
        if said:
            on_text(self._failures.without_key(said))

    def _answer(self, reply: _Reply, notes: tuple[str, ...], paid: ChatAnswer | None) -> ChatAnswer:
        """A reply as it is kept; its tokens are those of the tries before it too, where they were `paid`."""
        clean = self._failures.without_key
        text, learned = reply.text, self._dialect.learned
        if learned.begins_in_thoughts and reply.reason == "length" and not thoughts(text):
            text = ""  # cut before its thoughts were closed
        answer = ChatAnswer(
            text=clean(text),
            finish_reason=clean(reply.reason) if isinstance(reply.reason, str) else "",
            answered_by=clean(reply.model) if isinstance(reply.model, str) else "",
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            input_tokens=_count(getattr(reply.usage, "prompt_tokens", None)),
            output_tokens=_count(getattr(reply.usage, "completion_tokens", None)),
            alternatives=reply.alternatives,
            notes=notes,
        )
        return answer if paid is None else answer.with_tokens_of(paid)

    def _refuse_refusal(self, message: Any, choice: Any) -> None:
        refusal, name = getattr(message, "refusal", None), self._failures.name
        if isinstance(refusal, str) and refusal:
            said = self._failures.quoted(refusal)
            raise AnswerError(f"The model declined to answer: {said}.", "Try another model.")
        if getattr(choice, "finish_reason", None) == "content_filter":
            raise AnswerError(f"A content filter of {name} withheld the answer.", "Try another model.")


def _raise_error_in(response: Any, choice: Any) -> None:
    """Raise what an answer with status 200 says went wrong."""
    responses = response if isinstance(response, list) else [response]
    for body in ({"error": field(part, "error")} for part in (*responses, choice)):
        if error_in(body) is not None:
            raise ErrorInAnswerError(read_error(200, body))


async def _raise_error_instead_of(stream: Any) -> None:
    """Raise the error that came in one piece where a stream was asked for."""
    response = stream.response
    if "application/json" not in response.headers.get("content-type", ""):
        return
    await response.aread()
    body = json.loads(response.text)  # a ValueError becomes "not a chat completion"
    if error_in(body) is not None:
        raise ErrorInAnswerError(read_error(200, body))


def _first(choices: Any) -> Any:
    return choices[0] if isinstance(choices, list) and choices else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _alternatives(choice: Any, text: str) -> dict[str, float] | None:
    """Log-probabilities of what could stand in place of the answer's token, itself first.

    None without any; empty where that token has none or there is no such token.
    """
    tokens = getattr(getattr(choice, "logprobs", None), "content", None)
    if not isinstance(tokens, list) or not tokens:
        return None
    return answer_alternatives(text, [_token_alternatives(token) for token in tokens])


def _token_alternatives(place: Any) -> TokenAlternatives:
    """One place of the log-probabilities; what is no token spells nothing: no answer is found there."""
    listed = getattr(place, "top_logprobs", None)
    probabilities: dict[str, float] = {}
    for alternative in [place, *(listed if isinstance(listed, list) else ())]:
        token, logprob = getattr(alternative, "token", None), getattr(alternative, "logprob", None)
        if isinstance(token, str) and isinstance(logprob, int | float) and math.isfinite(logprob):
            probabilities[token] = float(logprob)
    token, as_bytes = getattr(place, "token", None), getattr(place, "bytes", None)
    if isinstance(as_bytes, list) and all(type(byte) is int and 0 <= byte < 256 for byte in as_bytes):
        return TokenAlternatives(bytes(as_bytes), probabilities)
    spelled = token.encode("utf-8", "replace") if isinstance(token, str) else b""
    return TokenAlternatives(spelled, probabilities)
