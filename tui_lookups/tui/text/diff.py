"""What is said of two models compared, of a neuron in both, and of a neuron over revisions. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups import results
from tui_lookups.exports.courses import courses_of, sparkline
from tui_lookups.tui.paint.head_rows import percent, plain, signed
from tui_lookups.tui.paint.text_layout import quoted
from tui_lookups.tui.text.explanation import Paragraph
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tui_lookups.ids import NeuronId
    from tui_lookups.results import (
        ActivationDiff,
        ChangedNeuron,
        HeadsDiff,
        MovedNeuron,
        MovedTensor,
        MovedVector,
        NeuronDiff,
        NeuronOverRevisions,
        WeightDiff,
    )
    from tui_lookups.tui.state.left_screens import RevisionsPlace

_HEADS, _TENSORS = 5, 2
"""Those that moved most which are named below the list."""


def cosine_text(value: float | None) -> str:
    """A cosine or a correlation; a dash where it is not defined."""
    return "–" if value is None else f"{value:.4f}"


def ratio_text(vector: MovedVector) -> str:
    """By what a vector's length was multiplied; a dash where it was zero."""
    return f"x{vector.norm_after / vector.norm_before:.3f}" if vector.norm_before else "–"


def between(model: str, against: str) -> str:
    """Which two models are compared, each as the setting `model` names it."""
    return f"{_short(model)} -> {_short(against) or '?'}"


def _short(model: str) -> str:
    """A path by its last part, a hub name as it is."""
    is_path = model.startswith(("/", "~", "."))
    return visible(model.rstrip("/").rpartition("/")[2] if is_path else model)


def diff_title(model: str, against: str, found: WeightDiff | ActivationDiff | None) -> str:
    """The top line of the comparison."""
    named = between(model, against)
    if found is None:
        return named
    if isinstance(found, results.WeightDiff):
        moved, of_all = found.neurons_moved, found.neurons_compared
        return f"{named}: {moved:,} of {of_all:,} neurons moved, in {found.basis} weights"
    return f"{named}: activations at {found.positions:,} positions, {found.neurons_compared:,} neurons"


def moved_paragraphs(row: MovedNeuron | None, found: WeightDiff) -> tuple[Paragraph, ...]:
    """The neuron under the cursor, then heads and tensors."""
    said = []
    if row is not None:
        vectors = {"writes": row.write, "reads": row.read, "gate": row.gate}
        parts = [f"{name} {_moved_words(vector)}" for name, vector in vectors.items() if vector is not None]
        said.append(Paragraph(f"{row.neuron}: {'; '.join(parts)}", "strong"))
    heads = ", ".join(f"{head.head} {head.moved:.3f}" for head in found.heads[:_HEADS])
    counted = f"{found.heads_moved:,} of {found.heads_compared:,} heads moved"
    said.append(Paragraph(f"{counted}{': ' if heads else ''}{heads}"))
    tensors = found.matrices[:_TENSORS]
    counted = f"{found.tensors_moved:,} of {found.tensors_compared:,} tensors changed"
    listed = ", ".join(map(_tensor_words, tensors))
    said.append(Paragraph(f"{counted}{': ' if listed else ''}{listed}"))
    if found.tensors_apart:
        said.append(
            Paragraph(f"not in both, or of two shapes: {', '.join(map(visible, found.tensors_apart))}")
        )
    return tuple(said)


def _moved_words(vector: MovedVector) -> str:
    return (
        f"cosine {cosine_text(vector.cosine)}, length {vector.norm_before:.3f} -> {vector.norm_after:.3f},"
        f" changed by {vector.change:.4f}"
    )


def _tensor_words(tensor: MovedTensor) -> str:
    named = f"{visible(tensor.tensor)} {tensor.change:.4f}"
    if tensor.spectral_change is None or tensor.rank_one_share is None:
        return named
    return f"{named} (spectral {tensor.spectral_change:.4f}, {percent(tensor.rank_one_share)} rank one)"


def changed_paragraphs(
    row: ChangedNeuron | None, found: ActivationDiff, *, drawn: bool
) -> tuple[Paragraph, ...]:
    """The neuron under the cursor, then the course of the medians through the layers; see `course_words`."""
    said = []
    if row is not None:
        peak = row.peak_after - row.peak_before
        said.append(
            Paragraph(
                f"{row.neuron}: correlation {cosine_text(row.correlation)}, peak {signed(peak)}", "strong"
            )
        )
    numbers = [layer.layer for layer in found.layers]
    correlations = course_words([layer.correlation for layer in found.layers], 4, drawn=drawn)
    changes = course_words([layer.change for layer in found.layers], 4, drawn=drawn)
    medians = (
        f"medians by layer, L{numbers[0]} to L{numbers[-1]}: correlation {correlations}, change {changes}"
    )
    return (*said, Paragraph(medians))


# --- a neuron in both ---


def neuron_title(neuron: NeuronId, model: str, against: str, found: NeuronDiff | None) -> str:
    """The top line of a neuron in both models."""
    named = f"{neuron} in both: {between(model, against)}"
    if found is None:
        return named
    return f"{named}, correlation {cosine_text(found.correlation)}, change {found.change:.4f}"


def heads_words(found: HeadsDiff) -> str:
    """What the heads' figures are."""
    target = found.target.replace("_", "-")
    return (
        f"Heads at the peaks of {found.prompts} prompts: {target}"
        f" {signed(found.target_before)} -> {signed(found.target_after)}"
    )


# --- a neuron over revisions ---


def revisions_title(place: RevisionsPlace, model: str) -> str:
    """The top line of a neuron over revisions."""
    named = f"{place.neuron} over {len(place.names)} revisions of {_short(model)}"
    token = place.token if place.found is None else place.found.token
    return named if token is None else f"{named}, and {quoted(token.text)}"


def course_parts(found: NeuronOverRevisions, *, drawn: bool) -> tuple[str, ...]:
    """The course of each figure; see `course_words`."""
    return tuple(
        f"{name} {course_words(values, 2, drawn=drawn)}" for name, values in courses_of(found).items()
    )


def course_words(values: Sequence[float | None], decimals: int, *, drawn: bool) -> str:
    """A course, `drawn` as blocks from its smallest to its largest figure, and these two."""
    numbers = [value for value in values if value is not None]
    if not numbers:
        return "nowhere"
    smallest, largest = plain(min(numbers), decimals), plain(max(numbers), decimals)
    return f"{f'{sparkline(values)} ' if drawn else ''}{smallest} to {largest}"
