"""Sentences about a head attribution: the exact decomposition, and one head's facts. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.ids import left_out_by_paper, out_of_reach
from tui_lookups.results.conventions import LEAST_PERCENT, MOST_PERCENT
from tui_lookups.results.firing import STRENGTH, firing_sign, peak_position
from tui_lookups.tui.paint.head_rows import plain, signed
from tui_lookups.tui.paint.shading import bar
from tui_lookups.tui.state.head_run import find_mean

if TYPE_CHECKING:
    from tui_lookups.ids import HeadId, NeuronId
    from tui_lookups.results import (
        Activations,
        Direction,
        HeadAttribution,
        HeadAttributions,
        HeadMean,
        HeadOverview,
        ModelInfo,
        Provenance,
        SignSetting,
    )

_TARGETS = {"pre_activation": "pre-activation", "activation": "activation"}


def direction_share(heads: HeadAttributions, direction: Direction) -> tuple[str, ...]:
    """What the heads come to in the one read direction that the grid holds; nothing where it holds both.

    The decomposition closes for both together, so it does not say this.
    """
    if direction == "both":
        return ()
    shares = [row.gate if direction == "gate" else row.up for row in heads.heads]
    return (f"grid: by {direction}, heads {signed(sum(share or 0.0 for share in shares))}",)


def decomposition(heads: HeadAttributions, bar_width: int = 0) -> tuple[str, ...]:
    """Every component, then their sum, the target and what is left: it closes (method.md, section 4).

    `bar_width`: cells of a bar behind each component, of the largest of them; one below zero is hatched.
    """
    other = heads.other
    parts = [
        ("heads", sum(row.attribution for row in heads.heads)),
        ("mlps", other.mlps),
        ("embed", other.embedding),
        ("attn-bias", other.attention_biases),
        ("bias", other.bias),
    ]
    target = f"{_TARGETS[heads.target.name]} {plain(heads.target.value)}"
    total = f"= {plain(heads.sum)} ({target}, rest {plain(heads.remainder)})"
    top = max(abs(value) for _, value in parts)
    return (*(f"{name} {signed(value)}{signed_bar(value, top, bar_width)}" for name, value in parts), total)


def signed_bar(value: float, top: float, width: int) -> str:
    """A bar after a space, hatched below zero; nothing without a width, or for less than a cell's eighth."""
    if not width or not top or abs(value) * width * 16 < top:
        return ""
    drawn = bar(abs(value), top, width).rstrip()
    return f" {drawn if value > 0 else '▒' * len(drawn)}"


_HARDLY = 0.1
"""Of a neuron's largest activation: below it a text is said hardly to fire it."""


def silence(text: Activations, known_maximum: float, sign: SignSetting = "auto") -> tuple[str, ...]:
    """That a typed text does not fire its neuron, or hardly does; nothing where it does.

    Args:
        known_maximum: of the corpus; 0 where nothing of it is known.
        sign: the setting; a gated neuron may fire below zero, too.
    """
    counts = firing_sign(sign, gated=text.provenance.model.gated)
    peak = text.activations[peak_position(text.activations, counts)]
    size = STRENGTH[counts](peak)
    if size > _HARDLY * known_maximum:
        return ()
    how = "hardly fires" if plain(max(size, 0.0)) != "0.00" else "does not fire"
    largest = f", maximum in the corpus {known_maximum:.2f}" if known_maximum else ""
    return f"This text {how} {text.neuron}:", f"peak {plain(peak)}{largest}"


def head_facts(head: HeadId, heads: HeadAttributions, overview: HeadOverview | None) -> tuple[str, ...]:
    """Lines about one head on one prompt, and over the neuron's prompts where that is known."""
    head_attribution = find_head(head, heads)
    if head_attribution is None:
        return _not_behind(head, heads.neuron, heads.provenance)
    share = f" ({head_attribution.attribution / heads.target.value:.0%})" if heads.target.value else ""
    lines = [f"{signed(head_attribution.attribution)} of {plain(heads.target.value)}{share}, direct"]
    if head_attribution.gate is not None and head_attribution.up is not None:
        lines.append(f"by gate {signed(head_attribution.gate)}, by up {signed(head_attribution.up)}")
    rule = "among the top 3"
    if heads.activity_rule == "2sd":
        average = sum(other_head.attribution for other_head in heads.heads) / len(heads.heads)
        # Where the neuron fires negatively, the heads that drive it lie below.
        rule = f"2 sd {'above' if heads.activity_threshold >= average else 'below'} the mean"
    state = "active" if head_attribution.active else "not active"
    lines.append(f"{state} ({rule}: {signed(heads.activity_threshold)})")
    mean = find_mean(head, overview)
    if mean is not None and overview is not None:
        lines.extend(_mean_facts(mean, overview))
    return tuple(lines)


def overview_facts(head: HeadId, overview: HeadOverview) -> tuple[str, ...]:
    """Lines about one head over all of a neuron's prompts."""
    mean = find_mean(head, overview)
    if mean is None:
        return _not_behind(head, overview.neuron, overview.provenance)
    return (
        f"mean {signed(mean.mean_attribution)}, direct",
        _active_in(mean, overview),
        *_worth(mean, overview.context),
    )


def _mean_facts(mean: HeadMean, overview: HeadOverview) -> list[str]:
    facts = [f"{_active_in(mean, overview)}, mean over all {signed(mean.mean_attribution)}"]
    if mean.worth_explaining:
        facts.extend(_worth(mean, overview.context))
    return facts


def _active_in(mean: HeadMean, overview: HeadOverview) -> str:
    return f"active in {round(mean.active_fraction * overview.prompts)} of {overview.prompts}"


def _worth(mean: HeadMean, context: str) -> tuple[str, ...]:
    """Whether it is, and by which texts: full windows and trimmed prompts make other heads active."""
    if mean.worth_explaining:
        return (f"worth explaining, on {texts_of(context)}",)
    if mean.active_fraction == 1:
        return (f"always active, on {texts_of(context)}: nothing to contrast",)
    return (
        f"not worth explaining, on {texts_of(context)}",
        f"(active on <{LEAST_PERCENT} % or >{MOST_PERCENT} %)",
    )


def text_of(context: str) -> str:
    """The text that was run for one prompt, by the context that a result carries."""
    return {"full": "full window", "trimmed": "trimmed prompt"}.get(context, "text given by hand")


def texts_of(context: str) -> str:
    """As `text_of`, of all of a neuron's prompts."""
    return text_of(context) + "s"


def preset_of(provenance: Provenance) -> str:
    """The preset that an answer was worked out by."""
    return str(provenance.parameters.get("preset") or "default")


def why_no_head(model: ModelInfo, neuron: NeuronId, head: HeadId, preset: str = "default") -> str:
    """Why a head is not among those behind a neuron, in a sentence; empty where it is (method.md, section 4).

    A head of the neuron's own layer reaches it only where attention runs before the MLP, and even there
    preset paper leaves it out, as the authors did.
    """
    if head.layer < neuron.layer:
        return ""
    if head.layer > neuron.layer:
        last = model.last_head_layer(neuron.layer)
        return out_of_reach(head, neuron, last).message
    if not model.own_layer:
        return f"{head} does not reach {neuron}: in this model attention runs beside the MLP of its layer."
    return left_out_by_paper(head, neuron).message if preset == "paper" else ""


def _not_behind(head: HeadId, neuron: NeuronId, provenance: Provenance) -> tuple[str, str]:
    """As `why_no_head`, in two lines that fit beside the grid."""
    if head.layer == neuron.layer and not provenance.model.own_layer:
        return f"{head} does not reach {neuron}", "It runs beside the neuron's MLP."
    if head.layer == neuron.layer and preset_of(provenance) == "paper":
        return f"{head} is left out", "Preset paper: no own-layer heads"
    return f"{head} does not reach {neuron}", "It runs after the neuron's MLP."


def find_head(head: HeadId, heads: HeadAttributions) -> HeadAttribution | None:
    """The head's entry, None where it does not reach the neuron."""
    return next((row for row in heads.heads if row.head == head), None)
