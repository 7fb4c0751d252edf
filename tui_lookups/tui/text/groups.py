"""What is said of the heads that several neurons share. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.results.conventions import LEAST_PERCENT
from tui_lookups.tui.paint.head_rows import signed
from tui_lookups.tui.text.explanation import Paragraph
from tui_lookups.visible import visible, visible_token

if TYPE_CHECKING:
    from tui_lookups.ids import NeuronId
    from tui_lookups.results import HeadForNeuron, SharedHead, SharedHeads, SummedHead, SummedHeads


def shared_title(neurons: int, heads: SharedHeads | None) -> str:
    """The top line."""
    whose = f"Heads of {neurons} marked neurons"
    if heads is None:
        return whose
    shared = sum(head.shared for head in heads.heads)
    return f"{whose}: {shared} active for two or more ({heads.context})"


def part_of(head: SharedHead, neuron: NeuronId) -> HeadForNeuron | None:
    """What a head is for one of the neurons; None where it does not reach it."""
    return next((part for part in head.neurons if part.neuron == neuron), None)


def part_words(part: HeadForNeuron | None) -> str:
    """The figure in a neuron's column: a star where the head is active for it."""
    return "" if part is None else f"{signed(part.mean_attribution)}{'*' if part.active else ' '}"


def shared_paragraphs(heads: SharedHeads, head: SharedHead, neuron: NeuronId) -> tuple[Paragraph, ...]:
    """A head for one of the neurons, and for all of them."""
    member = next(member for member in heads.neurons if member.neuron == neuron)
    part = part_of(head, neuron)
    if part is None:
        why = visible(member.note) or f"{head.head} does not reach {neuron}."
        first = Paragraph(why, "strong")
    else:
        worth = ", worth explaining" if part.worth_explaining else ""
        first = Paragraph(
            f"{head.head} for {neuron}: mean attribution {signed(part.mean_attribution)}, active on "
            f"{part.active_fraction:.0%} of its {member.prompts} prompts{worth}",
            "strong",
        )
    whole = (
        f"for all: {signed(head.attribution)} of {signed(heads.target)}, mean "
        f"{signed(head.mean_attribution)} over the {head.reaches} it reaches; active for {head.active_for} "
        f"(*: on {LEAST_PERCENT} % of the prompts or more), worth explaining for {head.serves}"
    )
    return first, Paragraph(whole)


# --- their sum on a text ---


def summed_title(neurons: int, heads: SummedHeads | None) -> str:
    """The top line."""
    whose = f"Sum of {neurons} marked neurons on a text"
    if heads is None:
        return whose
    token = visible_token(heads.tokens[heads.position].text)
    what = heads.target.name.replace("_", "-")
    return f"{whose}: {what}s {signed(heads.target.value)} at {token}, position {heads.position}"


def in_sum(head: SummedHead, neuron: NeuronId) -> float | None:
    """A head's attribution to one of the neurons; None where it does not reach it."""
    return next((part.attribution for part in head.neurons if part.neuron == neuron), None)


def summed_paragraphs(heads: SummedHeads, head: SummedHead, neuron: NeuronId) -> tuple[Paragraph, ...]:
    """A head for the sum and for one of the neurons, and what the sum is made of."""
    member, other = next(part for part in heads.neurons if part.neuron == neuron), heads.other
    own = in_sum(head, neuron)
    mine = "does not reach it" if own is None else f"{signed(own)} of {signed(member.target)}"
    active = "active" if head.active else "not active"
    first = f"{head.head}: {signed(head.attribution)} of the sum, {active}; for {neuron}: {mine}"
    parts = (
        ("heads", sum(row.attribution for row in heads.heads)),
        ("earlier MLPs", other.mlps),
        ("embedding", other.embedding),
        ("attention biases", other.attention_biases),
        ("biases", other.bias),
    )
    made_of = ", ".join(f"{name} {signed(value)}" for name, value in parts)
    whole = f"{signed(heads.target.value)} = {made_of}, remainder {heads.remainder:+.1e}"
    return Paragraph(first, "strong"), Paragraph(whole)
