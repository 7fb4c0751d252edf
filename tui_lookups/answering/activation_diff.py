"""Whose activations differ between two models, and on which prompts (method.md, section 13).

1. One pass of both models over the corpus (scan/joint.py) finds every neuron's figures, which are kept.
2. A list of neurons, and a neuron's own answer, are made from them. What a neuron does on the prompts that
   were found is run again in both models, a few prompts long.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tui_lookups.answering.checks import check_count
from tui_lookups.answering.corpus_passes import Arrays, PassCheckpoint, kept_layers, run_over_corpus
from tui_lookups.answering.two_models import TwoModels
from tui_lookups.errors import LookupsError
from tui_lookups.ids import NeuronId
from tui_lookups.progress import Progress, as_progress, tell
from tui_lookups.results import (
    ActivationDiff,
    ChangedNeuron,
    LayerCorrelation,
    NeuronDiff,
    PairedKind,
    PairedPrompt,
)
from tui_lookups.results.conventions import Conventions

if TYPE_CHECKING:
    from tui_lookups.corpus.corpus import Corpus

KEPT = 5
"""Prompts kept of a neuron in a pass: where it rose most, fell most, and the highest in each model."""


def activation_diff(models: TwoModels, top: int) -> ActivationDiff:
    """See `Explorer.diff_activations`."""
    check_count("top", top)
    engine, layers = models.first, models.first.layers()
    models.of_one_architecture()
    sign = engine.conventions().sign
    key = models.key("activation_diff", corpus=True, top=top, layers=list(layers))
    cached = engine.cached(key, ActivationDiff)
    if cached is not None:
        return cached
    from tui_lookups.analysis.congruence import best_first, own_tokens
    from tui_lookups.analysis.joint import activation_changes, correlations, peak_of

    by_layer = joint_layers(models, layers)
    changes = [activation_changes(by_layer[layer]["moments"]) for layer in layers]
    related = [correlations(by_layer[layer]["moments"]) for layer in layers]
    every, every_related = np.concatenate(changes), np.concatenate(related)
    places = [int(place) for place in best_first(every, top) if every[place] > 0]
    names = engine.model_info().neurons_at(layers, places)
    before, after = (
        each.on_writes(lambda model, poll: own_tokens(model, names)) for each in (engine, models.second)
    )
    rows = []
    for name, place in zip(names, places, strict=True):
        values = by_layer[name.layer]["values"][:, :, name.index, 0]
        rows.append(
            ChangedNeuron(
                neuron=name,
                layer=name.layer,
                index=name.index,
                change=float(every[place]),
                correlation=_number(every_related[place]),
                peak_before=peak_of(values[0], sign)[1],
                peak_after=peak_of(values[1], sign)[1],
                top_token_before=before[name],
                top_token_after=after[name],
            )
        )
    of_layers = [
        LayerCorrelation(layer, _median(r), float(np.median(change)))
        for layer, r, change in zip(layers, related, changes, strict=True)
    ]
    provenance = engine.provenance(corpus=True, top=top, layers=",".join(map(str, layers)), sign=sign)
    against, positions = models.infos()[1], counted_positions(engine.corpus())
    return engine.keep(
        key,
        ActivationDiff(
            against, engine.basis, tuple(rows), len(every), tuple(of_layers), positions, provenance
        ),
    )


def neuron_diff(models: TwoModels, neuron: NeuronId, top: int) -> NeuronDiff:
    """See `Explorer.diff_neuron`."""
    check_count("top", top)
    engine = models.first
    check_neuron(models, neuron)
    conventions = engine.conventions()
    key = models.key("neuron_diff", corpus=True, neuron=str(neuron), top=top)
    cached = engine.cached(key, NeuronDiff)
    if cached is not None:
        return cached
    from tui_lookups.analysis.joint import activation_changes, correlations
    from tui_lookups.answering.answers import activations_on

    arrays = joint_layers(models, engine.layers())[neuron.layer]
    chosen = chosen_prompts(arrays, neuron.index, conventions, top)
    corpus, vocabulary = engine.corpus(arrays=True), engine.vocabulary()
    windows = [corpus.window_tokens(each.prompt_id).tolist() for each in chosen]
    before, after = (
        each.on_model(lambda model, poll: activations_on(model, neuron, windows, poll))
        for each in (engine, models.second)
    )
    prompts = tuple(
        PairedPrompt(
            each.kind, each.rank, each.prompt_id, vocabulary.tokens(ids), each.position, tuple(a), tuple(b)
        )
        for each, ids, a, b in zip(chosen, windows, before, after, strict=True)
    )
    moments, place = arrays["moments"], neuron.index
    change, r = float(activation_changes(moments)[place]), _number(correlations(moments)[place])
    provenance = engine.provenance(corpus=True, top=top, sign=conventions.sign)
    made = NeuronDiff(neuron, models.infos()[1], engine.basis, change, r, prompts, provenance)
    return engine.keep(key, made)


def check_neuron(models: TwoModels, neuron: NeuronId) -> None:
    """Raise LookupsError when the models have no such neuron, or its layer is none of those asked for."""
    models.of_one_architecture()
    models.first.check_neuron(neuron)
    if neuron.layer not in models.first.layers():
        raise LookupsError(f"{neuron} is in none of the layers asked for.", "Leave out --layers.")


class ChosenPrompt(NamedTuple):
    """A prompt of a neuron, and why it is looked at; see `PairedPrompt`."""

    kind: PairedKind
    rank: int
    prompt_id: int
    position: int


def chosen_prompts(arrays: Arrays, index: int, conventions: Conventions, top: int) -> list[ChosenPrompt]:
    """A neuron's prompts: where it rose most, where it fell most, and the highest in each model.

    Left out are slots that a small corpus leaves empty, and prompts on which it does not fire, or neither
    rose nor fell.

    Args:
        arrays: of its layer, see `JointPass.layer_arrays`.
        top: of each kind, at most `KEPT`.
    """
    from tui_lookups.analysis.joint import peak_of

    values = arrays["values"][:, :, index]
    wanted: list[tuple[PairedKind, int, int]] = [("rose", 2, 0), ("fell", 2, 1)]
    kinds: tuple[PairedKind, PairedKind] = ("peak before", "peak after")
    wanted += [
        (kind, role, peak_of(values[role, :, 0], conventions.sign)[0]) for role, kind in enumerate(kinds)
    ]
    chosen = []
    for kind, role, which in wanted:
        prompts, positions = (arrays[name][role, which, index] for name in ("prompts", "positions"))
        for slot in range(min(top, KEPT)):
            if prompts[slot] >= 0 and values[role, which, slot] > conventions.fires_above:
                chosen.append(ChosenPrompt(kind, slot + 1, int(prompts[slot]), int(positions[slot])))
    return chosen


def joint_layers(models: TwoModels, layers: Sequence[int]) -> dict[int, Arrays]:
    """What a pass over the corpus found of each layer; run for those of which nothing is kept."""
    return kept_layers(models, "joint_layer", layers, partial(_joint_pass, models), kept=KEPT)


def _joint_pass(models: TwoModels, layers: Sequence[int]) -> Iterator[tuple[int, Arrays]]:
    """Run the corpus through both models."""
    from tui_lookups.scan.copies import find_copies
    from tui_lookups.scan.joint import JointPass

    engine = models.first
    corpus = models.shared_corpus()

    def say(news: Progress | str) -> None:
        tell(as_progress(news))

    copies = None if engine.conventions().keep_copies else find_copies(corpus, engine.poll_asker, say)
    device = engine.on_model(lambda model, poll: model.device)
    joint = JointPass(engine.model_info().d_mlp, device, corpus, layers, top=KEPT, copies=copies)
    key = models.key("joint_pass", corpus=True, layers=list(layers), kept=KEPT)
    checkpoint = PassCheckpoint(engine, "joint_pass", key, joint)
    run_over_corpus(engine, corpus, layers, "comparing activations", models.on_both, joint.take, checkpoint)
    positions = counted_positions(corpus)
    for layer in layers:
        yield layer, joint.layer_arrays(layer, positions)
    checkpoint.end()


def counted_positions(corpus: Corpus) -> int:
    """Positions that count in a pass over the corpus: all but the first one of each prompt."""
    lengths = corpus.lengths()
    return int((lengths[lengths >= 2] - 1).sum())


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _median(values: np.ndarray) -> float | None:
    defined = values[~np.isnan(values)]
    return float(np.median(defined)) if len(defined) else None
