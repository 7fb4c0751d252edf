"""Means over a sample of the corpus: what ablation puts in place of what it removes (method.md, section 6).

Of every head's z or of every neuron's activation at once: the pass costs the same, and its result is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tui_lookups.answering.engine import Engine
from tui_lookups.errors import Poll
from tui_lookups.results.conventions import Conventions

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tui_lookups.model.lookup_model import LookupModel

_KEPT = {"z": ("head_means", "mean_z"), "post": ("neuron_means", "mean_post")}
"""The kind of the cache's entry, and the name of the array in it."""


def corpus_means(
    engine: Engine, model: LookupModel, role: Literal["z", "post"], conventions: Conventions, poll: Poll
) -> tuple[npt.NDArray[np.float64], int]:
    """On the model thread: [n_layers, n_heads, d_head] of z, or [n_layers, d_mlp] of activations; and over
    how many prompts the mean is."""
    from safetensors.numpy import load, save

    from tui_lookups.answering import answers

    (kind, name), sample = _KEPT[role], conventions.mean_sample
    corpus = engine.corpus(arrays=True)
    drawn = answers.mean_sample(corpus, sample, conventions.seed)
    key = engine.key(kind, conventions, corpus=True, sample=sample)
    cached = engine.cache.get(kind, key)
    if cached is not None:
        return load(cached)[name], len(drawn)
    computed = answers.corpus_mean(model, corpus, drawn, role, poll)
    engine.cache.put(kind, key, bytes(save({name: computed})))
    return computed, len(drawn)
