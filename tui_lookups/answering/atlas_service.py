"""The atlas and what is worked out from it, as the Explorer answers them.

1. One pass over a layer's weights, out of the files alone where these suffice, leaves `Extremes`; they
   are kept in the cache, a layer each, as they are finished, so that an interrupted atlas goes on where it
   stopped.
2. An atlas for any count, sign and reject list is put together from them without the model.
3. A token's next-token neurons are looked for with their help where the layers are in the cache already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tui_lookups.answering.checks import check_count
from tui_lookups.answering.engine import Engine
from tui_lookups.errors import LookupsError, Poll
from tui_lookups.progress import Count, tell
from tui_lookups.results import Atlas, AtlasLayer, AtlasNeuron, Sign

if TYPE_CHECKING:
    from tui_lookups.model.file_weights import Extremes, Writes

_KIND, _DEVICE = "atlas_layer", "ran_on"


class AtlasService:
    """The atlas of one Explorer's model. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def atlas(
        self,
        per_layer: int,
        reject: Sequence[str] | None,
        sign: Sign | None,
        read: Callable[[int, int], None],
        layers: Sequence[int] | None = None,
    ) -> Atlas:
        """The next-token neurons of `layers`, by default those of the settings. See `Explorer.atlas`."""
        from tui_lookups.analysis.atlas import home_layers, next_token_neurons, token_filter

        check_count("per_layer", per_layer)
        engine, by = self._engine, self._engine.ranking_sign(sign)
        if reject is None:
            listed = engine.settings.atlas_reject
            reject = () if listed is None else read_tokens(listed)
        vocabulary, layers = engine.vocabulary(), engine.layers() if layers is None else layers
        rejected = tuple({token.id: token for token in map(vocabulary.find, reject)}.values())
        by_layer: list[Extremes] = []
        ran_on = engine.device
        count = Count("reading the layers", len(layers), "layers")
        for layer in layers:
            tell(count.at(len(by_layer)))
            read(len(by_layer), len(layers))
            extremes, ran_on = self._extremes(layer)
            by_layer.append(extremes)
        counts = token_filter(
            vocabulary.texts,
            vocabulary.special_ids,
            [token.id for token in rejected],
            engine.model_info().d_vocab,
        )
        homes = home_layers(by_layer, counts, by)
        neuron_id = engine.model_info().neuron_id

        def row(layer: int, extremes: Extremes) -> tuple[AtlasNeuron, ...]:
            best = next_token_neurons(extremes, counts, by, per_layer)
            return tuple(
                AtlasNeuron(neuron_id(layer, top.index), vocabulary.token(top.token_id), top.congruence)
                for top in best
            )

        return Atlas(
            basis=engine.basis,
            sign=by,
            per_layer=per_layer,
            tokens=int(counts.sum()),
            rejected=rejected,
            layers=tuple(
                AtlasLayer(layer, row(layer, extremes), home)
                for layer, extremes, home in zip(layers, by_layer, homes, strict=True)
            ),
            provenance=replace(
                engine.provenance(
                    corpus=False,
                    per_layer=per_layer,
                    sign=by,
                    layers=",".join(map(str, layers)),
                    reject=",".join(str(token.id) for token in rejected),
                ),
                device=ran_on,
            ),
        )

    def cached(self, layers: Sequence[int]) -> list[Extremes] | None:
        """The extremes of these layers where all of them are in the cache; never computes."""
        by_layer = []
        for layer in layers:
            extremes = self._cached(layer)
            if extremes is None:
                return None
            by_layer.append(extremes[0])
        return by_layer

    def _key(self, layer: int) -> str:
        return self._engine.key(_KIND, corpus=False, layer=layer)

    def _cached(self, layer: int) -> tuple[Extremes, str] | None:
        data = self._engine.cache.get(_KIND, self._key(layer))
        return None if data is None else _from_bytes(data, self._engine.device)

    def _extremes(self, layer: int) -> tuple[Extremes, str]:
        """A layer's, and the device that they were made on."""
        cached = self._cached(layer)
        if cached is not None:
            return cached

        def work(model: Writes, poll: Poll) -> tuple[Extremes, str]:
            from tui_lookups.analysis.layer_extremes import layer_extremes

            return layer_extremes(model, layer, poll=poll), model.ran_on

        computed = self._engine.on_writes(work)
        self._engine.cache.put(_KIND, self._key(layer), _to_bytes(*computed))
        return computed


def read_tokens(path: Path) -> list[str]:
    """The tokens of a list: one a line, as it stands; empty lines are none. Raises LookupsError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LookupsError(
            f"The list of tokens {path} cannot be read: {error}.",
            "Name a text file (UTF-8), one token a line.",
        ) from error
    return [line.rstrip("\r") for line in text.split("\n") if line.rstrip("\r")]


def _to_bytes(extremes: Extremes, ran_on: str) -> bytes:
    import numpy as np
    from safetensors.numpy import save

    arrays = {f.name: getattr(extremes, f.name) for f in fields(extremes)}
    return bytes(save({**arrays, _DEVICE: np.frombuffer(ran_on.encode("ascii"), np.uint8)}))


def _from_bytes(data: bytes, otherwise: str) -> tuple[Extremes, str]:
    """The cache has compared a checksum: the bytes are what `_to_bytes` made.

    Earlier versions of it did not keep the device, which is `otherwise` then.
    """
    from safetensors.numpy import load

    from tui_lookups.model.file_weights import Extremes

    arrays = load(data)
    device = arrays.pop(_DEVICE, None)
    return Extremes(**arrays), otherwise if device is None else device.tobytes().decode("ascii")
