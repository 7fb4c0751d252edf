"""Heads of many neurons at once (method.md, section 12)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results.base import ActivityRule, Provenance, Sign, Token


@dataclass(frozen=True, slots=True)
class SurveyPlan:
    """What a survey costs before it is begun.

    Attributes:
        neurons: the next-token neurons of the layers; done: those whose heads are in the cache already.
        prompts: run for each of the others, at most.
        pairs: neurons, times the heads that reach each.
    """

    layers: tuple[int, ...]
    neurons: int
    done: int
    prompts: int
    pairs: int


@dataclass(frozen=True, slots=True)
class SurveyProgress:
    """How far a survey is.

    Attributes:
        done, total: neurons, or pairs where these are ablated. seconds_left: None until it can be told.
        share: of this work, neurons that are being worked out together in part among it.
    """

    done: int
    total: int
    seconds: float
    seconds_left: float | None
    share: float = 0.0
    of: Literal["neurons", "pairs"] = "neurons"


@dataclass(frozen=True, slots=True)
class SurveyedNeuron:
    """A next-token neuron, and what its prompts say of its heads.

    Attributes:
        prompts: its heads were looked at on.
        mean_target: what heads and everything else sum to, its mean over them; None without prompts.
        heads: so many reach it. worth_explaining: so many of these are.
        note: why there are no prompts; empty where there are.
    """

    neuron: NeuronId
    token: Token
    congruence: float
    prompts: int
    mean_target: float | None
    heads: int
    worth_explaining: int
    note: str


@dataclass(frozen=True, slots=True)
class SurveyedPair:
    """A head that is worth explaining for a neuron."""

    neuron: NeuronId
    token: Token
    congruence: float
    head: HeadId
    mean_attribution: float
    active_fraction: float


@dataclass(frozen=True, slots=True)
class SurveyedHead:
    """A head over all the neurons it reaches.

    Attributes:
        reaches: of the neurons that have prompts. serves: those for which it is worth explaining.
        mean_attribution: its mean over those it serves; None where there is none.
        carries: its mean attributions over all it reaches, summed, as a share of their summed mean targets.
    """

    head: HeadId
    reaches: int
    serves: int
    mean_attribution: float | None
    carries: float | None


@dataclass(frozen=True, slots=True)
class Survey:
    """Next-token neurons layer by layer, the pairs worth explaining, and every head's part.

    Attributes:
        neurons: layer by layer, best first. pairs: in the same order, each neuron's by attribution.
        heads: in layer, then head order.
    """

    layers: tuple[int, ...]
    per_layer: int
    sign: Sign
    context: Literal["full", "trimmed"]
    activity_rule: ActivityRule
    neurons: tuple[SurveyedNeuron, ...]
    pairs: tuple[SurveyedPair, ...]
    heads: tuple[SurveyedHead, ...]
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class ServedNeurons:
    """The neurons that a head serves, of those of a survey, largest mean attribution first."""

    head: SurveyedHead
    pairs: tuple[SurveyedPair, ...]
    provenance: Provenance
