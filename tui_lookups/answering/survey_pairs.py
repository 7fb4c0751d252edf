"""What is asked about the pairs of a survey: explanations, their scores, ablations.

See method.md, sections 5, 6 and 12.

1. Each pair is asked about once. What was answered is in the cache: a run that was ended goes on there.
2. Explanations and scores are one batch of requests over all pairs. What it would send is worked out from
   the very requests, and said, before any is sent; what it could cost is checked as a whole.
3. Each pair's head is ablated on all the prompts of its neuron, by whoever runs the passes of a survey
   (passes.py); the drops where it is active are compared with those where it is not, over the pairs. Preset
   "paper" ablates on the prompts of the scoring part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from tui_lookups.answering.corpus_means import corpus_means
from tui_lookups.answering.engine import Engine
from tui_lookups.answering.explaining import Pair
from tui_lookups.answering.head_service import HeadService
from tui_lookups.answering.passes import Asked, ForwardPass, in_turn, passes_of
from tui_lookups.answering.prompt_lists import TOGETHER, ListsAsked, PromptLists
from tui_lookups.answering.prompt_service import PromptService
from tui_lookups.errors import LookupsError
from tui_lookups.explanation.desk import RequestDesk
from tui_lookups.explanation.requests import EXPLANATION_TOKENS, explain_request, score_request
from tui_lookups.ids import NeuronId
from tui_lookups.progress import Count, Hear
from tui_lookups.results import (
    AblationMethod,
    AblationPositions,
    Example,
    ExplainedPair,
    Explanation,
    ExplanationScore,
    FollowUpPlan,
    HeadAttributions,
    LeftOut,
    Part,
    Plan,
    ScoreMeans,
    Survey,
    SurveyPlan,
    SurveyProgress,
)
from tui_lookups.results.conventions import ablated_on

if TYPE_CHECKING:
    from tui_lookups.answering.example_service import ExampleService
    from tui_lookups.answering.explaining import Explaining
    from tui_lookups.answering.head_scores import HeadScores

T = TypeVar("T")

_AHEAD = 32
"""Pairs whose ablations workers are given before their turn."""

OnStep = Callable[[SurveyProgress], None]


class SurveyPairs:
    """What one Explorer asks about the pairs of its surveys. Thread-safe."""

    def __init__(
        self,
        engine: Engine,
        desk: RequestDesk,
        heads: HeadService,
        examples: ExampleService,
        explaining: Explaining,
        scores: HeadScores,
        lists: PromptLists,
        prompts: PromptService,
    ) -> None:
        self._engine = engine
        self._prompts = prompts
        self._lists = lists
        self._desk = desk
        self._heads = heads
        self._examples = examples
        self._explaining = explaining
        self._scores = scores

    def plan(self, survey: Survey, *, score: bool, control: bool, progress: OnStep) -> Plan:
        """What `explain` would send. Works out the examples of every neuron that has a pair."""
        neurons = list(dict.fromkeys(pair.neuron for pair in survey.pairs))
        parts: tuple[Part, ...] = ("explaining", "scoring") if score else ("explaining",)
        for neuron in _told(neurons, "examples", progress):
            for part in parts:
                self._examples.examples(neuron, part)
        if score:
            return self._scores.plan_pairs(_pairs(survey), control=control)
        return self._explaining.plan_pairs(_pairs(survey))

    def explain(self, survey: Survey, *, score: bool, control: bool, hear: Hear | None) -> Survey:
        """The survey with each pair explained, and with `score` scored. See `Explorer.explain_survey`."""
        if not score:
            explained = self._explaining.explain_pairs(_pairs(survey), progress=hear)
            rows = [_explained(explanation) for explanation in explained.explanations]
            return replace(survey, explained=_in_order(survey, rows, explained.left_out))
        report = self._scores.score_pairs(_pairs(survey), control=control, progress=hear)
        return replace(
            survey,
            explained=_in_order(survey, map(_scored, report.scores), report.left_out),
            scores=ScoreMeans(report.head_explanation_score, report.f1, report.control),
        )

    def ablate(
        self,
        survey: Survey,
        *,
        method: AblationMethod,
        positions: AblationPositions | None,
        progress: OnStep,
    ) -> Survey:
        """The survey with the head of each pair ablated. See `Explorer.ablate_survey`."""
        from tui_lookups.analysis.pairs import compare_pairs

        if not survey.pairs:
            raise LookupsError(
                "No head is worth explaining for any of these neurons.", "Survey more of them: --per-layer."
            )
        engine, trimmed = self._engine, survey.context == "trimmed"
        conventions = engine.conventions(trimmed=trimmed)
        part = ablated_on(conventions.preset)
        asked = ListsAsked(engine.settings.top, conventions, part)
        with passes_of(engine) as listing, passes_of(engine, ahead=_AHEAD) as passes:

            def run(work: ForwardPass) -> Any:
                passes.add([work])
                return passes.next()

            if method == "mean":
                corpus_means(engine, run, "z", conventions)  # kept for each of them
            for _ in self._lists.made(_by_layer(pair.neuron for pair in survey.pairs), asked, listing):
                pass
            questions = (
                self._heads.ablation(*pair, method=method, positions=positions, trimmed=trimmed, part=part)
                for pair in _pairs(survey)
            )
            answers = in_turn(engine, passes, questions)
            ablations = [next(answers) for _ in _told(_pairs(survey), "ablations", progress)]
        return replace(survey, ablation=compare_pairs(ablations))

    def show(self, survey: Survey, top: int, told: Callable[[float], None]) -> None:
        """Have what a report shows of its neurons in the cache: see `Explorer.prepare_report`."""
        engine, trimmed, done = self._engine, survey.context == "trimmed", 0
        first = {pair.neuron: pair.head for pair in reversed(survey.pairs)}
        steps = len(survey.neurons) + len(first) or 1
        conventions = engine.conventions()
        shown = ListsAsked(min(top, engine.settings.top), conventions, trim=False)
        with passes_of(engine) as listing, passes_of(engine, ahead=_AHEAD) as passes:
            for neurons in self._lists.made(_by_layer(row.neuron for row in survey.neurons), shown, listing):
                done += len(neurons)
                told(done / steps)
            if trimmed:
                for _ in self._lists.made(_by_layer(first), replace(shown, top=1, trim=True), listing):
                    pass

            def questions() -> Iterator[Asked[HeadAttributions]]:
                for neuron, head in first.items():
                    listed = self._prompts.prompts(neuron, top=1 if trimmed else shown.top, trim=trimmed)
                    if listed.prompts:
                        yield self._heads.asked(neuron, listed.prompts[0].prompt_id, head, trimmed=trimmed)

            for answered, _ in enumerate(in_turn(engine, passes, questions()), 1):
                told((done + answered) / steps)

    def follow_up(
        self, plan: SurveyPlan, *, explain: bool, score: bool, control: bool, ablate: bool
    ) -> SurveyPlan:
        """The plan with what its pairs would take, at most: every prompt as long as a window.

        Neurons that are left are taken to have as many pairs as those that are done, once there are some.
        """
        if not (explain or score or ablate) or not plan.done:
            return plan
        pairs, neurons = (
            math.ceil(so_far * plan.neurons / plan.done)
            for so_far in (plan.worth_explaining, plan.with_pairs)
        )
        settings = self._engine.settings
        top, example = settings.top, Example(0, " the" * settings.window, " the", ())
        calls = there = back = texts = 0
        for wanted, each, request in (
            (explain or score, 1, explain_request([example] * top, [])),
            (score, top * (1 + control), score_request(" the" * EXPLANATION_TOKENS, example)),
        ):
            if wanted:
                into, out = self._desk.most_tokens(request)
                calls, texts = calls + each * pairs, texts + top * neurons
                there, back = there + each * pairs * into, back + each * pairs * out
        texts += 2 * top * pairs if ablate else 0
        cost = self._desk.cost(there, back) if calls else None
        return replace(plan, follow_up=FollowUpPlan(pairs, texts, calls, there, back, cost))


def _by_layer(named: Iterable[NeuronId]) -> Iterator[list[NeuronId]]:
    """These neurons, each once, a few of a layer at a time."""
    neurons = sorted(set(named))
    for _, of_layer in groupby(neurons, lambda neuron: neuron.layer):
        together = list(of_layer)
        for start in range(0, len(together), TOGETHER):
            yield together[start : start + TOGETHER]


def _pairs(survey: Survey) -> list[Pair]:
    return [(pair.neuron, pair.head) for pair in survey.pairs]


def _told(things: Sequence[T], step: Literal["examples", "ablations"], progress: OnStep) -> Iterator[T]:
    """The things one after the other; before each it is told how far they are."""
    count = Count(step, len(things))

    def tell(done: int) -> None:
        at = count.at(done)
        share = 1.0 if at.share is None else at.share  # of nothing all is done
        progress(SurveyProgress(done, count.total, at.seconds, at.seconds_left, share, step))

    for done, thing in enumerate(things):
        tell(done)
        yield thing
    tell(count.total)


def _explained(made: Explanation) -> ExplainedPair:
    return ExplainedPair(
        made.neuron, made.head, made.explanation, None, None, None, None, made.active, made.inactive, None, ""
    )


def _scored(made: ExplanationScore) -> ExplainedPair:
    figures, control = made.score, made.control
    return ExplainedPair(
        neuron=made.neuron,
        head=made.head,
        explanation=made.explanation,
        head_explanation_score=figures.head_explanation_score,
        f1=figures.f1,
        precision=figures.precision,
        recall=figures.recall,
        active=made.active,
        inactive=made.inactive,
        control=None if control is None else control.score.head_explanation_score,
        left_out="",
    )


def _in_order(
    survey: Survey, rows: Iterable[ExplainedPair], left_out: Iterable[LeftOut]
) -> tuple[ExplainedPair, ...]:
    """A row for each pair of the survey, in its order, those that were left out with the reason."""
    made = {(row.neuron, row.head): row for row in rows}
    for out in left_out:
        row = made.get((out.neuron, out.head)) or ExplainedPair(
            out.neuron, out.head, "", None, None, None, None, 0, 0, None, ""
        )
        made[out.neuron, out.head] = replace(row, left_out=out.reason)
    return tuple(made[pair] for pair in _pairs(survey) if pair in made)
