"""Figures of answers, for papers and for the report: which drawing (drawing.py) each kind of answer is.

1. Neurons of a token, tokens of a neuron, the neurons a head serves, and the parts of a sum are bars.
2. Heads are a grid of layers and heads; prompts and texts are shaded by activation, or by what a head reads
   of each token; what is counted by layer is columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from tui_lookups.errors import LookupsError
from tui_lookups.exports import drawing
from tui_lookups.results import (
    Activations,
    Atlas,
    Contributions,
    HeadAttributions,
    HeadMean,
    HeadOverview,
    NeuronInputs,
    NeuronPrompts,
    NeuronTokens,
    Prompt,
    PromptsWithFigures,
    ServedNeurons,
    Survey,
    SurveyedHead,
    TokenNeurons,
    Why,
    WhyByLayer,
)
from tui_lookups.visible import visible_token

MOST_BARS = 20
AROUND = (40, 8)
"""Tokens shown in front of a peak, and after it."""


def svg(result: object) -> str:
    """The figure of an answer, as an SVG file. Raises LookupsError for an answer that has none."""
    return drawing.as_file(figure(result))


def figure(result: object) -> Element:
    """The figure of an answer. Raises LookupsError for an answer that has none."""
    draw = _FIGURES.get(type(result))
    if draw is None:
        raise LookupsError(
            "There is no figure of this answer.",
            "Figures are of neurons, tokens, prompts, activations, heads, inputs, why, atlas and surveys.",
        )
    return draw(result)


def of_prompt(prompt: Prompt, name: str) -> Element:
    """A prompt around its peak, shaded by the neuron's activation."""
    start, end = shown_around(prompt.peak.position, len(prompt.tokens))
    return drawing.shaded(
        [token.text for token in prompt.tokens[start:end]],
        prompt.activations[start:end],
        f"{name}, prompt {prompt.rank}: {prompt.peak.activation:.4g}",
        framed=prompt.peak.position - start,
    )


def shown_around(position: int, tokens: int) -> tuple[int, int]:
    """Where the part of a text that is shown begins and ends."""
    before, after = AROUND
    return max(0, position - before), min(tokens, position + after + 1)


def of_sources(found: HeadAttributions) -> Element:
    """A text up to the peak, shaded by what a head brings from each token."""
    values, start = sources_shown(found)
    texts = [token.text for token in found.tokens[start : found.position + 1]]
    return drawing.shaded(texts, values, f"What {found.source_head} brings to {found.neuron}")


def sources_shown(found: HeadAttributions) -> tuple[list[float], int]:
    """What a head brings from each token that is shown, and the position of the first of these.

    They end at the peak, and begin no later than the token that the head brings most from.
    """
    read = {source.position: source.attribution for source in found.sources}
    start, _ = shown_around(found.position, len(found.tokens))
    first = min(start, max(read, key=lambda position: abs(read[position]), default=start))
    return [read.get(position, 0.0) for position in range(first, found.position + 1)], first


def of_means(heads: Sequence[HeadMean], title: str) -> Element:
    """The mean attribution of every head over a neuron's prompts; those worth explaining have a frame."""
    values = {(head.layer, head.index): head.mean_attribution for head in heads}
    worth = frozenset((head.layer, head.index) for head in heads if head.worth_explaining)
    return drawing.grid(values, title, marked=worth)


def of_attributions(found: HeadAttributions) -> Element:
    """Every head on one prompt; active ones have a frame."""
    values = {(head.layer, head.index): head.attribution for head in found.heads}
    active = frozenset((head.layer, head.index) for head in found.heads if head.active)
    return drawing.grid(values, f"Attribution to {found.neuron}; frame: active", marked=active)


def of_served(heads: Sequence[SurveyedHead]) -> Element:
    """How many neurons each head serves."""
    values = {(row.head.layer, row.head.index): float(row.serves) for row in heads}
    return drawing.grid(values, "Neurons that each head serves")


def of_layers(counts: Mapping[int, float], title: str) -> Element:
    """A count for each layer."""
    return drawing.columns([(str(layer), count) for layer, count in sorted(counts.items())], title)


def _of_neurons(found: TokenNeurons) -> Element:
    rows = [(str(row.neuron), row.congruence) for row in found.neurons[:MOST_BARS]]
    return drawing.bars(rows, f"Congruence with {visible_token(found.token.text)}")


def _of_tokens(found: NeuronTokens) -> Element:
    listed = (*found.tokens[: MOST_BARS // 2], *reversed(found.suppressed[: MOST_BARS // 2]))
    rows = [(visible_token(row.text), row.congruence) for row in listed]
    return drawing.bars(rows, f"Congruence of {found.neuron}", mono=True)


def _of_prompts(found: NeuronPrompts) -> Element:
    if not found.prompts:
        raise LookupsError(found.note or "There are no prompts.", "Ask about another neuron.")
    drawn = [of_prompt(prompt, str(found.neuron)) for prompt in found.prompts]
    return drawing.stacked(drawn, f"{found.neuron}: highest-activating prompts")


def _of_activations(found: Activations) -> Element:
    texts = [token.text for token in found.tokens]
    return drawing.shaded(texts, found.activations, f"Activation of {found.neuron}")


def _of_heads(found: HeadAttributions) -> Element:
    return of_attributions(found) if found.source_head is None else of_sources(found)


def _of_overview(found: HeadOverview) -> Element:
    if not found.heads:
        raise LookupsError(found.note or "No head reaches the neuron.", "Ask about another neuron.")
    return of_means(found.heads, f"Mean attribution to {found.neuron}; frame: worth explaining")


def _of_sum(parts: Contributions, title: str) -> Element:
    """The parts of a sum, the whole, and the largest heads and neurons in it."""
    groups = [
        ("heads", sum(row.contribution for row in parts.heads)),
        (parts.kind, sum(parts.neurons_by_layer)),
        ("embedding", parts.other.embedding),
        ("attention biases", parts.other.attention_biases),
        ("MLP biases", parts.other.mlp_biases),
        *parts.other.beside,
        ("bias", parts.other.bias),
        ("sum", parts.sum),
    ]
    named = [
        *((str(row.head), row.contribution) for row in parts.heads),
        *((str(row.neuron), row.contribution) for row in parts.neurons),
    ]
    named.sort(key=lambda row: -abs(row[1]))
    return drawing.stacked(
        [drawing.bars(groups, "Parts"), drawing.bars(named[: MOST_BARS // 2], "Largest heads and neurons")],
        title,
    )


def _of_inputs(found: NeuronInputs) -> Element:
    return _of_sum(found.contributions, f"{found.target.name.replace('_', '-')} of {found.neuron}")


def _of_why(found: Why) -> Element:
    against = "" if found.foil is None else f" against {visible_token(found.foil.text)}"
    return _of_sum(found.contributions, f"Logit of {visible_token(found.token.text)}{against}")


def _of_layers_of_why(found: WhyByLayer) -> Element:
    rows = [
        (f"layer {row.layer}", row.heads + row.neurons + row.biases + (row.beside or 0.0))
        for row in found.layers
    ]
    return drawing.bars(rows, f"What each layer adds to the logit of {visible_token(found.token.text)}")


def _of_atlas(found: Atlas) -> Element:
    counts = {layer.layer: float(layer.best_of_tokens) for layer in found.layers}
    return of_layers(counts, "Tokens whose best neuron is in the layer")


def _of_survey(found: Survey) -> Element:
    return of_served(found.heads)


def _of_served_by(found: ServedNeurons) -> Element:
    rows = [(f"{row.neuron} {visible_token(row.token.text)}", row.mean_attribution) for row in found.pairs]
    return drawing.bars(rows[:MOST_BARS], f"Mean attribution of {found.head.head}")


_FIGURES: dict[type[Any], Callable[[Any], Element]] = {
    Activations: _of_activations,
    Atlas: _of_atlas,
    HeadAttributions: _of_heads,
    HeadOverview: _of_overview,
    NeuronInputs: _of_inputs,
    NeuronPrompts: _of_prompts,
    NeuronTokens: _of_tokens,
    PromptsWithFigures: _of_prompts,
    ServedNeurons: _of_served_by,
    Survey: _of_survey,
    TokenNeurons: _of_neurons,
    Why: _of_why,
    WhyByLayer: _of_layers_of_why,
}
