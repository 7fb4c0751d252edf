"""Where one session's requests go through: endpoint, key, cache, budget and prices, from the settings.

Nothing is opened, and no key is looked for, before a request has to be sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

from tui_lookups.explanation.budget import Prices, TokenBudget, token_counter
from tui_lookups.explanation.client import ChatClient, OnText
from tui_lookups.explanation.dialect import Dialect
from tui_lookups.explanation.endpoint import Endpoint, ExplainerError, find_endpoint, find_key
from tui_lookups.explanation.request_runner import Check, RequestOutcome, RequestRunner, usage_of
from tui_lookups.explanation.requests import ChatAnswer, ChatRequest
from tui_lookups.explanation.running import run_requests
from tui_lookups.explanation.store import AnswerStore, DialectStore
from tui_lookups.model_thread import CancelToken
from tui_lookups.progress import Hear
from tui_lookups.results import Plan, Usage
from tui_lookups.settings import Settings
from tui_lookups.storage.cache import ResultCache


class RequestDesk:
    """Plans, sends and accounts for requests. Thread-safe; one budget for its whole life."""

    def __init__(self, settings: Settings, cache: ResultCache) -> None:
        self._settings = settings
        self._cache = cache
        self._budget = TokenBudget(settings.token_budget)
        self._prices = Prices(settings.price_per_million_input, settings.price_per_million_output)

    @cached_property
    def endpoint(self) -> Endpoint:
        """Where requests go. Raises ExplainerError for an address that is none."""
        return find_endpoint(self._settings.base_url, self._settings.explainer_model)

    @cached_property
    def _dialect(self) -> Dialect:
        store = DialectStore(self._cache, self.endpoint)
        return Dialect(store, self._settings.explainer_thinking_tokens)

    @cached_property
    def _asker(self) -> RequestRunner:
        return RequestRunner(
            AnswerStore(self._cache, self.endpoint),
            self._dialect,
            self._budget,
            token_counter(self.endpoint.model),
            self._settings.explainer_concurrency,
        )

    def _require_sendable(self, api_key: str | None) -> str:
        """The key to send with. Raises ExplainerError where nothing may or can be sent."""
        if self._settings.offline and not self.endpoint.is_local:
            raise ExplainerError(
                "Explanations need the network, and the setting offline forbids it.",
                "Leave out --offline, or point --base-url at a server on this machine.",
            )
        return find_key(self.endpoint, api_key)

    def _connect(self, api_key: str | None) -> ChatClient:
        """A client to send with. Raises ExplainerError where nothing may or can be sent."""
        settings = self._settings
        return ChatClient(
            self.endpoint,
            self._require_sendable(api_key),
            self._dialect,
            timeout=settings.explainer_timeout,
            retries=settings.explainer_retries,
        )

    def cached(self, request: ChatRequest) -> ChatAnswer | None:
        """The answer that is in the cache."""
        return self._asker.cached(request, fresh=False)

    def ask(
        self,
        request: ChatRequest,
        *,
        fresh: bool,
        on_text: OnText | None,
        check: Check,
        api_key: str | None,
        token: CancelToken | None,
    ) -> RequestOutcome:
        """One request, streamed to `on_text`. Raises ExplainerError, AnswerError, BudgetError, Cancelled."""
        self._require([request], fresh)
        asker = self._asker
        return run_requests(
            lambda: asker.ask(
                lambda: self._connect(api_key), request, fresh=fresh, on_text=on_text, check=check
            ),
            token,
        )

    def ask_all(
        self,
        requests: Sequence[ChatRequest],
        *,
        fresh: bool,
        progress: Hear | None,
        api_key: str | None,
        token: CancelToken | None,
        check: Check | None = None,
    ) -> list[RequestOutcome]:
        """Many requests; see `RequestRunner.ask_all`. Nothing is sent where they could cross the budget."""
        self._require(requests, fresh)
        asker = self._asker
        return run_requests(
            lambda: asker.ask_all(
                lambda: self._connect(api_key), requests, fresh=fresh, progress=progress, check=check
            ),
            token,
        )

    def usage(
        self, requests: Sequence[ChatRequest], asked: Sequence[RequestOutcome], *, whole: bool
    ) -> Usage:
        """What these took; see `usage_of`."""
        return usage_of(self._asker, requests, asked, self._prices, whole=whole)

    def _unknown(self, requests: Iterable[ChatRequest], fresh: bool) -> list[ChatRequest]:
        return [request for request in dict.fromkeys(requests) if self._asker.cached(request, fresh) is None]

    def _require(self, requests: Iterable[ChatRequest], fresh: bool) -> None:
        self._budget.require(sum(map(self._asker.most_tokens, self._unknown(requests, fresh))))

    def plan(self, requests: Sequence[ChatRequest], fresh: bool) -> Plan:
        """What asking these would send, and what it would cost at most."""
        endpoint, counter = self.endpoint, self._asker.counter
        sending = self._unknown(requests, fresh)
        there = sum(map(counter.input_tokens, sending))
        back = sum(map(self._dialect.most_tokens, sending))
        notes = []
        if not endpoint.is_encrypted and not endpoint.is_local:
            notes.append("The endpoint is not encrypted: prompts and the API key travel in the clear.")
        left = self._budget.left
        if left is not None and there + back > left:
            notes.append("This is more than the session's budget has left; nothing would be sent.")
        problem, hint = self.obstacle() if sending else ("", "")
        return Plan(
            model=endpoint.model,
            endpoint=endpoint.base_url,
            calls=len(sending),
            cached=len(dict.fromkeys(requests)) - len(sending),
            input_tokens=there,
            output_tokens=back,
            counting=counter.how,
            cost=self._prices.cost(there, back),
            budget_left=left,
            notes=tuple(notes),
            problem=problem,
            hint=hint,
        )

    def most_tokens(self, request: ChatRequest) -> tuple[int, int]:
        """Of one request: there, and back at most."""
        return self._asker.counter.input_tokens(request), self._dialect.most_tokens(request)

    def cost(self, there: int, back: int) -> float | None:
        """What so many tokens cost; None unless both prices are set."""
        return self._prices.cost(there, back)

    def obstacle(self) -> tuple[str, str]:
        """Why nothing can be sent with the key of the environment, and what to do; empty where it can."""
        try:
            self._require_sendable(None)
        except ExplainerError as error:
            return error.message, error.hint
        return "", ""
