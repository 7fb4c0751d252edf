"""Fixed answers about why a token is expected and what fires a neuron, for the canned explorer.

Sums close: what is not named of a layer's neurons is a fixed figure a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import (
    Contributions,
    HeadContribution,
    InputsOverview,
    LayerOfWhy,
    LogitTarget,
    NeuronContribution,
    NeuronInputMean,
    NeuronInputs,
    OtherContributions,
    Prediction,
    Prompt,
    Provenance,
    Removed,
    Target,
    Token,
    Why,
)

_UNNAMED = 0.03


def _neurons(layers: int, top: int, *, congruence: bool = False) -> tuple[NeuronContribution, ...]:
    """Neurons of every layer in turn, largest first, every third pushing down."""
    rows = []
    for n in range(top):
        activation, adds = 3.1 / (1 + n), 2.4 / (1 + n) * (-1) ** (n % 3 == 1)
        neuron = NeuronId((layers - 1 - n) % layers, 7 + 3 * n)
        rows.append(
            NeuronContribution(neuron, activation, adds, None, adds / activation if congruence else None)
        )
    return tuple(rows)


def _sum(layers: int, heads: int, head_layers: int, top: int, *, congruence: bool) -> Contributions:
    named = _neurons(layers, top, congruence=congruence) if layers else ()
    by_layer = tuple(
        _UNNAMED + sum(n.contribution for n in named if n.neuron.layer == layer) for layer in range(layers)
    )
    served = tuple(
        HeadContribution(HeadId(layer, index), 1.7 * (-1) ** index / (1 + 2 * index + layer))
        for layer in range(head_layers)
        for index in range(heads)
    )
    rest = OtherContributions(0.22, -0.05, 0.04, 0.1)
    whole = sum(by_layer) + sum(row.contribution for row in served) + 0.22 - 0.05 + 0.04 + 0.1
    return Contributions.of(served, named, by_layer, rest, whole + 0.0004)


def why(
    tokens: Sequence[Token],
    position: int,
    likely: Sequence[Token],
    token: Token | None,
    foil: Token | None,
    top: int,
    provenance: Provenance,
) -> Why:
    """`likely`: the next tokens, most probable first."""
    model = provenance.model
    found = _sum(model.n_layers, model.n_heads, model.n_layers, top, congruence=True)
    asked = likely[0] if token is None else token
    odds = {each: 0.4 / 2**n for n, each in enumerate(likely)}
    layers = tuple(
        LayerOfWhy(
            layer,
            sum(row.contribution for row in found.heads if row.head.layer == layer),
            found.neurons_by_layer[layer],
            -0.01 / model.n_layers,
            0.7 * layer - 0.4,
            likely[-1 - layer % len(likely)],
        )
        for layer in range(model.n_layers)
    )
    own = {row.neuron for row in found.neurons[:4:3]}
    neurons = tuple(replace(row, next_token_neuron=row.neuron in own) for row in found.neurons)
    target = LogitTarget("logit" if foil is None else "logit_difference", found.target)
    return Why(
        tuple(tokens), position, asked, foil,
        tuple(Prediction(each, odds[each]) for each in likely),
        odds.get(asked, 0.001), None if foil is None else odds.get(foil, 0.001),
        target, replace(found, neurons=neurons), layers, 0.3, None, provenance,
    )  # fmt: skip


def removed(component: HeadId | NeuronId, method: str, found: Why, provenance: Provenance) -> Removed:
    """Without it the token is half as probable, with its mean in its place two thirds."""
    rows = [(row.neuron, row.contribution) for row in found.contributions.neurons]
    direct = dict([*rows, *((row.head, row.contribution) for row in found.contributions.heads)])
    left = {"zero": 0.5, "mean": 0.66}[method] * found.probability
    return Removed(component, method, direct[component], found.probability, left, provenance)


def inputs(neuron: NeuronId, at: Prompt, context: str, top: int, provenance: Provenance) -> NeuronInputs:
    """At the peak of a prompt, or of a text by hand (rank 0)."""
    found = _sum(neuron.layer, provenance.model.n_heads, neuron.layer + 1, top, congruence=False)
    return NeuronInputs(
        neuron, at.prompt_id if at.rank else None, at.rank or None, context, at.tokens, at.peak.position,
        at.peak.activation, Target("pre_activation", found.target), found, provenance,
    )  # fmt: skip


def inputs_overview(neuron: NeuronId, top: int, provenance: Provenance) -> InputsOverview:
    """The same neurons, over 20 prompts."""
    named = _neurons(neuron.layer, top) if neuron.layer else ()
    rows = tuple(
        NeuronInputMean(row.neuron, row.contribution / 2, 1 / (1 + n)) for n, row in enumerate(named)
    )
    return InputsOverview(neuron, 20, "full", rows, (0.3,) * neuron.layer, provenance)
