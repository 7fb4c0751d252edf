"""A neuron's figures at a peak: logit contribution, the token that follows, probabilities.

See method.md, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tui_lookups.ids import NeuronId
from tui_lookups.results.base import Provenance, Token
from tui_lookups.results.prompts import NeuronPrompts, Peak, Prompt

PromptKind = Literal["top", "random", "deciles"]
"""Highest-activating prompts, a uniform random sample, or one of each decile of phi.

See method.md, section 3.
"""


TEXT_TOKENS = 40
"""Tokens of the text of a peak, at most."""


@dataclass(frozen=True, slots=True)
class RankedPeak:
    """The peak of one of a neuron's prompts, and the text up to there; `copies` as in `Prompt`."""

    rank: int
    prompt_id: int
    sign: int
    peak: Peak
    text: str
    copies: int | None

    @classmethod
    def of(cls, prompt: Prompt) -> RankedPeak:
        """That of a prompt."""
        text = text_before(prompt.tokens, prompt.peak.position)
        return cls(prompt.rank, prompt.prompt_id, prompt.sign, prompt.peak, text, prompt.copies)


def text_before(tokens: Sequence[Token], position: int) -> str:
    """The text that ends with the token at `position`."""
    return "".join(token.text for token in tokens[max(0, position + 1 - TEXT_TOKENS) : position + 1])


@dataclass(frozen=True, slots=True)
class PromptFigures:
    """One prompt, at its peak.

    Attributes:
        token: the token looked at: the one asked for, else the one the neuron, firing as it does, promotes
            most.
        logit_contribution: activation * congruence / scale, what the neuron adds to the token's logit
            directly (to the mean logit where the unembedding is centred; before a soft cap).
        scale: of the final norm at the peak; times that of the norm after the MLP where there is one.
        probability: the model's of `token` at the peak.
        next_token: what really follows, None at the end of the window; next_probability: the model's of it.
    """

    rank: int
    prompt_id: int
    sign: int
    token: Token
    activation: float
    congruence: float
    logit_contribution: float
    scale: float
    probability: float
    next_token: Token | None
    next_probability: float | None


@dataclass(frozen=True, slots=True)
class PeakFigures:
    """A neuron's figures at the peak of each of its prompts; `token` is None where each sign has its own."""

    neuron: NeuronId
    kind: PromptKind
    token: Token | None
    prompts: tuple[PromptFigures, ...]
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class PromptsWithFigures(NeuronPrompts):
    """Prompts with what the neuron comes to at each peak; `figures_note` says why there are no figures."""

    kind: PromptKind
    figures: tuple[PromptFigures, ...]
    figures_note: str
