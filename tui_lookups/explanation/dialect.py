"""The parameters that requests to one endpoint and model are sent with, as far as it accepts them.

1. A request starts from what the official API documents: max_tokens, temperature, logprobs. What is refused
   (error_body.py) is left out of the next try, and for good once that try was answered.
2. An endpoint that refuses max_tokens wants max_completion_tokens, as reasoning models do; they refuse
   temperature and logprobs too, one by one. Both are therefore withheld at once, and tried again only where
   the answer is counted as having taken no thoughts.
3. A model that was seen to think, or is one of those, gets room for that beside the limit of each answer.
4. All this, and what was accepted, is kept in the cache for later sessions; asking anew forgets it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from tui_lookups.explanation.error_body import ErrorBody
from tui_lookups.explanation.requests import TOP_LOGPROBS, ChatRequest

THINKING_TOKENS = 8192
"""Tokens that a model may think before it answers, where the settings do not say."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What is known of an endpoint and model.

    `limit` is how the length of an answer is limited, None where it cannot be. `refused` parameters were
    refused, `withheld` ones would be (step 2). `accepted` were sent and answered; a limit with its value,
    since a small one may leave no room for thoughts. `begins_in_thoughts`: answers open no thoughts, but
    close them.
    """

    limit: Literal["max_tokens", "max_completion_tokens"] | None = "max_tokens"
    refused: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    thinks: bool = False
    begins_in_thoughts: bool = False

    @property
    def has_room(self) -> bool:
        """Whether answers are given room for thoughts: the model thinks, or is taken for one that does."""
        return self.thinks or bool(self.withheld)

    def sends(self, name: str) -> bool:
        """Whether a parameter that may be left out is sent."""
        return name not in self.refused and name not in self.withheld

    def refuses(self, name: str) -> str:
        """In words, how sure it is that a parameter that is not sent would be refused."""
        return "is taken to refuse" if name in self.withheld else "refuses"

    def without(self, refused: frozenset[str]) -> Learned:
        """What is known once these parameters were refused."""
        reduced = replace(self, refused=tuple(sorted({*self.refused, *refused})))
        if "max_completion_tokens" in refused:
            return replace(reduced, limit=None)
        if "max_tokens" in refused:
            withheld = tuple(name for name in ("logprobs", "temperature") if name not in reduced.refused)
            return replace(reduced, limit="max_completion_tokens", withheld=withheld)
        return reduced


class KeptLearned(Protocol):
    """Where what was learned is kept: a `DialectStore`."""

    def load(self) -> Learned | None: ...

    def keep(self, learned: Learned) -> None: ...


class Dialect:
    """What one endpoint and model accept, for all requests of a session. Thread-safe."""

    def __init__(self, store: KeptLearned | None = None, thinking_tokens: int = THINKING_TOKENS) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._learned = (None if store is None else store.load()) or Learned()
        self.thinking_tokens = thinking_tokens

    @property
    def learned(self) -> Learned:
        """What is known now."""
        return self._learned

    def remember(self, learned: Learned) -> None:
        """Know this from now on, and keep it for later sessions."""
        with self._lock:
            if learned != self._learned:
                self._learned = learned
                if self._store is not None:
                    self._store.keep(learned)

    def forget(self) -> None:
        """Know nothing of the endpoint any more: what it refused before is tried again."""
        self.remember(Learned())

    def most_tokens(self, request: ChatRequest, learned: Learned | None = None, *, room: bool = False) -> int:
        """Most tokens that an answer is limited to, thoughts included, by what is `learned` (by now)."""
        thinks = room or (learned or self._learned).has_room
        return request.max_tokens + (self.thinking_tokens if thinks else 0)

    def parameters(
        self, request: ChatRequest, learned: Learned, *, stream: bool, room: bool = False
    ) -> dict[str, Any]:
        """What goes with the message, by what is `learned`; with `room` for thoughts in any case."""
        parameters: dict[str, Any] = {}
        if learned.limit is not None:
            parameters[learned.limit] = self.most_tokens(request, learned, room=room)
        if learned.sends("temperature"):
            parameters["temperature"] = request.temperature
        if request.logprobs and learned.sends("logprobs"):
            parameters |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        if stream:
            parameters["stream"] = True
            if learned.sends("stream_options"):
                parameters["stream_options"] = {"include_usage": True}
        return parameters

    def knows(self, request: ChatRequest) -> bool:
        """Whether a request like this one was answered before, with all that it is sent with."""
        return self._marks(request) <= set(self._learned.accepted)

    def accept(self, request: ChatRequest) -> None:
        """A request like this one was answered."""
        accepted = {*self._learned.accepted, *self._marks(request)}
        self.remember(replace(self._learned, accepted=tuple(sorted(accepted))))

    def _marks(self, request: ChatRequest) -> set[str]:
        sent = self.parameters(request, self._learned, stream=False)
        return {name if name == "temperature" else f"{name} {value}" for name, value in sent.items()}

    @staticmethod
    def notes(request: ChatRequest, learned: Learned) -> tuple[str, ...]:
        """In words, what a request was sent without, by what was `learned`."""
        notes = []
        if learned.limit is None:
            notes.append("The endpoint refuses a limit on the length of answers; none was set.")
        if not learned.sends("temperature"):
            notes.append(f"The endpoint {learned.refuses('temperature')} temperature 0; its own was used.")
        if request.logprobs and not learned.sends("logprobs"):
            notes.append(f"The endpoint {learned.refuses('logprobs')} log-probabilities.")
        return tuple(notes)


def next_try(learned: Learned, sent: dict[str, Any], error: ErrorBody) -> Learned | None:
    """What to try after an error; None where it refuses nothing that could be left out."""
    refused = error.refused([name for name in sent if name not in ("stream", "top_logprobs")])
    return learned.without(refused) if refused else None
