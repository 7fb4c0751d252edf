"""The survey of a model: what is asked for, its plan, and the run that fills its tables.

Knows no widget. The run goes on whatever is on screen. What it has worked out is in the cache, so that one
that was stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tui_lookups import results
from tui_lookups.tui.state.queries import explain_error

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer
    from tui_lookups.results import Survey, SurveyPlan, SurveyProgress
    from tui_lookups.tui.state.queries import Queries

PER_LAYER = 20
"""Neurons a layer until another number is chosen (method.md, section 12)."""


class SurveyRun:
    """`listener` is told of every change; `show_message` gets a sentence when a run has ended."""

    def __init__(self, explorer: Explorer, queries: Queries, show_message: Callable[[str], None]) -> None:
        self._explorer = explorer
        self._queries = queries
        self._show_message = show_message
        self.listener: Callable[[], None] = _nobody
        self.per_layer = PER_LAYER
        self.layers: tuple[int, ...] | None = None
        self._forget()

    def _forget(self) -> None:
        self.plan: SurveyPlan | None = None
        self.survey: Survey | None = None
        self.progress: SurveyProgress | None = None
        self.error: tuple[str, str] | None = None
        self.whole = False
        """Whether `survey` has every neuron."""

    @property
    def planning(self) -> bool:
        """Whether the plan is being worked out."""
        return self._queries.waiting("survey-plan")

    @property
    def running(self) -> bool:
        """Whether neurons are being worked out."""
        return self._queries.waiting("survey")

    def open(self) -> None:
        """Somebody looks: the plan is worked out where it is not known."""
        if not (self.planning or self.running or self.whole):
            self._look_up()

    def choose(self, per_layer: int, layers: tuple[int, ...] | None) -> None:
        """Ask for other neurons: what is under way for those before stops."""
        if (per_layer, layers) == (self.per_layer, self.layers) and self.error is None:
            return
        self._queries.cancel("survey", "survey-plan")
        self.per_layer, self.layers = per_layer, layers
        self._forget()
        self._look_up()

    def _look_up(self) -> None:
        """Work out the plan; where nothing is left to do, the survey is read from the cache at once."""

        def question() -> SurveyPlan:
            return self._explorer.survey_plan(per_layer=self.per_layer, layers=self.layers)

        def done(plan: SurveyPlan) -> None:
            self.plan = plan
            if plan.done == plan.neurons:
                self.start()
            self.listener()

        self._queries.ask("survey-plan", question, done, self._failed)
        self.listener()

    def start(self) -> None:
        """Begin, or go on."""

        def question(tell: Callable[[Survey | SurveyProgress], None]) -> Survey:
            return self._explorer.survey(
                per_layer=self.per_layer, layers=self.layers, progress=tell, so_far=tell
            )

        self.error = self.progress = None
        self._queries.ask_telling("survey", question, self._heard, self._done, self._failed)
        self.listener()

    def stop(self) -> bool:
        """Stop the run; False where there is none. What is worked out is kept."""
        if not self.running:
            return False
        self._queries.cancel("survey")
        self.progress = None
        self._look_up()  # how much is left is another number now
        return True

    def _heard(self, news: Survey | SurveyProgress) -> None:
        if isinstance(news, results.SurveyProgress):
            self.progress = news
        else:
            self.survey = news
        self.listener()

    def _done(self, survey: Survey) -> None:
        self.survey, self.whole, self.progress = survey, True, None
        self.listener()
        self._show_message(
            f"Surveyed: {len(survey.neurons):,} neurons, {len(survey.pairs):,} pairs worth explaining."
        )

    def _failed(self, error: BaseException) -> None:
        self.error, self.progress = explain_error(error), None
        self.listener()
        self._show_message(" ".join(self.error))

    def silence(self, listener: Callable[[], None]) -> None:
        """This listener's screen is gone."""
        if self.listener == listener:
            self.listener = _nobody


def _nobody() -> None:
    """The listener while no screen shows the run."""
