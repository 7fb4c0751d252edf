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
    from tui_lookups.ids import NeuronId
    from tui_lookups.results import (
        ActivationDiff,
        ChangedNeuron,
        HeadsDiff,
        LayerCorrelation,
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


def diff_title(model: str, against: str, found: WeightDiff | ActivationDiff | None) -> str:
    """The top line of the comparison."""
    named = f"{visible(model)} -> {visible(against) or '?'}"
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


def changed_paragraphs(row: ChangedNeuron | None, found: ActivationDiff) -> tuple[Paragraph, ...]:
    """The neuron under the cursor, then its layer and the others."""
    said = []
    if row is not None:
        peak = row.peak_after - row.peak_before
        said.append(
            Paragraph(
                f"{row.neuron}: correlation {cosine_text(row.correlation)}, peak {signed(peak)}", "strong"
            )
        )
    layers = ", ".join(f"L{layer.layer} {_layer_words(layer)}" for layer in found.layers)
    return (*said, Paragraph(f"medians of a layer, correlation and change: {layers}", "dim"))


def _layer_words(layer: LayerCorrelation) -> str:
    return f"{cosine_text(layer.correlation)} {layer.change:.3f}"


# --- a neuron in both ---


def neuron_title(neuron: NeuronId, model: str, against: str, found: NeuronDiff | None) -> str:
    """The top line of a neuron in both models."""
    named = f"{neuron} in both: {visible(model)} -> {visible(against)}"
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
    named = f"{place.neuron} over {len(place.names)} revisions of {visible(model)}"
    token = place.token if place.found is None else place.found.token
    return named if token is None else f"{named}, and {quoted(token.text)}"


def course_parts(found: NeuronOverRevisions, *, drawn: bool) -> tuple[str, ...]:
    """The course of each figure: `drawn` as blocks from its smallest to its largest, and these two."""
    return tuple(
        f"{name} {f'{sparkline(values)} ' if drawn else ''}{_range(values)}"
        for name, values in courses_of(found).items()
    )


def _range(values: list[float | None]) -> str:
    numbers = [value for value in values if value is not None]
    return f"{plain(min(numbers))} to {plain(max(numbers))}" if numbers else "nowhere"
