"""Neurons of two models matched by correlation: a pass for as many layers as fit (method.md, section 13)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from tui_lookups.answering.checks import check_count
from tui_lookups.answering.corpus_passes import Arrays, kept_layers, run_over_corpus
from tui_lookups.answering.two_models import TwoModels
from tui_lookups.ids import NeuronId
from tui_lookups.results import MatchedLayer, MatchedNeuron, NeuronMatches


def neuron_matches(models: TwoModels, top: int) -> NeuronMatches:
    """See `Explorer.diff_matches`."""
    check_count("top", top)
    models.of_one_architecture()
    engine, layers = models.first, models.first.layers()
    key = models.key("matches", corpus=True, top=top, layers=list(layers))
    cached = engine.cached(key, NeuronMatches)
    if cached is not None:
        return cached
    from tui_lookups.analysis.congruence import best_first, own_tokens

    by_layer = kept_layers(models, "matched_layer", layers, partial(_match, models))
    sizes = np.concatenate([np.abs(by_layer[layer]["correlation"]) for layer in layers])
    info = engine.model_info()
    rows = []
    for neuron in info.neurons_at(layers, best_first(sizes, top)):
        of_layer, index = by_layer[neuron.layer], neuron.index
        match = int(of_layer["match"][index])
        if match >= 0:
            figures = float(of_layer["correlation"][index]), bool(of_layer["mutual"][index])
            rows.append((neuron, NeuronId(neuron.layer, match), *figures))
    before = engine.on_writes(lambda model, poll: own_tokens(model, [row[0] for row in rows]))
    after = models.second.on_writes(lambda model, poll: own_tokens(model, list({row[1] for row in rows})))
    neurons = tuple(MatchedNeuron(a, b, r, mutual, before[a], after[b]) for a, b, r, mutual in rows)
    of_layers = []
    for layer in layers:
        mutual, sizes = int(by_layer[layer]["mutual"].sum()), np.abs(by_layer[layer]["correlation"])
        of_layers.append(MatchedLayer(layer, info.d_mlp, mutual, float(np.median(sizes))))
    provenance = engine.provenance(corpus=True, top=top, layers=",".join(map(str, layers)))
    return engine.keep(key, NeuronMatches(models.infos()[1], neurons, tuple(of_layers), provenance))


def _match(models: TwoModels, layers: Sequence[int]) -> Iterator[tuple[int, Arrays]]:
    """The matches of each layer, by passes over the corpus for as many as fit at once."""
    from tui_lookups.analysis.matching import match_neurons
    from tui_lookups.scan.correlating import CrossCorrelation, most_layers

    engine, corpus = models.first, models.shared_corpus()
    info, device = engine.model_info(), engine.on_model(lambda model, poll: model.device)
    at_once = most_layers(info.d_mlp)
    passes = [layers[start : start + at_once] for start in range(0, len(layers), at_once)]
    for number, some in enumerate(passes, 1):
        cross = CrossCorrelation(info.d_mlp, device, corpus, some)
        which = f" of layers {some[0]}-{some[-1]} ({number} of {len(passes)})" if len(passes) > 1 else ""
        run_over_corpus(engine, corpus, some, f"correlating neurons{which}", models.on_both, cross.take)
        for layer in some:
            yield layer, dict(match_neurons(cross.of_layer(layer), either_sign=info.gated)._asdict())
