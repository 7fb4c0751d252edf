"""Scores of explanations, as the Explorer answers them (method.md, section 5).

1. The scorer is asked Yes or No of each of the neuron's top prompts of the scoring part of the corpus, none
   of which was shown to the explainer; nor are those asked about that, once trimmed, read like one that
   was. Where the head is active on all of them, or on none, nothing is asked.
2. Beside the score stand the same answers under shuffled labels, and a control: an explanation of something
   else on the same prompts.
3. All heads worth explaining are one batch: what it could cost is checked as a whole before it begins, and
   what was answered before it stopped is not asked again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tui_lookups.answering.explaining import NOTHING, Explaining, Pair
from tui_lookups.answering.trials import Controls, Trial, score_notes
from tui_lookups.errors import LookupsError
from tui_lookups.explanation.desk import RequestDesk
from tui_lookups.explanation.reading import read_explanation
from tui_lookups.explanation.request_runner import RequestOutcome
from tui_lookups.explanation.requests import EXPLANATION_TOKENS, REQUEST_VERSION, ChatRequest, score_request
from tui_lookups.explanation.scoring import figures, shuffled, summary
from tui_lookups.explanation.store import ExplainedStore
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model_thread import CURRENT_TOKEN
from tui_lookups.progress import Hear
from tui_lookups.results import (
    Control,
    DeviationOf,
    Example,
    Explained,
    ExplainedHead,
    ExplainedHeads,
    Explanation,
    ExplanationScore,
    LeftOut,
    Plan,
    ScoreReport,
    Usage,
)

if TYPE_CHECKING:  # what it is made from needs NumPy
    from tui_lookups.answering.example_service import ExampleService

_UNKNOWN_EXPLANATION = "x" * 3 * EXPLANATION_TOKENS
"""Stands for an explanation that is not known yet where tokens are estimated: as long as one can be."""


class HeadScores:
    """The scores of one Explorer's explanations. Thread-safe."""

    def __init__(
        self,
        desk: RequestDesk,
        store: ExplainedStore,
        examples: ExampleService,
        explaining: Explaining,
        *,
        seed: int,
        deviation_of: DeviationOf = "sample",
    ) -> None:
        self._desk = desk
        self._store = store
        self._examples = examples
        self._explaining = explaining
        self._seed = seed
        self._deviation_of: DeviationOf = deviation_of

    # --- one head ---

    def plan(
        self,
        neuron: NeuronId,
        head: HeadId,
        *,
        explanation: str | None = None,
        control: bool = True,
        fresh: bool = False,
    ) -> Plan:
        """What `score` would send, the explanation itself included where there is none yet."""
        return self._desk.plan(self._planned(neuron, head, explanation, self._controls(control)), fresh)

    def _planned(
        self, neuron: NeuronId, head: HeadId, explanation: str | None, controls: Controls | None
    ) -> list[ChatRequest]:
        examples, labels, _ = self.held_out(neuron, head)
        asking: list[ChatRequest] = []
        if explanation is None:
            request, *_ = self._explaining.request(neuron, head)
            cached = self._desk.cached(request)
            if cached is None:
                asking.append(request)
            explanation = _UNKNOWN_EXPLANATION if cached is None else read_explanation(cached.text)
        if len(set(labels)) == 2:
            other = [] if controls is None else [controls.of(neuron, head, explanation)[0]]
            asking += [score_request(text, example) for text in (explanation, *other) for example in examples]
        return asking

    def score(
        self,
        neuron: NeuronId,
        head: HeadId,
        *,
        explanation: str | None = None,
        control: bool = True,
        fresh: bool = False,
        progress: Hear | None = None,
        api_key: str | None = None,
    ) -> ExplanationScore:
        """Score an explanation on held-out prompts.

        Args:
            explanation: the words to score, kept as a person's where they are new; by default the
                explainer's, asked for where there are none yet.
            control: also score an explanation of something else on the same prompts.
            fresh: ask the scorer anew.
            progress: told after every answer, on another thread.
            api_key: used instead of OPENAI_API_KEY, and kept nowhere.
        Raises as `Explaining.explain` does.
        """
        if explanation is None:
            about = self._explaining.explain(neuron, head, api_key=api_key)
        else:
            cached = self._cached(neuron, head, explanation)
            about = cached or self._explaining.write(neuron, head, explanation)
        trial = self._trial(about, self._controls(control))
        return self._score_all([trial], fresh, progress, api_key)[0][0]

    def _cached(self, neuron: NeuronId, head: HeadId, text: str) -> Explanation | None:
        for entry in self._explaining.explained(neuron, head):
            if entry.explanation.explanation == text.strip():
                return entry.explanation
        return None

    def _trial(self, about: Explanation, controls: Controls | None) -> Trial:
        examples, labels, seen = self.held_out(about.neuron, about.head)
        other = None if controls is None else controls.of(about.neuron, about.head, about.explanation)
        return Trial(about, examples, labels, other, seen)

    def held_out(self, neuron: NeuronId, head: HeadId) -> tuple[tuple[Example, ...], tuple[bool, ...], int]:
        """Scoring examples and labels, and how many were left out for reading like an explaining one.

        Raises LookupsError when none is left.
        """
        shown = {example.text.strip() for example in self._examples.labelled(neuron, head, "explaining")[0]}
        pairs = list(zip(*self._examples.labelled(neuron, head, "scoring"), strict=True))
        kept = [(example, label) for example, label in pairs if example.text.strip() not in shown]
        if not kept:
            raise LookupsError(
                f"Every scoring prompt of {neuron}, trimmed, duplicates one that the explainer sees.",
                "Scores need a larger corpus.",
            )
        examples, labels = zip(*kept, strict=True)
        return examples, labels, len(pairs) - len(kept)

    def _controls(self, wanted: bool) -> Controls | None:
        if not wanted:
            return None
        return Controls(tuple(self._ours()), self._desk.endpoint.model, self._seed)

    def _score_all(
        self, trials: Sequence[Trial], fresh: bool, progress: Hear | None, api_key: str | None
    ) -> tuple[list[ExplanationScore], Usage]:
        asking = [request for trial in trials for request in trial.all_requests]
        asked = self._desk.ask_all(
            asking, fresh=fresh, progress=progress, api_key=api_key, token=CURRENT_TOKEN.get()
        )
        outcomes = dict(zip(asking, asked, strict=True))
        scores = [self._scored(trial, outcomes) for trial in trials]
        return scores, self._desk.usage(asking, asked, whole=False)

    def _scored(self, trial: Trial, found: dict[ChatRequest, RequestOutcome]) -> ExplanationScore:
        """A trial's score from its answers, kept with its explanation."""
        about, asking = trial.explanation, trial.all_requests
        asked = [found[request] for request in asking]
        given = [outcome.answer for outcome in asked if outcome.answer is not None]
        answers = trial.answers(about.explanation, found)
        control = None
        if trial.control is not None and not trial.single_class:
            text, origin = trial.control
            said = trial.answers(text, found)
            control = Control(text, origin, figures(said), said)
        made = ExplanationScore(
            neuron=about.neuron,
            head=about.head,
            explanation=about.explanation,
            author=about.author,
            explanation_model=about.model,
            model=self._desk.endpoint.model,
            endpoint=self._desk.endpoint.base_url,
            request_version=REQUEST_VERSION,
            created=max((answer.created for answer in given), default=about.created),
            cached=False,
            active=sum(trial.labels),
            inactive=len(trial.labels) - sum(trial.labels),
            single_class=trial.single_class,
            score=figures(answers),
            shuffled=shuffled(answers, self._seed),
            control=control,
            answers=answers,
            notes=score_notes(given, trial.left_out),
            usage=self._desk.usage(asking, asked, whole=True),
            provenance=self._examples.provenance(),
        )
        if trial.single_class or made.answered:  # else an earlier score stays
            kept = self._store.get(about) or Explained(about, None)
            self._store.keep(replace(kept, score=made))
        cached = bool(asked) and all(outcome.cached for outcome in asked)
        return replace(made, cached=cached, usage=self._desk.usage(asking, asked, whole=False))

    # --- many pairs: all heads worth explaining for a neuron, or those of a survey ---

    def plan_all(self, neuron: NeuronId, *, control: bool = True, fresh: bool = False) -> Plan:
        """What `score_all` would send, explanations that are not known yet included."""
        return self.plan_pairs(self._explaining.pairs_of(neuron), control=control, fresh=fresh)

    def plan_pairs(self, pairs: Iterable[Pair], *, control: bool = True, fresh: bool = False) -> Plan:
        """What `score_pairs` would send, explanations that are not known yet included."""
        asking: list[ChatRequest] = []
        controls = self._controls(control)
        for neuron, head in pairs:
            try:
                asking += self._planned(neuron, head, None, controls)
            except LookupsError:
                continue  # `score_pairs` says that it is left out, and why
        return self._desk.plan(asking, fresh)

    def score_all(
        self,
        neuron: NeuronId,
        *,
        control: bool = True,
        fresh: bool = False,
        progress: Hear | None = None,
        api_key: str | None = None,
    ) -> ScoreReport:
        """Explain and score every head worth explaining; `fresh` asks the scorer anew."""
        pairs = self._explaining.pairs_of(neuron)
        return self.score_pairs(pairs, control=control, fresh=fresh, progress=progress, api_key=api_key)

    def score_pairs(
        self,
        pairs: Iterable[Pair],
        *,
        control: bool = True,
        fresh: bool = False,
        progress: Hear | None = None,
        api_key: str | None = None,
    ) -> ScoreReport:
        """Explain and score a head for a neuron, for each of these pairs; `fresh` asks the scorer anew."""
        explained = self._explaining.explain_pairs(pairs, progress=progress, api_key=api_key)
        controls = self._controls(control)
        trials, left_out = [], list(explained.left_out)
        for explanation in explained.explanations:
            try:
                trials.append(self._trial(explanation, controls))
            except LookupsError as error:
                left_out.append(LeftOut(explanation.neuron, explanation.head, error.message))
        scores, usage = self._score_all(trials, fresh, progress, api_key)
        return self._report(scores, left_out, _sum([explained.usage, usage]))

    def report(self, neurons: Iterable[NeuronId] = ()) -> ScoreReport:
        """The scores that are known of the settings' explainer, one a (neuron, head): the newest.

        A person's explanations are not among them. Raises LookupsError when there is none.
        """
        newest, others = self._newest(set(neurons), self._ours())
        if not newest:
            so_far = f" Scored so far: by {', '.join(sorted(others))}." if others else ""
            raise LookupsError(
                f"Nothing of this model and corpus is scored by {self._desk.endpoint.model} yet.{so_far}",
                "Run `lookups-tui score --worth-explaining NEURON` first.",
            )
        return self._report_of(newest)

    def scored(self) -> ScoreReport | None:
        """As `report`, of all neurons; None where nothing is scored yet."""
        newest = self._newest(set(), self._ours())[0] if self._store.all() else {}
        return self._report_of(newest) if newest else None

    def so_far(self, neuron: NeuronId) -> ExplainedHeads:
        """Every head worth explaining for a neuron with what is known of it; asks nobody anything."""
        heads = self._examples.worth_explaining(neuron)
        wanted = {(neuron, head) for head in heads}
        by_head: dict[HeadId, Explained] = {}
        entries = self._ours()
        for entry in entries:
            about = entry.explanation
            if (about.neuron, about.head) in wanted and self._is_ours(about):
                by_head.setdefault(about.head, entry)
        scored = self._newest({neuron}, entries)[0]
        newest = {pair: entry for pair, entry in scored.items() if pair in wanted}
        rows = tuple(ExplainedHead(head, newest.get((neuron, head)) or by_head.get(head)) for head in heads)
        return ExplainedHeads(neuron, rows, self._report_of(newest), self._examples.provenance())

    def _is_ours(self, about: Explanation) -> bool:
        """Whether the settings' explainer wrote it."""
        endpoint = self._desk.endpoint
        written = (about.author, about.model, about.endpoint)
        return written == ("model", endpoint.model, endpoint.base_url)

    def _ours(self) -> list[Explained]:
        return self._explaining.cached()

    def _newest(
        self, wanted: set[NeuronId], entries: Iterable[Explained]
    ) -> tuple[dict[tuple[NeuronId, HeadId], Explained], set[str]]:
        """The newest scored explanation of each pair by the settings' explainer; and the other scorers."""
        newest: dict[tuple[NeuronId, HeadId], Explained] = {}
        others: set[str] = set()
        for entry in entries:
            about, score = entry.explanation, entry.score
            if score is None or about.author != "model" or (wanted and about.neuron not in wanted):
                continue
            if self._is_ours(about) and (score.model, score.endpoint) == (about.model, about.endpoint):
                newest.setdefault((about.neuron, about.head), entry)
            else:
                others.add(f"{about.model} at {about.endpoint}")
        return newest, others

    def _report_of(self, newest: dict[tuple[NeuronId, HeadId], Explained]) -> ScoreReport:
        entries = [newest[pair] for pair in sorted(newest)]
        scores = [entry.score for entry in entries if entry.score is not None]
        usage = _sum(part.usage for entry in entries for part in (entry.explanation, entry.score) if part)
        return self._report(scores, (), usage)

    def _report(
        self, scores: Sequence[ExplanationScore], left_out: Iterable[LeftOut], usage: Usage
    ) -> ScoreReport:
        single = [
            LeftOut(score.neuron, score.head, _one_class(score)) for score in scores if score.single_class
        ]
        kept = tuple(score for score in scores if not score.single_class)
        of = self._deviation_of
        controls = (score.control.score.head_explanation_score for score in kept if score.control is not None)
        return ScoreReport(
            scores=kept,
            left_out=(*left_out, *single),
            head_explanation_score=summary((score.score.head_explanation_score for score in kept), of=of),
            f1=summary((score.score.f1 for score in kept), of=of),
            control=summary(controls, of=of),
            usage=usage,
            provenance=self._examples.provenance(),
        )


def _one_class(score: ExplanationScore) -> str:
    which = "active" if score.active else "inactive"
    return f"It is {which} on all {score.active + score.inactive} scoring prompts."


def _sum(usages: Iterable[Usage]) -> Usage:
    total = NOTHING
    for usage in usages:
        costs = [cost for cost in (total.cost, usage.cost) if cost is not None]
        total = Usage(
            total.calls + usage.calls,
            total.cached + usage.cached,
            total.failed + usage.failed,
            total.input_tokens + usage.input_tokens,
            total.output_tokens + usage.output_tokens,
            total.estimated or usage.estimated,
            sum(costs) if costs else None,
        )
    return total
