"""What makes a head active, in words, and how well those words predict it (method.md, section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results.base import ActivityRule, Provenance

Part = Literal["explaining", "scoring"]
Author = Literal["model", "person"]


@dataclass(frozen=True, slots=True)
class Example:
    """A trimmed prompt as it is sent out, and the heads that are active at its peak.

    `text` ends with the token at the peak; `next_token` is what follows there, None at a window's end.
    """

    prompt_id: int
    text: str
    next_token: str | None
    active: tuple[HeadId, ...]


@dataclass(frozen=True, slots=True)
class NeuronExamples:
    """A neuron's top prompts in one part of the corpus, with the activity of all `heads` that reach it."""

    neuron: NeuronId
    part: Part
    heads: int
    activity_rule: ActivityRule
    examples: tuple[Example, ...]
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class Usage:
    """What answers took: requests the endpoint answered, answers that were known, requests that failed.

    Tokens are of the answered requests, as the endpoint counted them; `estimated` where it did not count
    all of them. `cost` is None where no price is set.
    """

    calls: int
    cached: int
    failed: int
    input_tokens: int
    output_tokens: int
    estimated: bool
    cost: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a question would send: known before anything is sent.

    `output_tokens` is the most that can come back; `counting` says how input tokens were counted.
    `budget_left` is None where the setting token_budget is. `problem` says why none of it can be sent as
    things are, and `hint` what to do about that; both are empty where it can.
    """

    model: str
    endpoint: str
    calls: int
    cached: int
    input_tokens: int
    output_tokens: int
    counting: str
    cost: float | None
    budget_left: int | None
    notes: tuple[str, ...]
    problem: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """In what contexts a head is active for a neuron, in words.

    `model` is the one asked for, `answered_by` what the endpoint called it; both, and `endpoint`, are None
    for a person's own words. `active` and `inactive` count the prompts that were shown.
    """

    neuron: NeuronId
    head: HeadId
    explanation: str
    author: Author
    model: str | None
    answered_by: str | None
    endpoint: str | None
    request_version: int
    created: str
    cached: bool
    active: int
    inactive: int
    notes: tuple[str, ...]
    usage: Usage
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class ExampleAnswer:
    """One held-out prompt and what the scorer said of it.

    `answer` is None when the request failed or the answer was neither Yes nor No (`problem` says which).
    `probability` is that of Yes against No, None without log-probabilities.
    """

    prompt_id: int
    active: bool
    answer: Literal["yes", "no"] | None
    probability: float | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures over the answered prompts; unanswered ones count in nothing but `unanswered`.

    `head_explanation_score` is (true-positive rate + true-negative rate) / 2. A figure whose denominator
    is zero is None; `roc_auc` also where an answered prompt has no probability.
    """

    head_explanation_score: float | None
    f1: float | None
    precision: float | None
    recall: float | None
    tp: int
    fp: int
    tn: int
    fn: int
    unanswered: int
    roc_auc: float | None


@dataclass(frozen=True, slots=True)
class Shuffled:
    """The same answers scored on `shuffles` random permutations of the labels.

    `at_least` is the share of them that score as high as the true labels or higher.
    """

    shuffles: int
    seed: int
    mean: float
    standard_deviation: float
    at_least: float


@dataclass(frozen=True, slots=True)
class Control:
    """An explanation of something else, scored on the same prompts; `origin` says what it explains."""

    explanation: str
    origin: str
    score: Figures
    answers: tuple[ExampleAnswer, ...]


@dataclass(frozen=True, slots=True)
class ExplanationScore:
    """How well an explanation predicts a head's activity on prompts the explainer never saw.

    `active` and `inactive` count those prompts. With `single_class` (one of them is zero) nothing is asked
    and there is no score. `author` and `explanation_model` are of the explanation, `model` the scorer.
    """

    neuron: NeuronId
    head: HeadId
    explanation: str
    author: Author
    explanation_model: str | None
    model: str
    endpoint: str
    request_version: int
    created: str
    cached: bool
    active: int
    inactive: int
    single_class: bool
    score: Figures
    shuffled: Shuffled | None
    control: Control | None
    answers: tuple[ExampleAnswer, ...]
    notes: tuple[str, ...]
    usage: Usage
    provenance: Provenance

    @property
    def answered(self) -> int:
        """How many of `answers` are a Yes or a No."""
        return sum(each.answer is not None for each in self.answers)


@dataclass(frozen=True, slots=True)
class Explained:
    """An explanation and, where it has one, its newest score."""

    explanation: Explanation
    score: ExplanationScore | None


@dataclass(frozen=True, slots=True)
class ExplainedList:
    """What has been explained so far, newest first, as far as it fits `query`."""

    query: str
    explained: tuple[Explained, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A head that was not explained or scored, and why."""

    neuron: NeuronId
    head: HeadId
    reason: str


@dataclass(frozen=True, slots=True)
class NeuronExplanations:
    """Explanations of every head worth explaining for a neuron."""

    neuron: NeuronId
    explanations: tuple[Explanation, ...]
    left_out: tuple[LeftOut, ...]
    usage: Usage
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class ExplainedHead:
    """A head worth explaining, and the newest explanation by the settings' explainer that has a score, else
    the newest; None while there is none."""

    head: HeadId
    explained: Explained | None


DeviationOf = Literal["sample", "population"]


@dataclass(frozen=True, slots=True)
class Summary:
    """Mean and standard deviation of `count` values; None where there are too few for one.

    `deviation_of` names the deviation: the sample's, or the population's (preset paper).
    """

    count: int
    mean: float | None
    standard_deviation: float | None
    deviation_of: DeviationOf = "sample"


@dataclass(frozen=True, slots=True)
class ScoreReport:
    """Scores of (neuron, head) pairs and their means, the paper's table.

    `left_out` are pairs with only one class, and pairs that could not be explained; they are in no mean.
    """

    scores: tuple[ExplanationScore, ...]
    left_out: tuple[LeftOut, ...]
    head_explanation_score: Summary
    f1: Summary
    control: Summary
    usage: Usage
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class ExplainedHeads:
    """Every head worth explaining for a neuron with what is known of it so far.

    `report` holds the means over those that are scored.
    """

    neuron: NeuronId
    heads: tuple[ExplainedHead, ...]
    report: ScoreReport
    provenance: Provenance
