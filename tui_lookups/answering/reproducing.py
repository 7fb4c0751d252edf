"""Published figures beside the figures of the model at hand (method.md, section 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.answering.engine import Engine
from tui_lookups.answering.published import PUBLISHED, PUBLISHED_MEANS, TOLERANCE, PublishedFigure
from tui_lookups.errors import LookupsError, Poll
from tui_lookups.results import ReproducedFigure, ReproducedMean, Reproduction, ScoreReport

if TYPE_CHECKING:
    from tui_lookups.model.lookup_model import LookupModel

NOTHING_SCORED = "`lookups-tui survey --preset paper --score` asks for it; nothing is scored yet."
_ABLATED_ELSEWHERE = "`lookups-tui survey --preset paper --ablate` works it out, and prints it."


def published_of(name: str) -> tuple[PublishedFigure, ...]:
    """Congruences that were published of a model. Raises LookupsError where nothing at all was."""
    published = {**PUBLISHED, **PUBLISHED_MEANS}
    if name not in published:
        raise LookupsError(
            f"No published figures of {name!r} are known here.", f"There are some of {', '.join(published)}."
        )
    return PUBLISHED.get(name, ())


def means_of(name: str, report: ScoreReport | None, why: str) -> tuple[ReproducedMean, ...]:
    """Published means of a model beside those of the scores so far; without a report `why` says why."""
    ours = (
        {} if report is None else {"head explanation score": report.head_explanation_score, "F1": report.f1}
    )
    rows = []
    for mean in PUBLISHED_MEANS.get(name, ()):
        own = ours.get(mean.what)
        none = why if report is None else _ABLATED_ELSEWHERE
        rows.append(
            ReproducedMean(
                what=mean.what,
                published=mean.value,
                published_deviation=mean.deviation,
                published_pairs=mean.pairs,
                ours=None if own is None else own.mean,
                ours_deviation=None if own is None else own.standard_deviation,
                ours_pairs=None if own is None else own.count,
                why="" if own is not None else none,
                source=mean.source,
            )
        )
    return tuple(rows)


def skipped(name: str, why: str) -> Reproduction:
    """The answer where the model is not at hand."""
    published_of(name)
    return Reproduction(name, TOLERANCE, (), False, why, None, means_of(name, None, why))


def reproduce(engine: Engine, name: str) -> Reproduction:
    """Each published figure of `name`, worked out with the engine's model over all its layers.

    Raises UnknownTokenError or BadIdError where that model is another one.
    """
    published = published_of(name)
    vocabulary = engine.vocabulary()
    tokens = [vocabulary.find(figure.token) for figure in published]
    for figure in published:
        engine.check_neuron(figure.neuron)

    def work(model: LookupModel, poll: Poll) -> Reproduction:
        from tui_lookups.analysis.congruence import score_neurons, token_scores

        rows = []
        for figure, token in zip(published, tokens, strict=True):
            poll()
            row = score_neurons(model, [figure.neuron], token.id)[0]
            everything = token_scores(model, token.id, range(model.info.n_layers), poll=poll)
            rank = 1 + int((everything > everything[figure.neuron.layer, figure.neuron.index]).sum())
            near = figure.congruence is not None and abs(row.congruence - figure.congruence) <= TOLERANCE
            rows.append(
                ReproducedFigure(
                    neuron=figure.neuron,
                    token=token,
                    published=figure.congruence,
                    ours=row.congruence,
                    token_rank=row.token_rank,
                    neuron_rank=rank,
                    top_token=row.top_token,
                    agrees=rank == 1 if figure.congruence is None else near,
                    source=figure.source,
                )
            )
        provenance = engine.provenance(corpus=False, published=name)
        return Reproduction(name, TOLERANCE, tuple(rows), all(row.agrees for row in rows), "", provenance)

    return engine.on_model(work)
