"""Requests put to the explainer: from the cache where they were answered before, within the budget else.

1. A known answer costs nothing; `fresh` asks anew and keeps both.
2. Before a request is sent its tokens are reserved; a budget that could be crossed stops it.
3. A batch keeps `concurrency` requests under way, each distinct one sent once. One that fails is left
   unanswered; what would stop them all (no key, refused, unreachable, over a limit), or `MOST_FAILURES` in a
   row, ends the batch, and answers so far stay in the cache.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tui_lookups.explanation.budget import Prices, TokenBudget, TokenCounter
from tui_lookups.explanation.client import AnswerError, ChatClient, OnText
from tui_lookups.explanation.endpoint import ExplainerError
from tui_lookups.explanation.requests import ChatAnswer, ChatRequest
from tui_lookups.explanation.store import AnswerStore
from tui_lookups.results import RequestProgress, Usage

MOST_FAILURES = 5

OnProgress = Callable[[RequestProgress], None]

Check = Callable[[ChatAnswer], None]
"""Looks at a new answer before it is kept; raises AnswerError for one that is of no use."""


@dataclass(frozen=True, slots=True)
class RequestOutcome:
    """A request's answer and whether it was known; or why there is none."""

    answer: ChatAnswer | None
    cached: bool
    problem: str | None


Connect = Callable[[], ChatClient]
"""Makes a client; called only when something has to be sent, since it raises ExplainerError without a key."""


@dataclass(frozen=True)
class RequestRunner:
    """Puts requests to one endpoint and model."""

    store: AnswerStore
    budget: TokenBudget
    counter: TokenCounter
    concurrency: int

    def known(self, request: ChatRequest, fresh: bool) -> ChatAnswer | None:
        """The answer that need not be asked for."""
        return None if fresh else self.store.newest(request)

    def most_tokens(self, request: ChatRequest) -> int:
        """Tokens a request can take, there and back."""
        return self.counter.input_tokens(request) + request.max_tokens

    async def ask(
        self,
        connect: Connect,
        request: ChatRequest,
        *,
        fresh: bool = False,
        on_text: OnText | None = None,
        check: Check | None = None,
    ) -> RequestOutcome:
        """One request. Raises ExplainerError, AnswerError, BudgetError."""
        known = self.known(request, fresh)
        if known is not None:
            return RequestOutcome(known, True, None)
        async with connect() as client:
            return RequestOutcome(await self._send(client, request, on_text, check), False, None)

    async def _send(
        self, client: ChatClient, request: ChatRequest, on_text: OnText | None, check: Check | None
    ) -> ChatAnswer:
        most = self.most_tokens(request)
        self.budget.reserve(most)
        used = most  # where it is not known what was used, as much as could be counts
        try:
            answer = await client.ask(request, on_text)
            used = sum(self.tokens_of(request, answer))
        except ExplainerError:
            used = 0
            raise
        finally:
            self.budget.settle(most, used)
        if check is not None:
            check(answer)
        self.store.add(request, answer)
        return answer

    def tokens_of(self, request: ChatRequest, answer: ChatAnswer) -> tuple[int, int]:
        """Tokens there and back: as the endpoint counted them, else as the counter does."""
        there, back = answer.input_tokens, answer.output_tokens
        return (
            self.counter.input_tokens(request) if there is None else there,
            self.counter.count(answer.text) if back is None else back,
        )

    async def ask_all(
        self,
        connect: Connect,
        requests: Sequence[ChatRequest],
        *,
        fresh: bool = False,
        progress: OnProgress | None = None,
        check: Check | None = None,
    ) -> list[RequestOutcome]:
        """All requests, answered in their order. Raises ExplainerError and BudgetError."""
        found: dict[ChatRequest, RequestOutcome] = {}
        waiting: list[ChatRequest] = []
        for request in dict.fromkeys(requests):
            known = self.known(request, fresh)
            if known is None:
                waiting.append(request)
            else:
                found[request] = RequestOutcome(known, True, None)
        teller = _Teller(len(found), len(found) + len(waiting), progress)
        if waiting:
            async with connect() as client:
                await self._send_all(client, waiting, found, teller, check)
        return [found[request] for request in requests]

    async def _send_all(
        self,
        client: ChatClient,
        waiting: Sequence[ChatRequest],
        found: dict[ChatRequest, RequestOutcome],
        teller: _Teller,
        check: Check | None,
    ) -> None:
        slots = asyncio.Semaphore(self.concurrency)
        failures = 0
        over = False

        async def one(request: ChatRequest) -> None:
            nonlocal failures, over
            async with slots:
                if over:  # another one failed for all; this one is about to be cancelled
                    return
                try:
                    found[request] = RequestOutcome(
                        await self._send(client, request, None, check), False, None
                    )
                    failures = 0
                except AnswerError as error:
                    found[request] = RequestOutcome(None, False, error.message)
                    failures += 1
                    if failures >= MOST_FAILURES:
                        over = True
                        raise ExplainerError(
                            f"{failures} requests in a row failed: {error.message}",
                            "Answers so far are kept; ask again to go on.",
                        ) from None
                except BaseException:
                    over = True
                    raise
                teller.tell(failed=found[request].answer is None)

        tasks = [asyncio.create_task(one(request)) for request in waiting]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class _Teller:
    """Counts answers and tells how far a batch is."""

    def __init__(self, cached: int, total: int, hear: OnProgress | None) -> None:
        self._cached, self._total, self._hear = cached, total, hear
        self._sent = self._failed = 0
        self._began = time.monotonic()
        if hear is not None:
            hear(self._now())

    def _now(self) -> RequestProgress:
        seconds = time.monotonic() - self._began
        left = self._total - self._cached - self._sent
        pace = None if not self._sent else seconds / self._sent * left
        done = self._cached + self._sent
        return RequestProgress(done, self._total, self._cached, self._failed, seconds, pace)

    def tell(self, *, failed: bool) -> None:
        self._sent += 1
        self._failed += failed
        if self._hear is not None:
            self._hear(self._now())


def usage_of(
    asker: RequestRunner,
    requests: Sequence[ChatRequest],
    asked: Sequence[RequestOutcome],
    prices: Prices,
    *,
    whole: bool,
) -> Usage:
    """What a batch took: now, or with `whole` also what its known answers took when they were asked for."""
    there = back = 0
    estimated = False
    distinct = dict(zip(requests, asked, strict=True))
    for request, each in distinct.items():
        if each.answer is None or (each.cached and not whole):
            continue
        counted = asker.tokens_of(request, each.answer)
        there, back = there + counted[0], back + counted[1]
        estimated |= each.answer.input_tokens is None or each.answer.output_tokens is None
    answered = sum(each.answer is not None for each in distinct.values())
    cached = 0 if whole else sum(each.cached for each in distinct.values())
    return Usage(
        calls=answered - cached,
        cached=cached,
        failed=len(distinct) - answered,
        input_tokens=there,
        output_tokens=back,
        estimated=estimated,
        cost=prices.cost(there, back),
    )
