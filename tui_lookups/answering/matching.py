"""Neurons of two models matched by correlation: a pass for as many layers as fit (method.md, section 13)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from tui_lookups.answering.activation_diff import batch_plan
from tui_lookups.answering.checks import check_count
from tui_lookups.answering.two_models import TwoModels
from tui_lookups.ids import NeuronId
from tui_lookups.progress import Count, tell
from tui_lookups.results import MatchedLayer, MatchedNeuron, NeuronMatches

Arrays = dict[str, npt.NDArray[Any]]


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

    by_layer = _matched_layers(models, layers)
    sizes = np.concatenate([np.abs(by_layer[layer]["correlation"]) for layer in layers])
    d_mlp = engine.model_info().d_mlp
    rows = []
    for place in best_first(sizes, top):
        layer, index = layers[int(place) // d_mlp], int(place) % d_mlp
        match = int(by_layer[layer]["match"][index])
        if match >= 0:
            figures = float(by_layer[layer]["correlation"][index]), bool(by_layer[layer]["mutual"][index])
            rows.append((NeuronId(layer, index), NeuronId(layer, match), *figures))
    before = engine.on_writes(lambda model, poll: own_tokens(model, [row[0] for row in rows]))
    after = models.second.on_writes(lambda model, poll: own_tokens(model, list({row[1] for row in rows})))
    neurons = tuple(MatchedNeuron(a, b, r, mutual, before[a], after[b]) for a, b, r, mutual in rows)
    of_layers = []
    for layer in layers:
        mutual, sizes = int(by_layer[layer]["mutual"].sum()), np.abs(by_layer[layer]["correlation"])
        of_layers.append(MatchedLayer(layer, d_mlp, mutual, float(np.median(sizes))))
    provenance = engine.provenance(corpus=True, top=top, layers=",".join(map(str, layers)))
    return engine.keep(key, NeuronMatches(models.infos()[1], neurons, tuple(of_layers), provenance))


def _matched_layers(models: TwoModels, layers: Sequence[int]) -> dict[int, Arrays]:
    """The matches of each layer: kept, or by passes over the corpus."""
    from safetensors.numpy import load, save

    from tui_lookups.scan.correlating import most_layers

    engine, kind = models.first, "matched_layer"
    keys = {layer: models.key(kind, corpus=True, layer=layer) for layer in layers}
    kept = {layer: engine.cache.get(kind, key) for layer, key in keys.items()}
    by_layer: dict[int, Arrays] = {layer: load(data) for layer, data in kept.items() if data is not None}
    missing = [layer for layer in layers if layer not in by_layer]
    at_once = most_layers(engine.model_info().d_mlp)
    passes = [missing[start : start + at_once] for start in range(0, len(missing), at_once)]
    for number, group in enumerate(passes):
        for layer, arrays in _pass(models, group, number, len(passes)).items():
            engine.cache.put(kind, keys[layer], bytes(save(arrays)))
            by_layer[layer] = arrays
    return by_layer


def _pass(models: TwoModels, layers: Sequence[int], number: int, passes: int) -> dict[int, Arrays]:
    """One pass over the corpus, a batch at a time: other questions come in between."""
    from tui_lookups.analysis.matching import match_neurons
    from tui_lookups.scan.correlating import CrossCorrelation

    engine, corpus = models.first, models.shared_corpus()
    either_sign = engine.model_info().gated

    plan = engine.on_model(lambda model, poll: batch_plan(engine, model, corpus, layers))
    device = engine.on_model(lambda model, poll: model.device)
    cross = CrossCorrelation(engine.model_info().d_mlp, device, corpus, layers)
    which = f" of layers {layers[0]}-{layers[-1]} ({number + 1} of {passes})" if passes > 1 else ""
    count = Count(f"correlating neurons{which}", plan.prompts, "prompts")
    for batch in range(len(plan)):
        tell(count.at(int(plan.offsets[batch])))
        models.on_both(partial(cross.take, plan.batch(batch)))

    return {
        layer: dict(match_neurons(cross.of_layer(layer), either_sign=either_sign)._asdict())
        for layer in layers
    }
