"""Why the model expects a token after a position of a text (method.md, section 8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tui_lookups.ids import ComponentId, NeuronId
from tui_lookups.results.base import Provenance, Token
from tui_lookups.results.components import Contributions
from tui_lookups.results.predictions import Prediction


@dataclass(frozen=True, slots=True)
class LogitTarget:
    """What the components sum to: a token's logit less the mean over the vocabulary, or less a foil's."""

    name: Literal["logit", "logit_difference"]
    value: float


@dataclass(frozen=True, slots=True)
class LayerOfWhy:
    """What one layer adds to the logit, and what the stream behind it would predict (logit lens).

    Attributes:
        heads, neurons: sums over the layer's; biases: of its attention and its MLP.
        beside: what its MLP writes beside a dictionary's units (section 14); None where none is open.
        lens_logit: the centred logit of the token (against the foil, if there is one) were the final norm, at
            its own scale, to read the stream behind this layer.
        lens_token: the token that would be most probable there.
    """

    layer: int
    heads: float
    neurons: float
    biases: float
    lens_logit: float
    lens_token: Token
    beside: float | None = None


@dataclass(frozen=True, slots=True)
class Why:
    """The logit of `token` after `position`, as an exact sum over components of the last residual stream.

    Attributes:
        tokens: of the text, begin-of-text in front.
        position: of the token that is read last.
        token: what is asked about. foil: what it is asked about against; None where it is the mean over the
            vocabulary.
        predictions: the most probable next tokens there, most probable first.
        probability: the model's, of `token`; foil_probability: of the foil.
        contributions: their target is the logit of `token`, centred over the vocabulary, or minus that of the
            foil; logit scalings applied, before a soft cap on the logits.
        layers: layer 0 first.
        lens_embedding: `lens_logit` in front of the first layer.
        soft_cap: the cap that follows (Gemma 2), None where there is none: a note says so.
    """

    tokens: tuple[Token, ...]
    position: int
    token: Token
    foil: Token | None
    predictions: tuple[Prediction, ...]
    probability: float
    foil_probability: float | None
    target: LogitTarget
    contributions: Contributions
    layers: tuple[LayerOfWhy, ...]
    lens_embedding: float
    soft_cap: float | None
    provenance: Provenance

    @property
    def next_token_neurons(self) -> tuple[NeuronId, ...]:
        """Those of the neurons named whose own top token it is."""
        return tuple(row.neuron for row in self.contributions.neurons if row.next_token_neuron)


@dataclass(frozen=True, slots=True)
class WhyByLayer(Why):
    """The same answer, whose rows are its layers."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What taking one component out, at the position, does to the probability of the token (section 6).

    Attributes:
        method: what is put in its place: "zero", or its "mean" over the corpus sample.
        direct: its contribution to the logit, which is not the same thing.
    """

    component: ComponentId
    method: str
    direct: float
    probability: float
    probability_without: float
    provenance: Provenance
