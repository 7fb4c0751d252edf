"""What is said of the heads that several neurons share. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.results.conventions import LEAST_PERCENT
from tui_lookups.tui.paint.head_rows import signed
from tui_lookups.tui.text.explanation import Paragraph
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from tui_lookups.ids import NeuronId
    from tui_lookups.results import HeadForNeuron, SharedHead, SharedHeads


def shared_title(neurons: int, found: SharedHeads | None) -> str:
    """The top line."""
    whose = f"Heads of {neurons} marked neurons"
    if found is None:
        return whose
    shared = sum(head.shared for head in found.heads)
    return f"{whose}: {shared} active for two or more ({found.context})"


def part_of(head: SharedHead, neuron: NeuronId) -> HeadForNeuron | None:
    """What a head is for one of the neurons; None where it does not reach it."""
    return next((part for part in head.neurons if part.neuron == neuron), None)


def part_words(part: HeadForNeuron | None) -> str:
    """The figure in a neuron's column: a star where the head is active for it."""
    return "" if part is None else f"{signed(part.mean_attribution)}{'*' if part.active else ' '}"


def shared_paragraphs(found: SharedHeads, head: SharedHead, neuron: NeuronId) -> tuple[Paragraph, ...]:
    """A head for one of the neurons, and for all of them."""
    member = next(member for member in found.neurons if member.neuron == neuron)
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
        f"for all: {signed(head.attribution)} of {signed(found.target)}, mean "
        f"{signed(head.mean_attribution)} over the {head.reaches} it reaches; active for {head.active_for} "
        f"(*: on {LEAST_PERCENT} % of the prompts or more), worth explaining for {head.serves}"
    )
    return first, Paragraph(whole)
