"""What a neuron and its token do without a head: the total effect (method.md, section 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results.base import ActivityRule, Provenance, Token
from tui_lookups.results.selection import AblationMethod, AblationPositions, SelectedAblation


@dataclass(frozen=True, slots=True)
class AblatedPrompt:
    """One prompt with and without the head, all figures at the neuron's peak.

    Attributes:
        rank, prompt_id: None for a text given by hand.
        sign: -1 where the neuron fires negatively there; its token is then the one it suppresses most.
        active: whether the head is active on the prompt (method.md, section 4), by its direct `attribution`.
        token: the token whose probability is given: the one the neuron, firing as it does, promotes most.
        donor: for "resample", the prompt whose z was put in place.
    """

    rank: int | None
    prompt_id: int | None
    sign: int
    position: int
    active: bool
    attribution: float
    token: Token
    activation_before: float
    activation_after: float
    probability_before: float
    probability_after: float
    donor: int | None

    @property
    def activation_change(self) -> float:
        """By how much the firing changes: counted in the direction in which the neuron fires."""
        return self.sign * (self.activation_after - self.activation_before)

    @property
    def probability_drop(self) -> float:
        return self.probability_before - self.probability_after


@dataclass(frozen=True, slots=True)
class AblationMean:
    """Means over some prompts; None where there are none of them."""

    prompts: int
    mean_activation_change: float | None
    mean_probability_drop: float | None


@dataclass(frozen=True, slots=True)
class KolmogorovSmirnov:
    """Two-sample Kolmogorov-Smirnov: the largest distance between two empirical distributions."""

    statistic: float
    p_value: float


@dataclass(frozen=True, slots=True)
class AblationSummary:
    """Prompts on which the head is active against those on which it is not.

    The distances compare the two groups' changes; None where one group is empty.
    """

    active: AblationMean
    inactive: AblationMean
    every: AblationMean
    activation_distance: KolmogorovSmirnov | None
    probability_distance: KolmogorovSmirnov | None


@dataclass(frozen=True, slots=True)
class HeadAblation:
    """A head ablated on each of a neuron's prompts, or (context "text") on one text given by hand.

    `seed` is of what was drawn (the corpus sample of "mean", the donors of "resample"); `sample` is how many
    prompts the mean is over, 0 for other methods.
    """

    neuron: NeuronId
    head: HeadId
    method: AblationMethod
    positions: AblationPositions
    context: Literal["full", "trimmed", "text"]
    activity_rule: ActivityRule
    seed: int
    sample: int
    prompts: tuple[AblatedPrompt, ...]
    summary: AblationSummary
    provenance: Provenance

    @property
    def marked(self) -> SelectedAblation:
        """It as a basket holds it. Raises ValueError for one of a text, which no basket holds."""
        if self.context == "text":
            raise ValueError("an ablation on a text cannot be marked")
        return SelectedAblation(self.neuron, self.head, self.method, self.positions, self.context)


@dataclass(frozen=True, slots=True)
class AblatedPair:
    """A head ablated on a neuron's prompts: mean drops in the probability of the neuron's token."""

    neuron: NeuronId
    head: HeadId
    drop_active: float
    drop_inactive: float


@dataclass(frozen=True, slots=True)
class PairComparison:
    """The paper's comparison over (neuron, head) pairs: mean drops on active against inactive prompts.

    `pairs` have prompts of both kinds; so many others, `left_out`, have not.
    """

    method: AblationMethod
    positions: AblationPositions
    pairs: tuple[AblatedPair, ...]
    left_out: int
    mean_drop_active: float
    mean_drop_inactive: float
    distance: KolmogorovSmirnov
    provenance: Provenance
