"""Means over a sample of the corpus: what ablation puts in place of what it removes (method.md, section 6).

Of every head's z or of every neuron's activation at once: the pass costs the same, and its result is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tui_lookups.answering.engine import Engine
from tui_lookups.answering.passes import ForwardPass
from tui_lookups.errors import Poll
from tui_lookups.results.conventions import Conventions

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tui_lookups.model.lookup_model import LookupModel

_KEPT = {"z": ("head_means", "mean_z"), "post": ("neuron_means", "mean_post")}
"""The kind of the cache's entry, and the name of the array in it."""


@dataclass(frozen=True, slots=True)
class MeansPass:
    """The passes over a sample of the corpus; a worker can be given it."""

    rows: tuple[tuple[int, ...], ...]
    role: Literal["z", "post"]

    def __call__(self, model: LookupModel, poll: Poll) -> npt.NDArray[np.float64]:
        """Mean z of heads, [n_layers, n_heads, d_head], or activation of neurons, [n_layers, d_mlp]."""
        from tui_lookups.analysis.ablation import mean_over

        return mean_over(model, self.rows, model.info.n_layers - 1, self.role, poll=poll)


def corpus_means(
    engine: Engine, run: Callable[[ForwardPass], Any], role: Literal["z", "post"], conventions: Conventions
) -> tuple[npt.NDArray[np.float64], int]:
    """The means, run by `run` where they are not in the cache; and over how many prompts they are."""
    from safetensors.numpy import load, save

    from tui_lookups.answering import answers

    (kind, name), sample = _KEPT[role], conventions.mean_sample
    corpus = engine.corpus(arrays=True)
    drawn = answers.mean_sample(corpus, sample, conventions.seed)
    key = engine.key(kind, conventions, corpus=True, sample=sample)
    cached = engine.cache.get(kind, key)
    if cached is not None:
        return load(cached)[name], len(drawn)
    rows = tuple(tuple(corpus.window_tokens(prompt_id).tolist()) for prompt_id in drawn)
    computed = run(MeansPass(rows, role))
    engine.cache.put(kind, key, bytes(save({name: computed})))
    return computed, len(drawn)
