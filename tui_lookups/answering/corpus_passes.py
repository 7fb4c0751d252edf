"""Passes of two models over the corpus (method.md, section 13).

Other questions come in between two batches. What a pass found of a layer is kept in the cache: it is run for
those of which nothing is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tui_lookups.answering.engine import Engine
from tui_lookups.answering.two_models import TwoModels
from tui_lookups.progress import Count, tell

if TYPE_CHECKING:
    from tui_lookups.corpus.corpus import Corpus
    from tui_lookups.errors import Poll
    from tui_lookups.model.lookup_model import LookupModel
    from tui_lookups.scan.plan import BatchPlan

Arrays = dict[str, npt.NDArray[Any]]

Work = Callable[["LookupModel", "LookupModel", "Poll"], None]
"""Something to do with two loaded models."""


def kept_layers(
    models: TwoModels,
    kind: str,
    layers: Sequence[int],
    work_out: Callable[[list[int]], Iterable[tuple[int, Arrays]]],
    **parts: Any,
) -> dict[int, Arrays]:
    """What is known of each layer.

    Args:
        kind: of the entries of the cache.
        work_out: gives those of which nothing is kept.
        parts: of the keys, beside the layer.
    """
    from safetensors.numpy import load, save

    cache = models.first.cache
    keys = {layer: models.key(kind, corpus=True, layer=layer, **parts) for layer in layers}
    kept = {layer: cache.get(kind, key) for layer, key in keys.items()}
    by_layer: dict[int, Arrays] = {layer: load(data) for layer, data in kept.items() if data is not None}
    missing = [layer for layer in layers if layer not in by_layer]
    for layer, arrays in work_out(missing) if missing else ():
        cache.put(kind, keys[layer], bytes(save(arrays)))
        by_layer[layer] = arrays
    return by_layer


def run_over_corpus(
    engine: Engine,
    corpus: Corpus,
    layers: Sequence[int],
    what: str,
    on_both: Callable[[Work], None],
    take: Callable[[npt.NDArray[np.int64], LookupModel, LookupModel, Poll], None],
) -> None:
    """Have the prompts of one batch after the other taken in, telling how far it is.

    Args:
        on_both: runs work with two loaded models, which may be one and the same.
        take: is given a batch's prompts, both models, and what to call in between.
    """
    plan = engine.on_model(lambda model, poll: _plan(engine, model, corpus, layers))
    count = Count(what, plan.prompts, "prompts")
    for number in range(len(plan)):
        tell(count.at(int(plan.offsets[number])))
        on_both(partial(take, plan.batch(number)))


def _plan(engine: Engine, model: LookupModel, corpus: Corpus, layers: Sequence[int]) -> BatchPlan:
    """Which prompts run together: half of what a scan of one model would take, unless the setting says."""
    from tui_lookups.scan.batch_size import Room, automatic_batch_tokens
    from tui_lookups.scan.plan import plan_batches
    from tui_lookups.scan.subject import ScannedModel

    settings, window = engine.settings, corpus.info.window
    tokens = (
        settings.batch_tokens
        or automatic_batch_tokens(
            ScannedModel.of(model), Room.of(model), layers=layers, top=settings.top, window=window
        )
        // 2
    )
    return plan_batches(corpus.lengths(), corpus.parts(), batch_tokens=tokens, seed=engine.conventions().seed)
