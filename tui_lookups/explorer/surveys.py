"""Questions about many neurons at once (method.md, section 12)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui_lookups import results as answer
    from tui_lookups.explorer.services import Services
    from tui_lookups.ids import HeadId, NeuronId


class Surveys:
    """The part of an Explorer that asks about the heads of every next-token neuron."""

    _services: Services

    def survey_plan(self, *, per_layer: int = 20, trimmed: bool | None = None) -> answer.SurveyPlan:
        """What a survey of these neurons would cost, and how much of it is in the cache. Scans nothing."""
        return self._services.surveys.plan(per_layer, trimmed=trimmed)

    def survey(
        self,
        *,
        per_layer: int = 20,
        trimmed: bool | None = None,
        progress: Callable[[answer.SurveyProgress], None] = lambda _: None,
    ) -> answer.Survey:
        """The next-token neurons of the layers of the settings, and every head over the prompts of each.

        Each neuron's part is kept in the cache as soon as it is there, so a survey that was ended on its way
        goes on where it was.

        Args:
            per_layer: neurons a layer, as in `atlas`.
            trimmed: run the trimmed contexts instead of the full windows; the setting `trimmed` by default.
            progress: told, on this thread, how far it is.
        """
        return self._services.surveys.survey(per_layer, trimmed=trimmed, progress=progress)

    def peaks(self, neuron: NeuronId) -> tuple[answer.RankedPeak, ...]:
        """Where the neuron's highest-activating prompts peak, by the finished index; runs no model.

        Scans the corpus first, where that was not done.
        """
        from tui_lookups.answering.index_peaks import index_peaks

        return index_peaks(self._services.engine, self._services.scan, neuron)

    def served_by(
        self,
        head: HeadId,
        *,
        per_layer: int = 20,
        trimmed: bool | None = None,
        progress: Callable[[answer.SurveyProgress], None] = lambda _: None,
    ) -> answer.ServedNeurons:
        """The neurons for which a head is worth explaining, of those of `survey`.

        Raises:
            LookupsError: the head reaches none of them.
        """
        return self._services.surveys.served_by(head, per_layer, trimmed=trimmed, progress=progress)
