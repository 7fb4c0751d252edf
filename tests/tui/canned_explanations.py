"""An explainer with fixed answers, for the canned explorer: nothing is sent anywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tui_lookups.answering.explaining import Explaining
from tui_lookups.answering.head_scores import HeadScores
from tui_lookups.errors import LookupsError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.progress import Progress
from tui_lookups.results import (
    Control,
    Explained,
    ExplainedHead,
    ExplainedHeads,
    ExplainedList,
    Explanation,
    ExplanationScore,
    Figures,
    LeftOut,
    NeuronExplanations,
    Plan,
    ScoreReport,
    Shuffled,
    Summary,
    Usage,
)

if TYPE_CHECKING:
    from tests.tui.canned import CannedExplorer

TEXT = (
    "The head is active where a [bold]reason[/bold] has been asked for and the sentence goes on:\n"
    "after \x1b[31mnot\x1b[0m, but and so. 漢字"
)
NOTHING = Usage(0, 0, 0, 0, 0, False, None)
WORTH = (HeadId(3, 2), HeadId(1, 1), HeadId(4, 0))
"""The heads said to be worth explaining; the last one cannot be explained."""

FIGURES = Figures(0.75, 0.74, 0.7, 0.78, 7, 3, 7, 2, 1, 0.81)


class CannedExplanations(Explaining):
    """Plans, writes and keeps explanations. `calls` is what a plan says would be sent."""

    def __init__(self, explorer: CannedExplorer) -> None:
        self._explorer = explorer
        self.calls = 1
        self.cost: float | None = 0.0123
        self.problem = ("", "")
        self.kept: list[Explained] = []

    def plan(self, neuron: NeuronId, head: HeadId, *, fresh: bool = False) -> Plan:
        self._explorer._called("plan", (neuron, head, fresh))
        return self.planned(self.calls)

    def planned(self, calls: int) -> Plan:
        """A plan of so many calls."""
        endpoint = "http://127.0.0.1:8000/v1"
        return Plan(
            "small-1",
            endpoint,
            calls,
            2,
            812 * calls,
            200 * calls,
            "estimated",
            self.cost,
            90_000,
            (),
            *self.problem,
        )

    def explain(
        self,
        neuron: NeuronId,
        head: HeadId,
        *,
        fresh: bool = False,
        on_text: Callable[[str], None] | None = None,
        **_: Any,
    ) -> Explanation:
        self._explorer._called("explain", (neuron, head, fresh))
        return self._explained_anew(neuron, head, fresh, on_text)

    def _explained_anew(
        self,
        neuron: NeuronId,
        head: HeadId,
        fresh: bool = False,
        on_text: Callable[[str], None] | None = None,
    ) -> Explanation:
        for end in (10, 40) if on_text is not None else ():
            assert on_text is not None
            on_text(TEXT[:end])
        made = self._explanation(neuron, head, TEXT, cached=not fresh and self.calls == 0)
        self._keep(Explained(made, None))
        return made

    def plan_all(self, neuron: NeuronId, **_: Any) -> Plan:
        self._explorer._called("plan_all", neuron)
        return self.planned(len(WORTH) * self.calls)

    def explain_all(
        self, neuron: NeuronId, *, progress: Callable[[Progress], None] | None = None, **_: Any
    ) -> NeuronExplanations:
        self._explorer._called("explain_all", neuron)
        if progress is not None:
            progress(Progress("asking", 1, 3, "answered", 1.0, 2.0))
        found = tuple(self._explained_anew(neuron, head) for head in WORTH[:-1])
        left_out = (
            LeftOut(neuron, WORTH[-1], "[It] is active on none of the 20 prompts used to explain L5.N371."),
        )
        usage = Usage(2, 1, 0, 1624, 80, True, 0.0123)
        return NeuronExplanations(neuron, found, left_out, usage, self._explorer.provenance())

    def write(self, neuron: NeuronId, head: HeadId, text: str) -> Explanation:
        if not text.strip():
            raise LookupsError("The explanation is empty.", "Write in what contexts the head is active.")
        made = replace(
            self._explanation(neuron, head, text.strip(), cached=False), author="person", model=None
        )
        self._keep(Explained(made, None))
        return made

    def scored(
        self,
        neuron: NeuronId,
        head: HeadId,
        explanation: str | None,
        progress: Callable[[Progress], None] | None,
    ) -> ExplanationScore:
        if explanation is None:
            explanation = self._explained_anew(neuron, head).explanation
        if progress is not None:
            progress(Progress("asking", 10, 20, "answered", 1.0, 1.0, "1 failed"))
        about = next(
            e.explanation for e in self.explained(neuron, head) if e.explanation.explanation == explanation
        )
        control = Control("Something else.", "generic", replace(FIGURES, head_explanation_score=0.5), ())
        score = ExplanationScore(
            neuron, head, explanation, about.author, about.model, "small-1", "http://127.0.0.1:8000/v1", 1,
            "2026-01-02T00:00:00+00:00", False, 10, 10, False, FIGURES, Shuffled(1000, 0, 0.5, 0.1, 0.01),
            control, (), (), Usage(40, 0, 1, 9000, 40, False, 0.01), self._explorer.provenance(),
        )  # fmt: skip
        self._keep(Explained(about, score))
        return score

    def explained(self, neuron: NeuronId, head: HeadId) -> tuple[Explained, ...]:
        return tuple(e for e in self.kept if (e.explanation.neuron, e.explanation.head) == (neuron, head))

    def explanations(self, query: str = "") -> ExplainedList:
        self._explorer._called("explanations", query)
        words = query.casefold().split()
        found = [e for e in self.kept if all(w in e.explanation.explanation.casefold() for w in words)]
        return ExplainedList(query, tuple(found))

    def _keep(self, entry: Explained) -> None:
        self.kept = [e for e in self.kept if not _same(e.explanation, entry.explanation)]
        self.kept.insert(0, entry)

    def _explanation(self, neuron: NeuronId, head: HeadId, text: str, *, cached: bool) -> Explanation:
        return Explanation(
            neuron, head, text, "model", "small-1", None, "http://127.0.0.1:8000/v1", 1,
            "2026-01-01T00:00:00+00:00", cached, 8, 12, (), NOTHING, self._explorer.provenance(),
        )  # fmt: skip


def _same(one: Explanation, other: Explanation) -> bool:
    return (one.neuron, one.head, one.explanation) == (other.neuron, other.head, other.explanation)


class CannedScores(HeadScores):
    """Plans what scoring sends: forty calls."""

    def __init__(self, words: CannedExplanations) -> None:
        self._words = words

    def plan(self, neuron: NeuronId, head: HeadId, **_: Any) -> Plan:
        return self._words.planned(40 * self._words.calls)

    def score(
        self,
        neuron: NeuronId,
        head: HeadId,
        *,
        explanation: str | None = None,
        progress: Callable[[Progress], None] | None = None,
        **_: Any,
    ) -> ExplanationScore:
        self._words._explorer._called("score_explanation", (neuron, head, explanation))
        return self._words.scored(neuron, head, explanation, progress)

    def plan_all(self, neuron: NeuronId, **_: Any) -> Plan:
        self._words._explorer._called("plan_all", neuron)
        return self._words.planned(41 * len(WORTH) * self._words.calls)

    def score_all(
        self, neuron: NeuronId, *, progress: Callable[[Progress], None] | None = None, **_: Any
    ) -> ScoreReport:
        explained = self._words.explain_all(neuron, progress=progress)
        self._words._explorer._called("score_all", neuron)
        for each in explained.explanations:
            self._words.scored(neuron, each.head, each.explanation, progress)
        report = self.so_far(neuron).report
        return replace(report, left_out=explained.left_out, usage=Usage(82, 0, 1, 9000, 90, False, 0.02))

    def so_far(self, neuron: NeuronId) -> ExplainedHeads:
        self._words._explorer._called("so_far", neuron)
        newest = {head: next(iter(self._words.explained(neuron, head)), None) for head in WORTH}
        scores = tuple(e.score for e in newest.values() if e is not None and e.score is not None)
        figures = [score.score.head_explanation_score for score in scores]
        summary = Summary(len(figures), 0.75 if figures else None, 0.0 if len(figures) > 1 else None)
        provenance = self._words._explorer.provenance()
        report = ScoreReport(scores, (), summary, summary, summary, NOTHING, provenance)
        rows = tuple(ExplainedHead(head, entry) for head, entry in newest.items())
        return ExplainedHeads(neuron, rows, report, provenance)
