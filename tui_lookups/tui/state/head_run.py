"""All heads of a neuron that are worth explaining, in words: what is known, and the run under way.

Knows no widget. A run goes on in the background, one at a time, whatever is on screen; what was answered
before it stopped is kept, so that starting it again goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from tui_lookups import results
from tui_lookups.tui.state.queries import explain_error

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer
    from tui_lookups.ids import HeadId, NeuronId
    from tui_lookups.progress import Progress
    from tui_lookups.results import (
        ExplainedHeads,
        HeadMean,
        HeadOverview,
        LeftOut,
        NeuronExplanations,
        Plan,
        ScoreReport,
        Usage,
    )
    from tui_lookups.tui.state.queries import Queries

RunTask = Literal["explain", "score"]


class HeadRun:
    """The table of one neuron's heads, and the run that fills it.

    `listener` is told of every change. When a run has ended, `show_message` gets a sentence, for its screen
    may be closed by then, and `ended` is called: more may be known of the heads.
    """

    def __init__(
        self,
        explorer: Explorer,
        queries: Queries,
        show_message: Callable[[str], None],
        ended: Callable[[], None],
    ) -> None:
        self._explorer = explorer
        self._queries = queries
        self._show_message = show_message
        self._tell_ended = ended
        self.listener: Callable[[], None] = _nobody
        self.neuron: NeuronId | None = None
        self.table: ExplainedHeads | None = None
        self.task: RunTask | None = None
        self.progress: Progress | None = None
        self.error: tuple[str, str] | None = None
        self.used: Usage | None = None
        self.left_out: tuple[LeftOut, ...] = ()
        self.overview: HeadOverview | None = None
        """By which the heads of the table were chosen: how often each is active."""

    @property
    def running(self) -> bool:
        """Whether requests are under way."""
        return self.task is not None

    def open(self, neuron: NeuronId) -> None:
        """Show this neuron's heads; the one a run is about stays while the run does."""
        if self.running:
            return
        if neuron != self.neuron:
            self.neuron, self.table, self.error, self.used, self.left_out = neuron, None, None, None, ()
            self.overview = None
        self._look_up()

    def plan(self, task: RunTask) -> Plan:
        """What a run would send. Blocks."""
        assert self.neuron is not None
        if task == "explain":
            return self._explorer.explaining.plan_all(self.neuron)
        return self._explorer.head_scores.plan_all(self.neuron)

    def start(self, task: RunTask) -> None:
        """Explain, or explain and score, every head worth explaining."""
        neuron = self.neuron
        assert neuron is not None
        self.task, self.progress, self.error, self.used, self.left_out = task, None, None, None, ()

        def question(tell: Callable[[Progress], None]) -> NeuronExplanations | ScoreReport:
            if task == "explain":
                return self._explorer.explaining.explain_all(neuron, progress=tell)
            return self._explorer.head_scores.score_all(neuron, progress=tell)

        self._queries.ask_telling("head-run", question, self._heard, self._done, self._failed, str(neuron))
        self.listener()

    def stop(self) -> bool:
        """Stop the run; False where there is none. Answers so far are kept."""
        if not self.running:
            return False
        self._queries.cancel("head-run")
        self._ended()
        return True

    def _ended(self) -> None:
        self.task = self.progress = None
        self._tell_ended()
        self._look_up()

    def _heard(self, progress: Progress) -> None:
        self.progress = progress
        self.listener()

    def _done(self, found: NeuronExplanations | ScoreReport) -> None:
        self.used, self.left_out = found.usage, found.left_out
        self._ended()
        what = "explained" if isinstance(found, results.NeuronExplanations) else "scored"
        count = (
            len(found.explanations) if isinstance(found, results.NeuronExplanations) else len(found.scores)
        )
        self._show_message(f"{count} heads of {self.neuron} are {what}.")

    def _failed(self, error: BaseException) -> None:
        self.error = explain_error(error)
        self._ended()
        self._show_message(" ".join(self.error))

    def _look_up(self) -> None:
        neuron = self.neuron
        assert neuron is not None

        def done(table: ExplainedHeads) -> None:
            self.table = table
            self.listener()
            if self.overview is None and table.heads:
                self._look_up_overview()

        def failed(error: BaseException) -> None:
            self.error = explain_error(error)
            self.listener()

        self._queries.ask("head-table", lambda: self._explorer.head_scores.so_far(neuron), done, failed)
        self.listener()

    def _look_up_overview(self) -> None:
        neuron = self.neuron
        assert neuron is not None

        def done(overview: HeadOverview) -> None:
            self.overview = overview
            self.listener()

        def failed(_error: BaseException) -> None:
            """The column stays empty; the table stands."""

        self._queries.ask(
            "head-table-overview",
            lambda: self._explorer.heads_overview(neuron, trimmed=True, wait=False),
            done,
            failed,
        )

    def active(self, head: HeadId) -> tuple[int, int] | None:
        """On how many of how many prompts a head is active, None where that is not known."""
        mean = find_mean(head, self.overview)
        if mean is None or self.overview is None:
            return None
        return round(mean.active_fraction * self.overview.prompts), self.overview.prompts

    def silence(self, listener: Callable[[], None]) -> None:
        """This listener's screen is gone."""
        if self.listener == listener:
            self.listener = _nobody

    def reason(self, head: HeadId) -> str:
        """Why a head has no score, as the last run or the table says; empty where neither does."""
        left_out = () if self.table is None else self.table.report.left_out
        return next(
            (
                head_left_out.reason
                for head_left_out in (*self.left_out, *left_out)
                if head_left_out.head == head
            ),
            "",
        )


def _nobody() -> None:
    """The listener while no screen shows the run."""


def find_mean(head: HeadId, overview: HeadOverview | None) -> HeadMean | None:
    """The head's entry in an overview."""
    if overview is None:
        return None
    return next((mean for mean in overview.heads if mean.head == head), None)
