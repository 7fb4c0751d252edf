"""The parameters a request is sent with, less those that the endpoint refused (client.py, step 2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from tui_lookups.explanation.requests import TOP_LOGPROBS, ChatRequest


@dataclass
class Dialect:
    """What an endpoint has refused so far; used again by every later request of the session."""

    limit: Literal["max_tokens", "max_completion_tokens"] | None = "max_tokens"
    refused: set[str] = field(default_factory=set)

    def parameters(self, request: ChatRequest, stream: bool) -> dict[str, Any]:
        """What goes with the message."""
        found: dict[str, Any] = {}
        if self.limit is not None:
            found[self.limit] = request.max_tokens
        if "temperature" not in self.refused:
            found["temperature"] = request.temperature
        if request.logprobs and "logprobs" not in self.refused:
            found |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        if stream:
            found["stream"] = True
            if "stream_options" not in self.refused:
                found["stream_options"] = {"include_usage": True}
        return found

    def learn(self, sent: dict[str, Any], message: str) -> bool:
        """Take a refusal in: whether the next try differs from what was `sent`."""
        said = message.lower()
        if "max_completion_tokens" in sent and "max_completion_tokens" in said:
            self.limit = None
            return True
        if "max_tokens" in sent and "max_tokens" in said:
            self.limit = "max_completion_tokens"
            return True
        for name in ("logprobs", "temperature", "stream_options"):
            if name in sent and name in said:
                self.refused.add(name)
                return True
        return False

    def notes(self, request: ChatRequest) -> tuple[str, ...]:
        """In words, what this endpoint is asked without."""
        found = []
        if self.limit is None:
            found.append("The endpoint refuses a limit on the length of answers; none was set.")
        if "temperature" in self.refused:
            found.append("The endpoint refuses temperature 0; its own was used.")
        if request.logprobs and "logprobs" in self.refused:
            found.append("The endpoint refuses log-probabilities.")
        return tuple(found)
