"""The neurons most like one, of its own model or of another (method.md, section 2, Nearest).

What they write is compared from the files alone, what they read with the loaded model, and activations in a
pass over the corpus, a batch at a time: other questions come in between.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, get_args

from tui_lookups.answering.checks import check_count, check_folded
from tui_lookups.answering.corpus_passes import Work, run_over_corpus
from tui_lookups.answering.engine import Engine
from tui_lookups.answering.two_models import TwoModels
from tui_lookups.errors import LookupsError, Poll
from tui_lookups.ids import NeuronId
from tui_lookups.results import NearBy, NearestNeurons

if TYPE_CHECKING:
    from tui_lookups.model.file_weights import Writes
    from tui_lookups.model.tensor_files import Floats
    from tui_lookups.scan.correlating import OneWithAll


def nearest_neurons(
    engine: Engine, neuron: NeuronId, by: NearBy, top: int, models: TwoModels | None = None
) -> NearestNeurons:
    """See `Explorer.nearest`. `models`: the engine's, and the one that is searched in place of it."""
    check_count("top", top)
    engine.check_neuron(neuron)
    if by not in get_args(NearBy):
        raise LookupsError(f"by cannot be {by!r}.", f"Give one of {', '.join(get_args(NearBy))}.")
    if by == "reads":
        check_folded(
            engine.basis,
            "What neurons read is compared in folded weights only.",
            "Leave out --raw-weights, or compare what they write.",
        )
    if models is not None:
        models.of_one_vocabulary() if by == "activations" else models.of_one_width()
    searched, over_corpus = engine if models is None else models.second, by == "activations"
    layers = searched.layers()
    key = (engine if models is None else models).key(
        "nearest", corpus=over_corpus, neuron=str(neuron), by=by, top=top, layers=list(layers)
    )
    cached = engine.cached(key, NearestNeurons)
    if cached is not None:
        return cached

    def answer(model: Writes, cosines_of: Callable[[int], Floats], poll: Poll) -> NearestNeurons:
        from tui_lookups.analysis.nearest import nearest

        rows = nearest(model, neuron if models is None else None, layers, cosines_of, top, poll=poll)
        provenance = engine.provenance(corpus=over_corpus, by=by, top=top, layers=",".join(map(str, layers)))
        provenance = replace(provenance, device=model.ran_on)
        against = None if models is None else models.infos()[1]
        return NearestNeurons(neuron, by, engine.basis, rows, provenance, against)

    if by == "writes":
        from tui_lookups.analysis.nearest import cosines_with_write

        own = engine.on_writes(lambda model, poll: model.directions([neuron])[0])
        computed = searched.on_writes(
            lambda model, poll: answer(model, partial(cosines_with_write, model, own), poll)
        )
    elif by == "reads":
        from tui_lookups.analysis.nearest import cosines_with_read, neuron_read

        own = engine.on_model(lambda model, poll: neuron_read(model, neuron))
        computed = searched.on_model(
            lambda model, poll: answer(model, partial(cosines_with_read, model, own), poll)
        )
    else:
        one = _correlate(engine, neuron, layers, models)
        computed = searched.on_writes(lambda model, poll: answer(model, one.of_layer, poll))
    return engine.keep(key, computed)


def _correlate(
    engine: Engine, neuron: NeuronId, layers: tuple[int, ...], models: TwoModels | None
) -> OneWithAll:
    """A pass over the corpus: the neuron's activations with those of every neuron of some layers."""
    from tui_lookups.scan.correlating import OneWithAll

    corpus = engine.corpus(arrays=True) if models is None else models.shared_corpus()

    def on_both(work: Work) -> None:
        if models is None:
            engine.on_model(lambda model, poll: work(model, model, poll))
        else:
            models.on_both(work)

    one = OneWithAll(neuron, corpus, layers)
    run_over_corpus(engine, corpus, layers, f"correlating {neuron}", on_both, one.take)
    return one
