"""Which heads made a neuron fire: the exact decomposition at one position (method.md, section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results.base import ActivityRule, Provenance, Token


@dataclass(frozen=True, slots=True)
class HeadAttribution:
    """A head's direct attribution; for gated MLPs also its share through the gate and through W_in.

    `gate` is rho/2 * g_c * u, `up` is rho/2 * g * u_c; they sum to `attribution`. None for plain MLPs.
    """

    head: HeadId
    layer: int
    index: int
    attribution: float
    active: bool
    gate: float | None = None
    up: float | None = None


@dataclass(frozen=True, slots=True)
class OtherComponents:
    """Everything but the heads: embedding (with positions), earlier MLPs, attention output biases, b_in."""

    embedding: float
    mlps: float
    attention_biases: float
    bias: float


@dataclass(frozen=True, slots=True)
class Target:
    """What the components sum to: the pre-activation of a plain MLP, the activation of a gated one."""

    name: Literal["pre_activation", "activation"]
    value: float


@dataclass(frozen=True, slots=True)
class SourceToken:
    """The part of one head's attribution that comes from the key position `position`.

    `weight` is the head's attention there, 0 to 1; None in what earlier versions wrote.
    """

    position: int
    token: Token
    attribution: float
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class HeadAttributions:
    """Direct attribution of every head that reaches the neuron, at one position of one text.

    `sum` is heads + other; `remainder` is target - sum. `heads` are in layer, then head order.
    `context` says which text was run: the full window, the trimmed prompt, or a text given by hand.
    `special`: the token at `position` is a special one; None in what earlier versions wrote.
    """

    neuron: NeuronId
    prompt_id: int | None
    rank: int | None
    context: Literal["full", "trimmed", "text"]
    tokens: tuple[Token, ...]
    position: int
    activation: float
    pre_activation: float
    target: Target
    heads: tuple[HeadAttribution, ...]
    other: OtherComponents
    sum: float
    remainder: float
    activity_rule: ActivityRule
    activity_threshold: float
    source_head: HeadId | None
    sources: tuple[SourceToken, ...]
    provenance: Provenance
    special: bool | None = None


@dataclass(frozen=True, slots=True)
class HeadMean:
    """A head over all of a neuron's prompts. `worth_explaining`: active on 25 % to 75 % of them."""

    head: HeadId
    layer: int
    index: int
    mean_attribution: float
    active_fraction: float
    worth_explaining: bool


@dataclass(frozen=True, slots=True)
class HeadOverview:
    """Every head that reaches the neuron, averaged over its top prompts; `note` says why there are none.

    `mean_target`: what the heads and everything else sum to, over the same prompts and in the direction they
    fire; None without prompts, and in what earlier versions wrote.
    """

    neuron: NeuronId
    prompts: int
    context: Literal["full", "trimmed"]
    activity_rule: ActivityRule
    heads: tuple[HeadMean, ...]
    provenance: Provenance
    note: str = ""
    mean_target: float | None = None


@dataclass(frozen=True, slots=True)
class ReadToken:
    """A token that a head reads: what it adds to the neuron from there, its mean over all prompts.

    `prompts`: on so many of them the token is among those up to the peak.
    """

    token: Token
    mean_attribution: float
    prompts: int


@dataclass(frozen=True, slots=True)
class HeadReads:
    """What a head reads for a neuron, over the neuron's prompts, largest first.

    `tokens` and `rest`, what is from all other tokens, sum to the head's mean attribution.
    """

    neuron: NeuronId
    head: HeadId
    prompts: int
    context: Literal["full", "trimmed"]
    tokens: tuple[ReadToken, ...]
    rest: float
    provenance: Provenance
