"""Heads of many neurons at once (method.md, section 12)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.progress import Progress
from tui_lookups.results.ablation import PairComparison
from tui_lookups.results.base import ActivityRule, Provenance, Sign, Token
from tui_lookups.results.explanation import Summary


@dataclass(frozen=True, slots=True)
class SurveyPlan:
    """What a survey costs before it is begun.

    Attributes:
        neurons: the next-token neurons of the layers; done: those whose heads are in the cache already.
        prompts: of each of the others, at most. texts: run for them, at most; what neurons share counts once.
        pairs: neurons, times the heads that reach each.
        worth_explaining: how many of the done ones' pairs are. with_pairs: the neurons that these are of.
        follow_up: what explanation, score and ablation of the pairs would take; None where they are not asked
            for, or no neuron is done yet.
    """

    layers: tuple[int, ...]
    neurons: int
    done: int
    prompts: int
    texts: int
    pairs: int
    worth_explaining: int = 0
    with_pairs: int = 0
    follow_up: FollowUpPlan | None = None


@dataclass(frozen=True, slots=True)
class FollowUpPlan:
    """What the pairs that are worth explaining would take, at most.

    The exact figures of what is sent are worked out, and said, right before it is.

    Attributes:
        pairs: known, and as many for each neuron that is left as for those that are done.
        texts: run through the model.
        calls: to the explainer. input_tokens, output_tokens: of all of them, by the longest window.
        cost: at the prices that are set; None where they are not.
    """

    pairs: int
    texts: int
    calls: int
    input_tokens: int
    output_tokens: int
    cost: float | None


_STEPS = {
    "heads": ("surveying", "neurons"),
    "examples": ("preparing examples", "neurons"),
    "ablations": ("ablating", "pairs"),
}


@dataclass(frozen=True, slots=True)
class SurveyProgress:
    """How far a survey is.

    Attributes:
        done, total: neurons, or pairs where these are ablated. seconds_left: None until it can be told.
        share: of this work, neurons that are being worked out together in part among it.
        step: their heads, the examples that explanations are written from and scored on, or ablations.
    """

    done: int
    total: int
    seconds: float
    seconds_left: float | None
    share: float = 0.0
    step: Literal["heads", "examples", "ablations"] = "heads"

    @property
    def under_way(self) -> Progress:
        """How far it is, as everything else says it."""
        what, unit = _STEPS[self.step]
        return Progress(
            what, self.done, self.total, unit, self.seconds, self.seconds_left, worked=self.share or None
        )


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
    """A head that is worth explaining for a neuron.

    `share`: its mean attribution as a share of the neuron's mean target; None where that is zero.
    """

    neuron: NeuronId
    token: Token
    congruence: float
    head: HeadId
    mean_attribution: float
    active_fraction: float
    share: float | None


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
class SurveyedLayer:
    """How many of a layer's neurons were looked at, fire, and have a head that is worth explaining.

    Attributes:
        pairs: of these neurons. serving: heads of this layer that serve a surveyed neuron of any layer.
        served: pairs of heads of this layer.
    """

    layer: int
    neurons: int
    fire: int
    explained: int
    pairs: int
    serving: int
    served: int


@dataclass(frozen=True, slots=True)
class ActiveShare:
    """How many pairs of a neuron and a head that reaches it are active on a share of its prompts.

    From `least` (included) up to `most` (not included, but for the last).
    """

    least: float
    most: float
    pairs: int


@dataclass(frozen=True, slots=True)
class ExplainedPair:
    """An explanation of a pair, and its figures where it was scored; `left_out` says why it has none."""

    neuron: NeuronId
    head: HeadId
    explanation: str
    head_explanation_score: float | None
    f1: float | None
    precision: float | None
    recall: float | None
    active: int
    inactive: int
    control: float | None
    left_out: str


@dataclass(frozen=True, slots=True)
class ScoreMeans:
    """Means over the pairs that have a score (method.md, section 5)."""

    head_explanation_score: Summary
    f1: Summary
    control: Summary


@dataclass(frozen=True, slots=True)
class Survey:
    """Next-token neurons layer by layer, the pairs worth explaining, and every head's part.

    Attributes:
        neurons: layer by layer, best first. pairs: in the same order, each neuron's by attribution.
        heads: in layer, then head order. by_layer: every layer of a neuron or of a head.
        active_shares: all pairs of a neuron and a head that reaches it, in ten steps.
        explained, scores, ablation: of `pairs`; empty, or None, where they were not asked for.
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
    by_layer: tuple[SurveyedLayer, ...] = ()
    active_shares: tuple[ActiveShare, ...] = ()
    explained: tuple[ExplainedPair, ...] = ()
    scores: ScoreMeans | None = None
    ablation: PairComparison | None = None


@dataclass(frozen=True, slots=True)
class ServedNeurons:
    """The neurons that a head serves, of those of a survey, largest mean attribution first."""

    head: SurveyedHead
    pairs: tuple[SurveyedPair, ...]
    provenance: Provenance
