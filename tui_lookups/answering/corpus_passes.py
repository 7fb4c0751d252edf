"""Passes of two models over the corpus (method.md, section 13).

Other questions come in between two batches. What a pass found of a layer is kept in the cache: it is run for
those of which nothing is kept. Where it has a checkpoint, a pass that was ended goes on after the last one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from tui_lookups.answering.engine import Engine
from tui_lookups.answering.two_models import TwoModels
from tui_lookups.errors import CacheError
from tui_lookups.progress import Count, tell

if TYPE_CHECKING:
    from tui_lookups.corpus.corpus import Corpus
    from tui_lookups.errors import Poll
    from tui_lookups.model.lookup_model import LookupModel

Arrays = dict[str, npt.NDArray[Any]]

_log = logging.getLogger(__name__)

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


class Continued(Protocol):
    """A pass that can be gone on with."""

    def to_arrays(self) -> Arrays:
        """Everything found so far."""
        ...

    def load_arrays(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Put what `to_arrays` gave in place of what is here. Raises CacheError when it does not fit."""
        ...


class PassCheckpoint:
    """What a pass has found after a whole number of batches, in the cache, written now and then.

    Args:
        key: of kind `kind`: everything that the pass depends on, but for the size of its batches.
        found: holds what was found; one that a checkpoint is put into has found nothing yet.
    """

    _PLACE = "batch_tokens_and_next_batch"

    def __init__(self, engine: Engine, kind: str, key: str, found: Continued) -> None:
        self._cache, self._kind, self._key, self._found = engine.cache, kind, key, found
        self._seconds, self._written = engine.settings.checkpoint_seconds, time.monotonic()

    def resume(self) -> tuple[int | None, int]:
        """The padded tokens of a batch, None where nothing was begun, and the batch to go on with."""
        from safetensors.numpy import load

        kept = self._cache.get(self._kind, self._key)
        if kept is None:
            return None, 0
        arrays = load(kept)
        batch_tokens, next_batch = arrays.pop(self._PLACE).tolist()
        try:
            self._found.load_arrays(arrays)
        except CacheError as error:  # of another version
            _log.warning("a pass over the corpus begins anew: %s", error)
            return None, 0
        return batch_tokens, next_batch

    def after(self, batch_tokens: int, next_batch: int) -> None:
        """A batch is done: write, if that is some time ago. Called where the pass itself runs."""
        from safetensors.numpy import save

        if time.monotonic() - self._written >= self._seconds:
            place = {self._PLACE: np.array([batch_tokens, next_batch])}
            self._cache.put(self._kind, self._key, bytes(save(self._found.to_arrays() | place)))
            self._written = time.monotonic()

    def end(self) -> None:
        """What was found is kept elsewhere now."""
        self._cache.forget(self._key)


def run_over_corpus(
    engine: Engine,
    corpus: Corpus,
    layers: Sequence[int],
    what: str,
    on_both: Callable[[Work], None],
    take: Callable[[npt.NDArray[np.int64], LookupModel, LookupModel, Poll], None],
    checkpoint: PassCheckpoint | None = None,
) -> None:
    """Have the prompts of one batch after the other taken in, telling how far it is.

    Args:
        on_both: runs work with two loaded models, which may be one and the same.
        take: is given a batch's prompts, both models, and what to call in between.
        checkpoint: where it goes on, in batches of the size that it was begun with.
    """
    from tui_lookups.scan.plan import plan_batches

    begun_with, first = (None, 0) if checkpoint is None else checkpoint.resume()
    tokens = begun_with or engine.on_model(lambda model, poll: _batch_tokens(engine, model, corpus, layers))
    seed = engine.conventions().seed
    plan = plan_batches(corpus.lengths(), corpus.parts(), batch_tokens=tokens, seed=seed)
    count = Count(what, plan.prompts, "prompts", known=int(plan.offsets[first]))

    def work(number: int, before: LookupModel, after: LookupModel, poll: Poll) -> None:
        take(plan.batch(number), before, after, poll)
        if checkpoint is not None:
            checkpoint.after(tokens, number + 1)

    for number in range(first, len(plan)):
        tell(count.at(int(plan.offsets[number])))
        on_both(partial(work, number))


def _batch_tokens(engine: Engine, model: LookupModel, corpus: Corpus, layers: Sequence[int]) -> int:
    """Padded tokens that run together: half of what a scan of one model takes, unless the setting says."""
    from tui_lookups.scan.batch_size import Room, automatic_batch_tokens
    from tui_lookups.scan.subject import ScannedModel

    settings, window = engine.settings, corpus.info.window
    automatic = automatic_batch_tokens(
        ScannedModel.of(model), Room.of(model), layers=layers, top=settings.top, window=window
    )
    return settings.batch_tokens or automatic // 2
