"""Questions about many neurons at once (method.md, section 12)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui_lookups import results as answer
    from tui_lookups.explorer.services import Services
    from tui_lookups.ids import HeadId, NeuronId
    from tui_lookups.progress import Hear


class Surveys:
    """The part of an Explorer that asks about the heads of every next-token neuron."""

    _services: Services

    def atlas(
        self,
        *,
        per_layer: int = 20,
        reject: Sequence[str] | None = None,
        sign: answer.Sign | None = None,
        read: Callable[[int, int], None] = lambda done, layers: None,
    ) -> answer.Atlas:
        """The model's next-token neurons, layer by layer, and where tokens' best neurons live.

        A layer's pass over the vocabulary is kept in the cache: other counts, signs and reject lists are
        answered without the model.

        Args:
            per_layer: neurons a layer.
            reject: tokens left out by hand, exactly as in the vocabulary, or "#id"; by default those of
                the file in the setting `atlas_reject`.
            sign: as in `neurons`; "-" and "both" read neurons flipped.
            read: told, on this thread, how many of how many layers have been read.
        Raises:
            UnknownTokenError: a rejected text is not one token.
        """
        return self._services.atlas.atlas(per_layer, reject, sign, read)

    def nearest(
        self, neuron: NeuronId, *, by: answer.NearBy = "writes", top: int = 20, other: str | None = None
    ) -> answer.NearestNeurons:
        """The neurons of other layers that write, read or fire most like this one (section 2, Nearest).

        Args:
            by: "activations" over the corpus take a pass.
            other: another model, named as in the setting `model`, all of whose layers are searched instead.
        Raises:
            DifferentModelsError: the other is of another width or, for activations, has another tokenizer.
        """
        from tui_lookups.answering.nearest import nearest_neurons

        models = None if other is None else self._services.against(other)
        return nearest_neurons(self._services.engine, neuron, by, top, models)

    def survey_plan(
        self,
        *,
        per_layer: int = 20,
        layers: Sequence[int] | None = None,
        trimmed: bool | None = None,
        explain: bool = False,
        score: bool = False,
        control: bool = True,
        ablate: bool = False,
    ) -> answer.SurveyPlan:
        """What a survey of these neurons would cost, and how much of it is in the cache. Scans nothing.

        Args:
            explain, score, control, ablate: also say what these would take, as `explain_survey` and
                `ablate_survey` have them.
        """
        plan = self._services.surveys.plan(per_layer, layers=layers, trimmed=trimmed)
        return self._services.survey_pairs.follow_up(
            plan, explain=explain, score=score, control=control, ablate=ablate
        )

    def survey(
        self,
        *,
        per_layer: int = 20,
        layers: Sequence[int] | None = None,
        trimmed: bool | None = None,
        progress: Callable[[answer.SurveyProgress], None] = lambda _: None,
        so_far: Callable[[answer.Survey], None] | None = None,
    ) -> answer.Survey:
        """The next-token neurons of chosen layers, and every head over the prompts of each.

        Each neuron's part is kept in the cache as soon as it is there, so a survey that was ended on its way
        goes on where it was.

        Args:
            per_layer: neurons a layer, as in `atlas`.
            layers: of these, which are among those of the settings; all of them by default.
            trimmed: run the trimmed contexts instead of the full windows; the setting `trimmed` by default.
            progress: told, on this thread, how far it is.
            so_far: told, on this thread, the survey of the neurons that are done, now and then.
        Raises:
            LookupsError: a layer that is not one of those of the settings.
        """
        return self._services.surveys.survey(
            per_layer, layers=layers, trimmed=trimmed, progress=progress, so_far=so_far
        )

    def peaks(self, neuron: NeuronId) -> tuple[answer.RankedPeak, ...]:
        """Where the neuron's highest-activating prompts peak, by the finished index; runs no model.

        Scans the corpus first, where that was not done.
        """
        from tui_lookups.answering.index_peaks import index_peaks

        return index_peaks(self._services.engine, self._services.scan, neuron)

    def plan_survey_requests(
        self,
        survey: answer.Survey,
        *,
        score: bool = False,
        control: bool = True,
        progress: Callable[[answer.SurveyProgress], None] = lambda _: None,
    ) -> answer.Plan:
        """What `explain_survey` would send, to the request.

        The examples of every neuron that has a pair are worked out for it, and kept in the cache.
        """
        return self._services.survey_pairs.plan(survey, score=score, control=control, progress=progress)

    def explain_survey(
        self,
        survey: answer.Survey,
        *,
        score: bool = False,
        control: bool = True,
        progress: Hear | None = None,
    ) -> answer.Survey:
        """The survey with each of its pairs explained, and with `score` scored on prompts never shown.

        What was answered before is not asked again.

        Args:
            control: also score an explanation of something else on the same prompts.
            progress: told after every answer, on another thread.
        Raises as `Explaining.explain` does.
        """
        return self._services.survey_pairs.explain(survey, score=score, control=control, hear=progress)

    def ablate_survey(
        self,
        survey: answer.Survey,
        *,
        method: answer.AblationMethod = "zero",
        positions: answer.AblationPositions | None = None,
        progress: Callable[[answer.SurveyProgress], None] = lambda _: None,
    ) -> answer.Survey:
        """The survey with the head of each of its pairs ablated on the prompts of its neuron.

        See `Explorer.ablate`. Each pair is kept in the cache as soon as it is there.

        Raises:
            LookupsError: there is no pair, or no head is active on some prompts and inactive on others.
        """
        return self._services.survey_pairs.ablate(
            survey, method=method, positions=positions, progress=progress
        )

    def prepare_report(
        self, survey: answer.Survey, *, prompts: int, told: Callable[[float], None] = lambda share: None
    ) -> None:
        """Have the prompts that a report shows worked out as the survey's passes are, and kept in the cache.

        Args:
            prompts: of each neuron that are shown whole; on the first, what the head of its first pair reads.
            told: which share of it is there, on this thread.
        """
        self._services.survey_pairs.show(survey, prompts, told)

    def served_by(
        self,
        head: HeadId,
        *,
        per_layer: int = 20,
        layers: Sequence[int] | None = None,
        trimmed: bool | None = None,
        progress: Callable[[answer.SurveyProgress], None] = lambda _: None,
        so_far: Callable[[answer.ServedNeurons], None] | None = None,
    ) -> answer.ServedNeurons:
        """The neurons for which a head is worth explaining, of those of `survey`.

        What was not surveyed yet is, of the layers that the head reaches.

        Raises:
            LookupsError: the head reaches none of them.
        """
        return self._services.surveys.served_by(
            head, per_layer, layers=layers, trimmed=trimmed, progress=progress, so_far=so_far
        )

    def head_reads(
        self, neuron: NeuronId, head: HeadId, *, top: int = 10, trimmed: bool | None = None
    ) -> answer.HeadReads:
        """The tokens from which a head raises a neuron most, over the neuron's prompts, those of a survey.

        Raises:
            LookupsError: the head does not reach the neuron.
            UnsupportedModelError: the raw basis, in which no attribution closes.
        """
        return self._services.reads.reads(neuron, head, top=top, trimmed=trimmed)
