"""Several neurons as one (method.md, section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results.attribution import HeadAttribution, OtherComponents, Target
from tui_lookups.results.base import ActivityRule, Provenance, Token


@dataclass(frozen=True, slots=True)
class MemberNeuron:
    """One of several neurons, and what its prompts say; `note` says why there are none."""

    neuron: NeuronId
    prompts: int
    mean_target: float | None
    note: str


@dataclass(frozen=True, slots=True)
class HeadForNeuron:
    """What a head is for one of several neurons, over that neuron's prompts."""

    neuron: NeuronId
    mean_attribution: float
    active_fraction: float
    active: bool
    worth_explaining: bool


@dataclass(frozen=True, slots=True)
class SharedHead:
    """A head and several neurons.

    Attributes:
        reaches: of the neurons that have prompts. active_for: those on whose prompts it is active often
            enough. serves: those for which it is worth explaining.
        attribution: its mean attributions to all it reaches, summed. mean_attribution: their mean.
        neurons: those that it reaches.
    """

    head: HeadId
    layer: int
    index: int
    reaches: int
    active_for: int
    serves: int
    attribution: float
    mean_attribution: float
    shared: bool
    neurons: tuple[HeadForNeuron, ...]


@dataclass(frozen=True, slots=True)
class SharedHeads:
    """The heads of several neurons, each over its own prompts: those active for most of them first.

    `target`: the neurons' mean targets, summed.
    """

    neurons: tuple[MemberNeuron, ...]
    context: Literal["full", "trimmed"]
    activity_rule: ActivityRule
    target: float
    heads: tuple[SharedHead, ...]
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class NeuronInSum:
    """One of several neurons at one position of a text."""

    neuron: NeuronId
    activation: float
    pre_activation: float
    target: float
    remainder: float


@dataclass(frozen=True, slots=True)
class HeadInSum:
    """A head's attribution to one of several neurons."""

    neuron: NeuronId
    attribution: float


@dataclass(frozen=True, slots=True)
class SummedHead(HeadAttribution):
    """A head's attribution to the sum of several neurons; `neurons` are those that it reaches."""

    neurons: tuple[HeadInSum, ...] = ()


@dataclass(frozen=True, slots=True)
class SummedHeads:
    """Direct attribution of every head to the sum of several neurons, at one position of one text.

    `target`, `sum` and `remainder` are sums over `neurons`; `heads` are in layer, then head order.
    """

    neurons: tuple[NeuronInSum, ...]
    tokens: tuple[Token, ...]
    position: int
    target: Target
    heads: tuple[SummedHead, ...]
    other: OtherComponents
    sum: float
    remainder: float
    activity_rule: ActivityRule
    activity_threshold: float
    provenance: Provenance
