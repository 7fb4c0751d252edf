"""Explanations of heads, as the Explorer answers them (method.md, section 5).

1. The explainer sees the neuron's top prompts of the explaining part of the corpus, those on which the head
   is active and those on which it is not; never one of the scoring part.
2. A plan says what would be sent, before anything is. What the cache can answer is sent for no more.
3. Every explanation, a person's own too, goes into the index of everything explained so far.

Scoring them is in head_scores.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from tui_lookups.errors import LookupsError
from tui_lookups.explanation.client import OnText
from tui_lookups.explanation.desk import RequestDesk
from tui_lookups.explanation.failures import AnswerError
from tui_lookups.explanation.reading import read_explanation
from tui_lookups.explanation.request_runner import RequestOutcome
from tui_lookups.explanation.requests import REQUEST_VERSION, ChatAnswer, ChatRequest, explain_request
from tui_lookups.explanation.store import ExplainedStore, matches
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model_thread import CURRENT_TOKEN
from tui_lookups.progress import Hear
from tui_lookups.results import (
    Explained,
    ExplainedList,
    Explanation,
    LeftOut,
    NeuronExplanations,
    Plan,
    Provenance,
    Usage,
)
from tui_lookups.results.conventions import LEAST_PERCENT, MOST_PERCENT

if TYPE_CHECKING:  # what it is made from needs NumPy
    from tui_lookups.answering.example_service import ExampleService

NOTHING = Usage(0, 0, 0, 0, 0, False, None)

Pair = tuple[NeuronId, HeadId]


class ExplainedPairs(NamedTuple):
    """What came of asking about many pairs; those left out say why."""

    explanations: tuple[Explanation, ...]
    left_out: tuple[LeftOut, ...]
    usage: Usage


class Explaining:
    """The explanations of one Explorer. Thread-safe; opens no connection before it is asked to."""

    def __init__(self, desk: RequestDesk, store: ExplainedStore, examples: ExampleService) -> None:
        self._desk = desk
        self.store = store
        self._examples = examples

    # --- one head ---

    def request(self, neuron: NeuronId, head: HeadId) -> tuple[ChatRequest, int, int]:
        """What the explainer is asked, and how many active and inactive prompts it is shown.

        Raises LookupsError when the head does not reach the neuron, or is active on no prompt.
        """
        examples, labels = self._examples.labelled(neuron, head, "explaining")
        active = [example for example, label in zip(examples, labels, strict=True) if label]
        inactive = [example for example, label in zip(examples, labels, strict=True) if not label]
        if not active:
            raise LookupsError(
                f"{head} is active on none of the {len(examples)} prompts used to explain {neuron}.",
                # Not the overview of all prompts: it is of both halves, and of full windows.
                f"W in the app, or `lookups-tui explain --worth-explaining {neuron}`, takes the heads that "
                f"are active on {LEAST_PERCENT} % to {MOST_PERCENT} % of its trimmed prompts.",
            )
        return explain_request(active, inactive), len(active), len(inactive)

    def obstacle(self) -> tuple[str, str]:
        """Why nothing can be sent to the explainer, and what to do; empty where it can. Scans nothing."""
        return self._desk.obstacle()

    def plan(self, neuron: NeuronId, head: HeadId, *, fresh: bool = False) -> Plan:
        """What `explain` would send."""
        return self._desk.plan([self.request(neuron, head)[0]], fresh)

    def explain(
        self,
        neuron: NeuronId,
        head: HeadId,
        *,
        fresh: bool = False,
        on_text: OnText | None = None,
        api_key: str | None = None,
    ) -> Explanation:
        """Ask in what contexts a head is active.

        Args:
            fresh: ask anew though there is an answer; both are kept.
            on_text: told the text so far while it arrives, on another thread.
            api_key: used instead of OPENAI_API_KEY, and kept nowhere.
        Raises:
            ExplainerError, AnswerError, BudgetError: nothing came of it, and why.
            LookupsError: the head does not reach the neuron, or is active on no prompt.
        """
        request, active, inactive = self.request(neuron, head)
        asked = self._desk.ask(
            request,
            fresh=fresh,
            on_text=on_text,
            check=_has_text,
            api_key=api_key,
            token=CURRENT_TOKEN.get(),
        )
        return self._kept(neuron, head, request, asked, active, inactive)

    def _kept(
        self,
        neuron: NeuronId,
        head: HeadId,
        request: ChatRequest,
        asked: RequestOutcome,
        active: int,
        inactive: int,
    ) -> Explanation:
        """An answer as an explanation, in the index of explanations from now on.

        Raises AnswerError where there is none, or it explains nothing.
        """
        answer = asked.answer
        if answer is None:
            raise AnswerError(asked.problem or "There is no answer.", "Ask again.")
        _has_text(answer)  # earlier versions kept what was cut inside a model's thoughts
        notes = answer.notes
        if answer.finish_reason == "length":
            notes += ("It was cut at the limit of its length.",)
        if not asked.cached and self._desk.cached(request) is None:
            notes += ("The cache could not keep the answer: asking again sends it again.",)
        made = Explanation(
            neuron=neuron,
            head=head,
            explanation=read_explanation(answer.text),
            author="model",
            model=self._desk.endpoint.model,
            answered_by=answer.answered_by or None,
            endpoint=self._desk.endpoint.base_url,
            request_version=REQUEST_VERSION,
            created=answer.created,
            cached=False,
            active=active,
            inactive=inactive,
            notes=notes,
            usage=self._desk.usage([request], [asked], whole=True),
            provenance=self._examples.provenance(),
        )
        if self.store.get(made) is None:
            self.store.keep(Explained(made, None))
        return replace(made, cached=asked.cached, usage=self._desk.usage([request], [asked], whole=False))

    def provenance(self) -> Provenance:
        """Where examples and labels come from, and with them every explanation."""
        return self._examples.provenance()

    def shown(self, neuron: NeuronId, head: HeadId) -> tuple[int, int]:
        """How many prompts an explainer of this head is shown: active, inactive."""
        _, labels = self._examples.labelled(neuron, head, "explaining")
        return sum(labels), len(labels) - sum(labels)

    def write(self, neuron: NeuronId, head: HeadId, text: str) -> Explanation:
        """Keep a person's own explanation of a head."""
        words = text.strip()
        if not words:
            raise LookupsError("The explanation is empty.", "Write in what contexts the head is active.")
        active, inactive = self.shown(neuron, head)
        made = Explanation(
            neuron=neuron,
            head=head,
            explanation=words,
            author="person",
            model=None,
            answered_by=None,
            endpoint=None,
            request_version=REQUEST_VERSION,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            cached=False,
            active=active,
            inactive=inactive,
            notes=(),
            usage=NOTHING,
            provenance=self._examples.provenance(),
        )
        earlier = self.store.get(made)
        if earlier is not None:
            return earlier.explanation
        self.store.keep(Explained(made, None))
        return made

    # --- many pairs: all heads worth explaining for a neuron, or those of a survey ---

    def plan_all(self, neuron: NeuronId, *, fresh: bool = False) -> Plan:
        """What `explain_all` would send."""
        return self.plan_pairs(self.pairs_of(neuron), fresh=fresh)

    def plan_pairs(self, pairs: Iterable[Pair], *, fresh: bool = False) -> Plan:
        """What `explain_pairs` would send."""
        asking, _ = self._requests_of(pairs)
        return self._desk.plan([request for _, request, _, _ in asking], fresh)

    def explain_all(
        self,
        neuron: NeuronId,
        *,
        fresh: bool = False,
        progress: Hear | None = None,
        api_key: str | None = None,
    ) -> NeuronExplanations:
        """Explain every head that is worth explaining for a neuron; see `explain_pairs`."""
        explained = self.explain_pairs(self.pairs_of(neuron), fresh=fresh, progress=progress, api_key=api_key)
        provenance = self._examples.provenance()
        return NeuronExplanations(
            neuron, explained.explanations, explained.left_out, explained.usage, provenance
        )

    def explain_pairs(
        self,
        pairs: Iterable[Pair],
        *,
        fresh: bool = False,
        progress: Hear | None = None,
        api_key: str | None = None,
    ) -> ExplainedPairs:
        """Explain a head for a neuron, for each of these pairs.

        What fails for one pair leaves that one out; what would fail for all is raised. Asking again goes on
        where it stopped: known answers cost nothing.
        """
        asking, left_out = self._requests_of(pairs)
        wanted = [request for _, request, _, _ in asking]
        asked = self._desk.ask_all(
            wanted,
            fresh=fresh,
            progress=progress,
            check=_has_text,
            api_key=api_key,
            token=CURRENT_TOKEN.get(),
        )
        explanations = []
        for (pair, request, active, inactive), outcome in zip(asking, asked, strict=True):
            try:
                explanations.append(self._kept(*pair, request, outcome, active, inactive))
            except AnswerError as error:
                left_out.append(LeftOut(*pair, error.message))
        usage = self._desk.usage(wanted, asked, whole=False)
        return ExplainedPairs(tuple(explanations), tuple(left_out), usage)

    def pairs_of(self, neuron: NeuronId) -> list[Pair]:
        """The neuron with each head that is worth explaining for it."""
        return [(neuron, head) for head in self._examples.worth_explaining(neuron)]

    def _requests_of(
        self, pairs: Iterable[Pair]
    ) -> tuple[list[tuple[Pair, ChatRequest, int, int]], list[LeftOut]]:
        """Pairs with their requests, and those that cannot be explained."""
        asking, left_out = [], []
        for pair in pairs:
            try:
                asking.append((pair, *self.request(*pair)))
            except LookupsError as error:
                left_out.append(LeftOut(*pair, error.message))
        return asking, left_out

    # --- what has been explained ---

    def explanations(self, query: str = "") -> ExplainedList:
        """Everything explained so far, of any model and corpus, that every word of `query` is found in."""
        return ExplainedList(query, tuple(entry for entry in self.store.all() if matches(entry, query)))

    def cached(self) -> list[Explained]:
        """What is known of this model on this corpus, newest first."""
        return self.of_this_source(self.store.all())

    def explained(self, neuron: NeuronId, head: HeadId) -> tuple[Explained, ...]:
        """What is known of one head of this model on this corpus, newest first."""
        return tuple(
            entry
            for entry in self.cached()
            if (entry.explanation.neuron, entry.explanation.head) == (neuron, head)
        )

    def of_this_source(self, entries: Iterable[Explained]) -> list[Explained]:
        """Those of this model and corpus, made with the same parameters."""
        ours = _source(self._examples.provenance())
        return [entry for entry in entries if _source(entry.explanation.provenance) == ours]


def _source(provenance: Provenance) -> tuple[object, ...]:
    corpus = None if provenance.corpus is None else provenance.corpus.fingerprint
    basis, dtype = provenance.basis, provenance.dtype
    return provenance.model.fingerprint, corpus, basis, dtype, provenance.all_parameters


def _has_text(answer: ChatAnswer) -> None:
    """Raise AnswerError for an answer that explains nothing; it is then not kept."""
    if not read_explanation(answer.text):
        cut = answer.finish_reason == "length"
        raise AnswerError(
            "The explainer was cut off before giving an explanation."
            if cut
            else "The explainer answered without text.",
            "Ask anew (--fresh), or choose another model.",
        )
