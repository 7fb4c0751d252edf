"""Whatever goes wrong with a request, in one sentence.

`AnswerError`: this one request failed. `ExplainerError`: the next one would fail in the same way.

Server messages are quoted only after the key, and anything that begins like it or follows "Bearer", was
taken out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tui_lookups.errors import LookupsError
from tui_lookups.explanation.endpoint import (
    KEY_VARIABLE,
    NO_KEY,
    Endpoint,
    ExplainerError,
    key_of_environment,
)
from tui_lookups.explanation.error_body import ErrorBody, read_error
from tui_lookups.visible import visible

_MOST_QUOTED = 300
_LOOKS_LIKE_A_KEY = re.compile(r"\bsk-[\w*.-]{8,}")
_AUTHORIZATION = re.compile(r"\b(bearer)\s+[^\s\"',;}\]]+", re.IGNORECASE)
_SHORTEST_SECRET, _SHORTEST_PREFIXED = 8, 12  # stand-ins for local servers ("EMPTY") are words of their own
_UNREACHABLE = frozenset({"ConnectError", "ConnectTimeout", "ProxyError", "UnsupportedProtocol"})
_TRANSPORTS = frozenset({"httpx", "httpx2", "httpcore", "httpcore2", "h11", "anyio", "ssl"})


class AnswerError(LookupsError):
    """One request got no usable answer; another one may."""


class ErrorInAnswerError(Exception):
    """An error that came as an answer, with status 200."""

    def __init__(self, body: ErrorBody) -> None:
        super().__init__(body.message)
        self.body = body


def error_body(error: Exception) -> ErrorBody | None:
    """What the endpoint said in an exception of the client; None where it said nothing."""
    import openai

    if isinstance(error, ErrorInAnswerError):
        return error.body
    if isinstance(error, openai.APIStatusError):
        return read_error(error.status_code, error.response.text)
    if isinstance(error, openai.APIError) and error.body is not None:  # within a stream
        return read_error(200, {"error": error.body})
    return None


@dataclass(frozen=True, repr=False)
class Failures:
    """The sentences about one endpoint, with one key."""

    endpoint: Endpoint
    key: str
    timeout: float
    retries: int

    @property
    def name(self) -> str:
        """Who failed, as people know it."""
        return urlsplit(self.endpoint.base_url).netloc

    def malformed(self) -> AnswerError:
        """What came back is no chat completion."""
        return AnswerError(
            f"{self.name} answered with something that is not a chat completion.",
            "Check --base-url: it usually ends in /v1.",
        )

    def in_words(self, error: Exception, body: ErrorBody | None) -> LookupsError | None:
        """An exception of the client or of the transport as a sentence; None when it is neither's."""
        import openai

        name, cause = self.name, type(error.__cause__ or error).__name__
        tries = f", also after {self.retries} retries" if self.retries else ""
        if isinstance(error, openai.APIStatusError) and body is not None:
            return self._status_in_words(body, error.response.headers.get("retry-after", ""), tries)
        if body is not None:
            return self._no_quota(body) if body.is_no_quota else self._failed_while_answering(body)
        if cause in _UNREACHABLE:
            return ExplainerError(
                f"{name} cannot be reached: {self.quoted(str(error.__cause__ or error)) or cause}.",
                "Check the network, the proxy variables and --base-url.",
            )
        if isinstance(error, openai.APITimeoutError):
            return AnswerError(
                f"{name} did not answer within {self.timeout:g} seconds{tries}.",
                "Ask again, or raise the setting explainer_timeout.",
            )
        if isinstance(error, openai.APIConnectionError):
            return AnswerError(f"{name} dropped the connection{tries}.", "Ask again.")
        if isinstance(error, openai.APIResponseValidationError | ValueError):
            return self.malformed()
        if isinstance(error, openai.APIError):
            return AnswerError(f"{name} failed while answering: {self.quoted(error.message)}.", "Ask again.")
        if type(error).__module__.partition(".")[0] in _TRANSPORTS or isinstance(error, OSError):
            return AnswerError(f"{name} dropped the connection{tries}.", "Ask again.")
        return None

    def _failed_while_answering(self, body: ErrorBody) -> AnswerError:
        said = self.quoted(body.message) or "it does not say why"
        return AnswerError(f"{self.name} failed while answering: {said}.", "Ask again.")

    def _no_quota(self, body: ErrorBody) -> ExplainerError:
        status = "" if body.status == 200 else f" ({body.status})"
        return ExplainerError(f"The account at {self.name} has no quota left{status}.", "Add to it there.")

    def _status_in_words(self, body: ErrorBody, retry_after: str, tries: str) -> LookupsError:
        name, model, status = self.name, self.endpoint.model, body.status
        said = self.quoted(body.message) or "it does not say why"
        if body.is_no_quota:
            return self._no_quota(body)
        if status == 401:
            given = "needs an API key" if self.key == NO_KEY else "does not accept the API key"
            of_ours = self.key in (NO_KEY, key_of_environment())
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
            wait = f"; it asks to wait {retry_after} seconds" if retry_after.isdigit() else ""
            return ExplainerError(
                f"{name} allows no more requests for now (429){tries}{wait}.",
                "Wait and ask again (answers so far are kept), or lower the setting explainer_concurrency.",
            )
        if status >= 500:
            why = f": {said}" if body.message and len(body.message) <= _MOST_QUOTED else ""
            return AnswerError(f"{name} failed with status {status}{tries}{why}.", "Ask again later.")
        if body.is_too_long:
            return AnswerError(
                f"The request does not fit into the context of {visible(model)}.",
                "Choose a model with a longer context, a shorter --window, or, where the model thinks before "
                "it answers, lower the setting explainer_thinking_tokens.",
            )
        return ExplainerError(
            f"{name} refused the request ({status}): {said}.",
            "Check --explainer-model; where a limit is too large, the setting explainer_thinking_tokens.",
        )

    def quoted(self, text: str) -> str:
        """What a server said, fit to be shown: without the key, on one line, not too long."""
        line = _AUTHORIZATION.sub(r"\1 [key]", " ".join(self.without_key(text).split()))
        line = visible(line)
        return (line[:_MOST_QUOTED] + "…" if len(line) > _MOST_QUOTED else line).rstrip(".")

    def without_key(self, text: str) -> str:
        """`text` with the key, and whatever begins like it (servers mask the rest), taken out."""
        if len(self.key) >= _SHORTEST_SECRET:
            text = text.replace(self.key, "[key]")
            if len(self.key) >= _SHORTEST_PREFIXED:
                text = re.sub(re.escape(self.key[:7]) + r"[^\s\"']*", "[key]", text)
        return _LOOKS_LIKE_A_KEY.sub("[key]", text)


async def refuse_retries(response: Any) -> None:
    """Tell the client not to retry what would fail again: a response hook of its transport.

    That is a refused parameter, and an account without quota, which it takes for a rate limit.
    """
    if response.status_code < 400:
        return
    await response.aread()
    body = read_error(response.status_code, response.text)
    refused = body.refused(
        ("max_tokens", "max_completion_tokens", "temperature", "logprobs", "stream_options")
    )
    if refused or body.is_no_quota or body.is_thought_away:
        response.headers["x-should-retry"] = "false"
