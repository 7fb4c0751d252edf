"""What moved in the weights of two models (method.md, section 13)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tui_lookups.answering.checks import check_count
from tui_lookups.answering.two_models import TwoModels
from tui_lookups.errors import Poll
from tui_lookups.progress import counting
from tui_lookups.results import WeightDiff

if TYPE_CHECKING:
    from tui_lookups.model.matrices import Matrices


def weight_diff(models: TwoModels, top: int) -> WeightDiff:
    """See `Explorer.diff`."""
    check_count("top", top)
    models.of_one_architecture()
    engine, layers = models.first, models.first.layers()

    def work(before: Matrices, after: Matrices, poll: Poll) -> WeightDiff:
        from tui_lookups.analysis import moved

        pieces = 2 * len(layers) + len(before.shapes())
        step = counting(poll, "comparing the weights", pieces, "tensors")
        neurons, neurons_moved = moved.moved_neurons(before, after, layers, top, step)
        heads, heads_moved = moved.moved_heads(before, after, layers, top, step)
        tensors, compared = moved.moved_tensors(before, after, step)
        matrices = [row for row in tensors if row.spectral_change is not None]
        vectors = [row for row in tensors if row.spectral_change is None]
        info, against = models.infos()
        provenance = engine.provenance(corpus=False, top=top, layers=",".join(map(str, layers)))
        return WeightDiff(
            against=against,
            basis=engine.basis,
            neurons=neurons,
            neurons_moved=neurons_moved,
            neurons_compared=len(layers) * info.d_mlp,
            heads=heads,
            heads_moved=heads_moved,
            heads_compared=len(layers) * info.n_heads,
            matrices=tuple(sorted(matrices, key=lambda row: -(row.spectral_change or 0))[:top]),
            vectors=tuple(sorted(vectors, key=lambda row: -row.change)[:top]),
            tensors_moved=len(tensors),
            tensors_compared=compared,
            tensors_apart=moved.tensors_apart(before, after),
            provenance=replace(provenance, device=before.writes.ran_on),
        )

    key = models.key("weight_diff", top=top, layers=list(layers))
    return engine.cached(key, WeightDiff) or engine.keep(key, models.on_matrices(work))
