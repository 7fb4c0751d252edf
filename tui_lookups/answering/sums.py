"""Exact sums as results, put together on the model thread: why a token, what fires a neuron.

Pure functions of what they are given, as answers.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from tui_lookups.analysis.activity import active_heads
from tui_lookups.analysis.congruence import best_first, own_tokens
from tui_lookups.analysis.exact_sum import as_contributions
from tui_lookups.analysis.inputs import NeuronSum, cut_edge, neuron_sums
from tui_lookups.analysis.why import layers_of, probability_without, why_token
from tui_lookups.answering.answers import counted_prompts
from tui_lookups.answering.peak_inputs import PeakInput, input_of_prompt
from tui_lookups.errors import Poll
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.progress import Count, heard_by, tell
from tui_lookups.results import (
    EdgeCut,
    InputsOverview,
    LogitTarget,
    NeuronInputMean,
    NeuronInputs,
    Prompt,
    Provenance,
    Removed,
    Target,
    Token,
    Why,
)
from tui_lookups.results.conventions import Conventions

_AT_ONCE = 8
"""Prompts whose sums are held at once: of a million neurons each has a million figures."""


def why(
    model: LookupModel,
    row: Sequence[int],
    position: int,
    token: Token | None,
    foil: Token | None,
    *,
    top: int,
    provenance: Provenance,
    poll: Poll,
) -> Why:
    """Why a token after a position (method.md, section 8); the most probable one where none is named."""
    asked, against = _id(token), _id(foil)
    exact = why_token(model, row, position, asked, against, top=top, poll=poll)
    return Why(
        tokens=model.vocabulary.tokens(list(row)),
        position=position,
        token=model.vocabulary.token(exact.token_id),
        foil=foil,
        predictions=exact.predictions,
        probability=float(exact.probabilities[exact.token_id]),
        foil_probability=None if foil is None else float(exact.probabilities[foil.id]),
        target=LogitTarget("logit" if foil is None else "logit_difference", exact.found.target),
        contributions=as_contributions(exact.found, top, exact.congruences, exact.own, exact.token_id),
        layers=layers_of(model, exact),
        lens_embedding=exact.lens[0],
        soft_cap=model.wiring.logit_cap,
        provenance=provenance,
    )


def removed(
    model: LookupModel,
    row: Sequence[int],
    position: int,
    component: HeadId | NeuronId,
    token: Token | None,
    foil: Token | None,
    *,
    method: Literal["zero", "mean"],
    value: npt.NDArray[np.float64],
    provenance: Provenance,
    poll: Poll,
) -> Removed:
    """A token's probability with `value` in place of a component (method.md, sections 6 and 8)."""
    exact = why_token(model, row, position, _id(token), _id(foil), top=0, poll=poll)
    without = probability_without(model, row, position, component, value, exact.token_id, poll=poll)
    before = float(exact.probabilities[exact.token_id])
    named = {**provenance.parameters, "token": exact.token_id}
    provenance = replace(provenance, parameters=named)
    return Removed(component, method, exact.found.of(component), before, without, provenance)


def inputs(
    model: LookupModel,
    neuron: NeuronId,
    place: PeakInput,
    *,
    prompt_id: int | None,
    rank: int | None,
    context: str,
    top: int,
    provenance: Provenance,
    poll: Poll,
) -> NeuronInputs:
    """What fires a neuron at one place, down to earlier neurons (method.md, section 9)."""
    (exact,) = neuron_sums(model, neuron, [place.ids], [place.position], poll=poll)
    return NeuronInputs(
        neuron=neuron,
        prompt_id=prompt_id,
        rank=rank,
        context=context,
        tokens=model.vocabulary.tokens(list(place.ids)),
        position=place.position,
        activation=exact.activation,
        target=_target(exact),
        contributions=as_contributions(exact.found, top, own=own_tokens(model, exact.found.largest(top))),
        provenance=provenance,
    )


def inputs_overview(
    model: LookupModel,
    neuron: NeuronId,
    prompts: Sequence[Prompt],
    *,
    conventions: Conventions,
    top: int,
    provenance: Provenance,
    poll: Poll,
) -> InputsOverview:
    """Earlier neurons over all of a neuron's prompts (method.md, section 9), counted in the direction in
    which each prompt fires the neuron, as heads are."""
    bos_id = model.vocabulary.bos_id
    counted = counted_prompts(prompts, conventions.preset, bos_id)
    places = [input_of_prompt(bos_id, prompt, trimmed=conventions.trimmed) for prompt in counted]
    shape = (neuron.layer, model.info.d_mlp)
    total, active = np.zeros(shape), np.zeros(shape)
    count = Count("summing what fires it", len(places), "prompts")
    for start in range(0, len(places), _AT_ONCE):
        few = places[start : start + _AT_ONCE]
        tell(count.at(start))
        with heard_by(None):  # what is told of these few
            sums = neuron_sums(model, neuron, [p.ids for p in few], [p.position for p in few], poll=poll)
        for peak, one_sum in zip(few, sums, strict=True):
            signed = peak.sign * one_sum.found.neurons
            total += signed
            active += active_heads(signed.ravel(), conventions.activity_rule)[0].reshape(shape)
    means, fractions = total / max(1, len(places)), active / max(1, len(places))
    largest = best_first(np.abs(means).ravel(), top) if places else ()
    named = model.info.neurons_at(range(model.info.n_layers), largest)
    rows = tuple(
        NeuronInputMean(
            neuron, float(means[neuron.layer, neuron.index]), float(fractions[neuron.layer, neuron.index])
        )
        for neuron in named
    )
    by_layer = tuple(means.sum(1).tolist())
    return InputsOverview(neuron, len(places), conventions.context, rows, by_layer, provenance)


def edge_cut(
    model: LookupModel,
    neuron: NeuronId,
    component: HeadId | NeuronId,
    place: PeakInput,
    *,
    provenance: Provenance,
    poll: Poll,
) -> EdgeCut:
    """A component taken out of one neuron's input only (method.md, section 11)."""
    cut = cut_edge(model, neuron, component, place.ids, place.position, poll=poll)
    return EdgeCut(
        neuron=neuron,
        component=component,
        tokens=model.vocabulary.tokens(list(place.ids)),
        position=place.position,
        target=_target(cut.neuron),
        activation=cut.neuron.activation,
        contribution=cut.contribution,
        held=cut.held,
        activation_held=cut.activation_held,
        free=cut.free,
        activation_free=cut.activation_free,
        provenance=provenance,
    )


def _target(found: NeuronSum) -> Target:
    name: Literal["pre_activation", "activation"] = "pre_activation" if found.u is None else "activation"
    return Target(name, found.found.target)


def _id(token: Token | None) -> int | None:
    return None if token is None else token.id
