"""What was asked and answered, and what has been explained so far, in the result cache.

1. An answer lies under its endpoint, model and whole request; the key that was used is no part of it.
   Asking anew adds to the list of answers, whose last one counts.
2. Every explanation, with its newest score, lies under an entry of its own, so that two processes never
   overwrite each other's; listing reads them all.
3. What an endpoint and model accept lies under them too, so that it is learnt once and not in each session.
"""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass

from tui_lookups.explanation.dialect import Learned
from tui_lookups.explanation.endpoint import Endpoint
from tui_lookups.explanation.requests import ChatAnswer, ChatRequest
from tui_lookups.results import Explained, Explanation
from tui_lookups.storage.cache import ResultCache
from tui_lookups.storage.salvage import CHAT_ANSWERS as ANSWERS
from tui_lookups.storage.salvage import EXPLAINED

DIALECTS = "dialects"


@dataclass(frozen=True, slots=True)
class AnswerHistory:
    """All answers to one request, oldest first."""

    answers: tuple[ChatAnswer, ...]


class AnswerStore:
    """Answers of one endpoint and model. Thread-safe."""

    def __init__(self, cache: ResultCache, endpoint: Endpoint) -> None:
        self._cache = cache
        self._endpoint = endpoint
        self._lock = threading.Lock()

    def _key(self, request: ChatRequest) -> str:
        return self._cache.key(
            ANSWERS, endpoint=self._endpoint.base_url, model=self._endpoint.model, request=asdict(request)
        )

    def history(self, request: ChatRequest) -> tuple[ChatAnswer, ...]:
        """Every answer that is kept, oldest first."""
        history = self._cache.get_result(ANSWERS, self._key(request), AnswerHistory)
        return () if history is None else history.answers

    def newest(self, request: ChatRequest) -> ChatAnswer | None:
        """The answer that counts, None where the request was never answered."""
        answers = self.history(request)
        return answers[-1] if answers else None

    def add(self, request: ChatRequest, answer: ChatAnswer) -> None:
        """Keep an answer beside the older ones."""
        with self._lock:
            kept = AnswerHistory((*self.history(request), answer))
            self._cache.put_result(ANSWERS, self._key(request), kept)


class DialectStore:
    """What one endpoint and model were seen to accept."""

    def __init__(self, cache: ResultCache, endpoint: Endpoint) -> None:
        self._cache = cache
        self._key = cache.key(DIALECTS, endpoint=endpoint.base_url, model=endpoint.model)

    def load(self) -> Learned | None:
        """What is kept, None where nothing is."""
        return self._cache.get_result(DIALECTS, self._key, Learned)

    def keep(self, learned: Learned) -> None:
        """Keep this in place of what was kept."""
        self._cache.put_result(DIALECTS, self._key, learned)


class ExplainedStore:
    """The index of everything explained so far, over all models and corpora."""

    def __init__(self, cache: ResultCache) -> None:
        self._cache = cache

    def _key(self, explanation: Explanation) -> str:
        where = explanation.provenance
        return self._cache.key(
            EXPLAINED,
            model=where.model.fingerprint,
            corpus=None if where.corpus is None else where.corpus.fingerprint,
            basis=where.basis,
            dtype=where.dtype,
            parameters=where.parameters,
            neuron=str(explanation.neuron),
            head=str(explanation.head),
            explanation=explanation.explanation,
            author=explanation.author,
            by=explanation.model,
            endpoint=explanation.endpoint,
            created=explanation.created if explanation.author == "model" else None,
        )

    def get(self, explanation: Explanation) -> Explained | None:
        """The entry of this explanation, None where it is not kept."""
        return self._cache.get_result(EXPLAINED, self._key(explanation), Explained)

    def keep(self, explained: Explained) -> None:
        """Keep an explanation, in place of the same one without a score or with an older one."""
        self._cache.put_result(EXPLAINED, self._key(explained.explanation), explained)

    def all(self) -> list[Explained]:
        """Everything that is kept, newest explanation first."""
        entries = (self._cache.get_result(EXPLAINED, key, Explained) for key in self._cache.keys(EXPLAINED))
        kept = [entry for entry in entries if entry is not None]
        return sorted(kept, key=lambda entry: entry.explanation.created, reverse=True)


def matches(entry: Explained, query: str) -> bool:
    """Whether every word of `query` occurs in what is kept with an explanation, in any case."""
    about, score = entry.explanation, entry.score
    model, corpus = about.provenance.model, about.provenance.corpus
    text = " ".join(
        [
            str(about.neuron), str(about.head), about.explanation, about.author, about.model or "",
            model.name, corpus.name if corpus else "", "scored" if score else "",
        ]
    ).casefold()  # fmt: skip
    return all(word in text for word in query.casefold().split())
