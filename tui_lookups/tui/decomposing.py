"""Sentences about a head attribution: the exact decomposition, and one head's facts. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui_lookups.ids import HeadId
    from tui_lookups.results import HeadAttributions, HeadMean, HeadOverview, HeadScore

_TARGETS = {"pre_activation": "pre-activation", "activation": "activation"}


def decomposition(heads: HeadAttributions) -> tuple[str, ...]:
    """Every component, then their sum, the target and what is left: it closes (METHOD 4)."""
    other = heads.other
    parts = [
        ("heads", sum(score.attribution for score in heads.heads)),
        ("mlps", other.mlps),
        ("embed", other.embedding),
        ("attn-bias", other.attention_biases),
        ("bias", other.bias),
    ]
    target = f"{_TARGETS[heads.target.name]} {heads.target.value:.2f}"
    total = f"= {heads.sum:.2f} ({target}, rest {_plain(heads.remainder)})"
    return (*(f"{name} {_signed(value)}" for name, value in parts), total)


def _signed(value: float) -> str:
    text = f"{value:+.2f}"
    return "+0.00" if text == "-0.00" else text


def _plain(value: float) -> str:
    """Two decimals; a remainder that would round to nothing shows its size when it is not zero."""
    if abs(value) < 0.005:
        return "0.00"
    return f"{value:.2f}"


def head_facts(head: HeadId, heads: HeadAttributions, overview: HeadOverview | None) -> tuple[str, ...]:
    """Lines about one head on one prompt, and over the neuron's prompts where that is known."""
    score = find_score(head, heads)
    if score is None:
        return (f"{head} does not reach {heads.neuron}", "It runs after the neuron's MLP.")
    share = f" ({score.attribution / heads.target.value:.0%})" if heads.target.value else ""
    lines = [f"{_signed(score.attribution)} of {heads.target.value:.2f}{share}, direct"]
    if score.gate is not None and score.up is not None:
        lines.append(f"by gate {_signed(score.gate)}, by up {_signed(score.up)}")
    rule = "2 sd above the mean" if heads.activity_rule == "2sd" else "among the top 3"
    state = "active" if score.active else "not active"
    lines.append(f"{state} ({rule}: {heads.activity_threshold:+.2f})")
    mean = find_mean(head, overview)
    if mean is not None and overview is not None:
        lines.extend(_mean_facts(mean, overview))
    return tuple(lines)


def overview_facts(head: HeadId, overview: HeadOverview) -> tuple[str, ...]:
    """Lines about one head over all of a neuron's prompts."""
    mean = find_mean(head, overview)
    if mean is None:
        return (f"{head} does not reach {overview.neuron}", "It runs after the neuron's MLP.")
    return (f"mean {_signed(mean.mean_attribution)}, direct", *_mean_facts(mean, overview)[:1], _worth(mean))


def _mean_facts(mean: HeadMean, overview: HeadOverview) -> list[str]:
    active = round(mean.active_fraction * overview.prompts)
    facts = [f"active in {active} of {overview.prompts} (mean {_signed(mean.mean_attribution)})"]
    if mean.worth_explaining:
        facts.append(_worth(mean))
    return facts


def _worth(mean: HeadMean) -> str:
    return "worth explaining" if mean.worth_explaining else "not worth explaining (active on <25 % or >75 %)"


def find_score(head: HeadId, heads: HeadAttributions) -> HeadScore | None:
    """The head's entry, None where it does not reach the neuron."""
    return next((score for score in heads.heads if score.head == head), None)


def find_mean(head: HeadId, overview: HeadOverview | None) -> HeadMean | None:
    """The head's entry in an overview."""
    if overview is None:
        return None
    return next((mean for mean in overview.heads if mean.head == head), None)
