"""Requests put to the explainer: from the cache where they were answered before, within the budget else.

1. A known answer costs nothing; `fresh` asks anew and keeps both.
2. Before a request is sent its tokens are reserved; a budget that could be crossed stops it.
3. A batch keeps `concurrency` requests under way, each distinct one sent once. One that fails is left
   unanswered; what would stop them all (no key, refused, unreachable, over a limit), or `MOST_FAILURES` in a
   row, ends the batch, and answers so far stay in the cache.
4. A request with parameters that the endpoint was not yet seen to accept is sent alone, so that a batch
   learns once what the endpoint refuses.
5. An answer that was cut, by a model that thinks or may do so, is asked for again with room for thoughts.
   Where that is not enough either, the next request would fare no better: the batch ends.
6. An answer to a Yes-or-No question that is neither is told, but not kept: asking again sends it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tui_lookups.explanation.budget import Prices, TokenBudget, TokenCounter
from tui_lookups.explanation.client import ChatClient, OnText
from tui_lookups.explanation.dialect import Dialect
from tui_lookups.explanation.endpoint import ExplainerError
from tui_lookups.explanation.failures import AnswerError
from tui_lookups.explanation.reading import read_explanation, read_yes_no
from tui_lookups.explanation.requests import ChatAnswer, ChatRequest
from tui_lookups.explanation.store import AnswerStore
from tui_lookups.progress import Count, Hear, tell
from tui_lookups.results import Usage

MOST_FAILURES = 5


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
    dialect: Dialect
    budget: TokenBudget
    counter: TokenCounter
    concurrency: int

    def cached(self, request: ChatRequest, fresh: bool) -> ChatAnswer | None:
        """The answer that need not be asked for. Earlier versions kept those that are neither Yes nor No."""
        newest = None if fresh else self.store.newest(request)
        return newest if newest is not None and _is_of_use(request, newest) else None

    def most_tokens(self, request: ChatRequest) -> int:
        """Tokens a request can take, there and back."""
        return self.counter.input_tokens(request) + self.dialect.most_tokens(request)

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
        cached = self.cached(request, fresh)
        if cached is not None:
            return RequestOutcome(cached, True, None)
        if fresh:
            self.dialect.forget()
        async with connect() as client:
            return RequestOutcome(await self._send(client, request, on_text, check), False, None)

    async def _send(
        self, client: ChatClient, request: ChatRequest, on_text: OnText | None, check: Check | None
    ) -> ChatAnswer:
        answer = await self._answered(client, request, on_text)
        self.dialect.accept(request)
        if check is not None:
            check(answer)
        if _is_of_use(request, answer):
            self.store.add(request, answer)
        elif not read_explanation(answer.text):
            raise AnswerError("The model answered without text.", "Ask again, or choose another model.")
        return answer

    async def _answered(self, client: ChatClient, request: ChatRequest, on_text: OnText | None) -> ChatAnswer:
        """An answer that the model had room for (step 5)."""
        dialect = self.dialect
        had_room = dialect.learned.has_room
        answer = await self._within_budget(client, request, on_text, room=False)
        if not _is_cut(request, answer):
            return answer
        had_room = had_room or bool(dialect.learned.withheld)  # learnt by this very request
        may_think = dialect.learned.thinks or not dialect.knows(request)
        if not had_room and may_think and dialect.thinking_tokens:
            cut, answer = answer, await self._within_budget(client, request, on_text, room=True)
            answer = answer.with_tokens_of(cut)
            if not _is_cut(request, answer):  # without thoughts it only says more than it may
                return answer if dialect.learned.thinks else answer.with_words_of(cut)
        elif not had_room and not dialect.learned.thinks:
            return answer
        if dialect.learned.thinks and read_explanation(answer.text):
            return answer
        limit = request.max_tokens + dialect.thinking_tokens
        raise ExplainerError(
            f"The model used up its limit of {limit:,} tokens, thoughts included, and gave no answer.",
            "Raise the setting explainer_thinking_tokens, or choose a model that thinks less.",
        )

    async def _within_budget(
        self, client: ChatClient, request: ChatRequest, on_text: OnText | None, *, room: bool
    ) -> ChatAnswer:
        most = self.counter.input_tokens(request) + self.dialect.most_tokens(request, room=room)
        self.budget.reserve(most)

        def reserve(tokens: int) -> None:
            nonlocal most
            self.budget.reserve(tokens)
            most += tokens

        used = None  # where it is not known what was used, as much as could be counts
        try:
            answer = await client.ask(request, on_text, room=room, reserve=reserve)
            used = sum(self.tokens_of(request, answer))
        except ExplainerError:
            used = 0
            raise
        finally:
            self.budget.settle(most, most if used is None else used)
        return answer

    @asynccontextmanager
    async def _turn(self, request: ChatRequest, learning: asyncio.Lock) -> AsyncIterator[None]:
        """Alone while the endpoint was not seen to accept such a request (step 4)."""
        if not self.dialect.knows(request):
            async with learning:
                if not self.dialect.knows(request):
                    yield
                    return
        yield

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
        progress: Hear | None = None,
        check: Check | None = None,
    ) -> list[RequestOutcome]:
        """All requests, answered in their order. Raises ExplainerError and BudgetError."""
        outcomes: dict[ChatRequest, RequestOutcome] = {}
        waiting: list[ChatRequest] = []
        for request in dict.fromkeys(requests):
            cached = self.cached(request, fresh)
            if cached is None:
                waiting.append(request)
            else:
                outcomes[request] = RequestOutcome(cached, True, None)
        teller = _Teller(len(outcomes), len(outcomes) + len(waiting), progress)
        if waiting:
            if fresh:
                self.dialect.forget()
            async with connect() as client:
                await self._send_all(client, waiting, outcomes, teller, check)
        return [outcomes[request] for request in requests]

    async def _send_all(
        self,
        client: ChatClient,
        waiting: Sequence[ChatRequest],
        found: dict[ChatRequest, RequestOutcome],
        teller: _Teller,
        check: Check | None,
    ) -> None:
        slots, learning = asyncio.Semaphore(self.concurrency), asyncio.Lock()
        failures = 0
        over = False

        async def one(request: ChatRequest) -> None:
            nonlocal failures, over
            async with slots, self._turn(request, learning):
                if over:  # another one failed for all; this one is about to be cancelled
                    return
                try:
                    answer = await self._send(client, request, None, check)
                    found[request] = RequestOutcome(answer, False, None)
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
                teller.answered(failed=found[request].answer is None)

        tasks = [asyncio.create_task(one(request)) for request in waiting]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _is_of_use(request: ChatRequest, answer: ChatAnswer) -> bool:
    """Whether an answer may be kept: explanations are looked at by those who ask for them."""
    return not request.wants_yes_or_no or read_yes_no(answer.text) is not None


def _is_cut(request: ChatRequest, answer: ChatAnswer) -> bool:
    """Whether a limit has cut an answer short of what was asked for."""
    answered = request.wants_yes_or_no and read_yes_no(answer.text) is not None
    return answer.finish_reason == "length" and not answered


class _Teller:
    """Counts answers and tells how far a batch is."""

    def __init__(self, cached: int, total: int, hear: Hear | None) -> None:
        self._count, self._hear = Count("asking", total, "answered", known=cached), hear
        self._done, self._failed = cached, 0
        self._tell()

    def answered(self, *, failed: bool) -> None:
        self._done += 1
        self._failed += failed
        self._tell()

    def _tell(self) -> None:
        now = self._count.at(self._done, f"{self._failed} failed" if self._failed else "")
        tell(now)
        if self._hear is not None:
            self._hear(now)


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
    for request, outcome in distinct.items():
        if outcome.answer is None or (outcome.cached and not whole):
            continue
        counted = asker.tokens_of(request, outcome.answer)
        there, back = there + counted[0], back + counted[1]
        estimated |= outcome.answer.input_tokens is None or outcome.answer.output_tokens is None
    answered = sum(outcome.answer is not None for outcome in distinct.values())
    cached = 0 if whole else sum(outcome.cached for outcome in distinct.values())
    return Usage(
        calls=answered - cached,
        cached=cached,
        failed=len(distinct) - answered,
        input_tokens=there,
        output_tokens=back,
        estimated=estimated,
        cost=prices.cost(there, back),
    )
