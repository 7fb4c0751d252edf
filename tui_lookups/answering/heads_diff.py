"""The heads behind a neuron in two models, and why they differ (method.md, section 13, Shifts)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tui_lookups.answering.activation_diff import KEPT, check_neuron, chosen_prompts, joint_layers
from tui_lookups.answering.checks import check_attribution, check_count
from tui_lookups.answering.two_models import TwoModels
from tui_lookups.errors import LookupsError, Poll
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import HeadsDiff, HeadShift, OtherShift, Sign

if TYPE_CHECKING:
    from tui_lookups.analysis.shift import Doubles, ReadPlaces
    from tui_lookups.model.lookup_model import LookupModel


def heads_diff(models: TwoModels, neuron: NeuronId, top: int) -> HeadsDiff:
    """See `Explorer.diff_heads`."""
    check_count("top", top)
    engine = models.first
    check_attribution(engine.basis)
    check_neuron(models, neuron)
    conventions = engine.conventions()
    key = models.key("heads_diff", corpus=True, neuron=str(neuron), top=top)
    cached = engine.cached(key, HeadsDiff)
    if cached is not None:
        return cached
    from tui_lookups.analysis.shift import reading_at, shifts

    arrays = joint_layers(models, engine.layers())[neuron.layer]
    chosen = chosen_prompts(arrays, neuron.index, conventions, KEPT)
    peaks = dict.fromkeys((each.prompt_id, each.position) for each in chosen if each.kind.startswith("peak"))
    if not peaks:
        raise LookupsError(f"{neuron} fires on no prompt in either model.", "Choose another neuron.")
    corpus = engine.corpus(arrays=True)
    rows = [corpus.window_tokens(prompt).tolist() for prompt, _ in peaks]
    positions = [position for _, position in peaks]
    both = (engine, models.second)
    before, after = (
        each.on_model(lambda model, poll: reading_at(model, neuron, rows, positions, poll)) for each in both
    )
    vectors = before.vectors, after.vectors
    products = [
        each.on_model(partial(_read, neuron, places, vectors, own))
        for own, (each, places) in enumerate(zip(both, (before, after), strict=True))
    ]
    signs = _directions(conventions.sign, before.activations, after.activations)
    shift = shifts(*products)
    means = np.stack([(part * signs[:, None]).mean(0) for part in shift], 1)  # [components, 4]
    last = engine.model_info().last_head_layer(neuron.layer) + 1
    n_heads = engine.model_info().n_heads
    heads = [
        HeadShift(HeadId(*divmod(place, n_heads)), *map(float, means[place]))
        for place in range(last * n_heads)
    ]
    mlps = means[last * n_heads : -2].sum(0)
    biases = [float((each.biases * signs).mean()) for each in (before, after)]
    others = (
        OtherShift("mlps", *map(float, mlps)),
        OtherShift("embedding", *map(float, means[-2])),
        OtherShift("attention_biases", *map(float, means[-1])),
        OtherShift("bias", biases[0], biases[1], 0.0, biases[1] - biases[0]),
    )
    targets = [float((each.targets * signs).mean()) for each in (before, after)]
    info, against = models.infos()
    made = HeadsDiff(
        neuron=neuron,
        against=against,
        prompts=len(rows),
        target="activation" if info.gated else "pre_activation",
        target_before=targets[0],
        target_after=targets[1],
        heads=tuple(sorted(heads, key=lambda head: -abs(head.after - head.before))[:top]),
        others=others,
        provenance=engine.provenance(corpus=True, top=top, sign=conventions.sign),
    )
    return engine.keep(key, made)


def _read(
    neuron: NeuronId,
    places: ReadPlaces,
    vectors: tuple[Doubles, Doubles],
    own: int,
    model: LookupModel,
    poll: Poll,
) -> Doubles:
    from tui_lookups.analysis.shift import read_with

    return read_with(model, neuron, places, vectors, own)


def _directions(sign: Sign, before: Doubles, after: Doubles) -> Doubles:
    """+1 or -1 for each place: in which direction the neuron fires there, in the model where it does more."""
    if sign != "both":
        return np.full(len(before), 1.0 if sign == "+" else -1.0)
    return np.where(np.where(np.abs(after) > np.abs(before), after, before) < 0, -1.0, 1.0)
