"""Heads in words: what is known of each, and the one request to an explainer that may be under way.

Knows no widget. Explaining and scoring run in the background, one at a time; what arrives is kept for its
head wherever the cursor is by then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from tui_lookups import results
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.recent import Recent
from tui_lookups.tui.state.queries import explain_error

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer
    from tui_lookups.progress import Progress
    from tui_lookups.results import Explained, Explanation, ExplanationScore, HeadAblation
    from tui_lookups.tui.state.queries import Queries

Pair = tuple[NeuronId, HeadId]
Context = Literal["full", "trimmed", "text"]
Task = Literal["explain", "score"]

_KEPT = 200
"""Heads of neurons that something is kept of, the last ones: looking at a head again asks again."""


class Job(NamedTuple):
    """A request under way: the text so far (explaining), or how far it is (scoring)."""

    neuron: NeuronId
    head: HeadId
    task: Task
    text: str = ""
    progress: Progress | None = None

    @property
    def pair(self) -> Pair:
        return self.neuron, self.head


class HeadExplanations:
    """What has been said of heads, and what is being asked.

    `changed` is told of every change; `show_message` gets a sentence when a request has ended, for the head
    may no longer be the one on screen.
    """

    def __init__(
        self,
        explorer: Explorer,
        queries: Queries,
        changed: Callable[[], None],
        show_message: Callable[[str], None],
    ) -> None:
        self._explorer = explorer
        self._queries = queries
        self._changed = changed
        self._show_message = show_message
        self.job: Job | None = None
        self._ablations: Recent[Pair, dict[Context, HeadAblation]] = Recent(_KEPT)
        self._known: Recent[Pair, tuple[Explained, ...]] = Recent(_KEPT)
        self._errors: Recent[Pair, tuple[str, str]] = Recent(_KEPT)
        self._last_score: ExplanationScore | None = None
        self._looking_up: set[str] = set()

    def newest(self, neuron: NeuronId, head: HeadId) -> Explained | None:
        """The newest explanation that is known of a head, with its score."""
        explained = self._known.get((neuron, head), ())
        return explained[0] if explained else None

    def error(self, neuron: NeuronId, head: HeadId) -> tuple[str, str] | None:
        """Why nothing came of the last request for this head: a sentence and a hint."""
        return self._errors.get((neuron, head))

    def job_for(self, neuron: NeuronId, head: HeadId) -> Job | None:
        """The request that is under way for this head."""
        return self.job if self.job is not None and self.job.pair == (neuron, head) else None

    # --- what is kept ---

    def look_up(self, neuron: NeuronId, head: HeadId) -> None:
        """Ask what has been explained of a head, once."""
        pair = (neuron, head)
        if pair in self._known:
            return

        def done(found: tuple[Explained, ...]) -> None:
            self._looking_up.discard(kind)
            self._known.setdefault(pair, tuple(map(self._with_last_score, found)))
            self._changed()

        def failed(error: BaseException) -> None:
            self._looking_up.discard(kind)
            self._errors[pair] = explain_error(error)
            self._changed()

        # A kind for each pair: a look-up of one head must not call off that of another.
        kind = f"words of {head} of {neuron}"
        self._looking_up.add(kind)
        self._queries.ask(kind, lambda: self._explorer.explaining.explained(neuron, head), done, failed)

    def forget(self) -> None:
        """What is known may have become more elsewhere: it is looked up again when it is next needed."""
        self._queries.cancel(*self._looking_up)  # what is on its way may be from before
        self._looking_up.clear()
        self._known.clear()

    def _with_last_score(self, entry: Explained) -> Explained:
        """The score as it was just answered says what it took this time, and whether it was cached."""
        last, about = self._last_score, entry.explanation
        if last is None or (last.neuron, last.head, last.explanation, last.author) != (
            about.neuron, about.head, about.explanation, about.author,
        ):  # fmt: skip
            return entry
        return replace(entry, score=last)

    def keep_ablation(self, ablation: HeadAblation) -> None:
        """The last total effect that was worked out for a head on full windows, or on trimmed prompts."""
        of_pair = self._ablations.setdefault((ablation.neuron, ablation.head), {})
        of_pair.pop(ablation.context, None)
        of_pair[ablation.context] = ablation  # at the end: the last one
        self._changed()

    def ablation(self, neuron: NeuronId, head: HeadId, context: str) -> HeadAblation | None:
        """The total effect that was worked out for a head on these texts: beside no other heads it stands."""
        of_pair = self._ablations.get((neuron, head), {})
        return next((ablation for ablation in of_pair.values() if ablation.context == context), None)

    def last_ablation(self, neuron: NeuronId, head: HeadId) -> HeadAblation | None:
        """The last one of a head, on whichever texts: its method is where the next one begins."""
        return next(reversed(self._ablations.get((neuron, head), {}).values()), None)

    def keep_explanation(self, explanation: Explanation) -> None:
        """Put an explanation first for its head, with the score it has."""
        pair = (explanation.neuron, explanation.head)
        earlier = self._known.get(pair, ())
        same = next((e for e in earlier if _same_words(e.explanation, explanation)), None)
        entry = results.Explained(explanation, None)
        if same is not None:
            entry = replace(same, explanation=explanation)
        self._known[pair] = (entry, *(e for e in earlier if e is not same))
        self._errors.pop(pair, None)
        self._changed()

    # --- requests ---

    def explain(self, neuron: NeuronId, head: HeadId, *, fresh: bool = False) -> None:
        """Ask for an explanation; the text so far is in `job`."""

        def question(tell: Callable[[str], None]) -> Explanation:
            return self._explorer.explain(neuron, head, fresh=fresh, on_text=tell)

        def heard(text: str) -> None:
            if self.job is not None:
                self.job = self.job._replace(text=text)
                self._changed()

        def done(explanation: Explanation) -> None:
            self.job = None
            self.keep_explanation(explanation)
            self._show_message(f"{head} of {neuron} is explained.")

        self._begin(Job(neuron, head, "explain"))
        self._queries.ask_telling("request", question, heard, done, self._failed, f"{head} of {neuron}")

    def score(self, neuron: NeuronId, head: HeadId) -> None:
        """Score the newest explanation, or, where there is none, ask for one and score that."""
        newest = self.newest(neuron, head)
        words = None if newest is None else newest.explanation.explanation

        def question(tell: Callable[[Progress], None]) -> ExplanationScore:
            return self._explorer.score_explanation(neuron, head, explanation=words, progress=tell)

        def heard(progress: Progress) -> None:
            if self.job is not None:
                self.job = self.job._replace(progress=progress)
                self._changed()

        def done(score: ExplanationScore) -> None:
            self.job, self._last_score = None, score
            self._known.pop((neuron, head), None)
            self.look_up(neuron, head)
            self._changed()
            nothing = score.answers and not score.answered
            how = "has no score: no prompt was answered with Yes or No" if nothing else "is scored"
            self._show_message(f"{head} of {neuron} {how}.")

        self._begin(Job(neuron, head, "score"))
        self._queries.ask_telling("request", question, heard, done, self._failed, f"{head} of {neuron}")

    def cancel(self) -> bool:
        """Stop the request that is under way; False where there is none."""
        if self.job is None:
            return False
        self._queries.cancel("request")
        self.job = None
        self._changed()
        return True

    def _begin(self, job: Job) -> None:
        self.job = job
        self._errors.pop(job.pair, None)
        self._changed()

    def _failed(self, error: BaseException) -> None:
        if self.job is not None:
            message, hint = self._errors[self.job.pair] = explain_error(error)
            self.job = None
            self._changed()
            self._show_message(f"{message} {hint}")


def _same_words(one: Explanation, other: Explanation) -> bool:
    return (one.explanation, one.author, one.model) == (other.explanation, other.author, other.model)
