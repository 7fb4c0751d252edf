"""The scan's index on disk, read without torch: every neuron's top prompts, statistics and sample.

1. An index is an array folder (arrays.py): one block a layer, memory-mapped, its checksum compared on first
   touch. Arrays are in neuron order, so that opening a neuron reads a few neighbouring pages.
2. Prompt ids and positions take the smallest unsigned type that holds the corpus; the largest value of
   the type marks an empty slot.
3. A `NeuronRecord` is one neuron's part of an index, or of a scan that still runs: both answer alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tui_lookups.errors import BadIdError, CacheError, SettingsError
from tui_lookups.ids import NeuronId
from tui_lookups.results import Histogram, NeuronStats
from tui_lookups.storage.arrays import ArrayFolder

FORMAT_VERSION = 1
"""In every manifest: raise it when the arrays or their meaning change."""

PARTS = (0, 1)
"""Parts of the corpus (METHOD 5): explaining, scoring. Array axes of parts are in this order."""

COMMON = "common"
"""Block of what all neurons share: `edges` of the histogram, `sample` prompt ids."""

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class ScanManifest:
    """What was scanned, how, and how far: the description of an index and of a checkpoint.

    `positions` is scanned tokens less each prompt's position 0; `next_batch` counts in the plan that
    `batch_tokens` and `seed` give for the corpus, whose digest is `plan`; `forward` is what computed the
    activations (`LookupModel.forward_path`); `cut_to` is the padded tokens that a batch was cut to because
    memory ran out, 0 where all fitted. `content` is the digest of the prompts themselves (`Corpus.content`),
    "" where it is not known; the first `extended_from` of them were taken over from the index of an earlier
    corpus, and are not in the plan.
    """

    kind: Literal["checkpoint", "index"]
    format: int
    model: str
    corpus: str
    basis: str
    dtype: str
    device: str
    layers: tuple[int, ...]
    d_mlp: int
    signs: tuple[int, ...]
    top: int
    sample: int
    batch_tokens: int
    seed: int
    plan: str
    next_batch: int
    prompts: int
    tokens: int
    positions: int
    seconds: float
    forward: str = "bridge"
    cut_to: int = 0
    content: str = ""
    extended_from: int = 0

    def same_scan(self, other: ScanManifest) -> bool:
        """Whether both describe the same work; plan, device and progress may differ."""
        names = (
            "format", "model", "corpus", "basis", "dtype", "forward",
            "layers", "d_mlp", "signs", "top", "sample",
        )  # fmt: skip
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def may_extend(self, other: ScanManifest) -> bool:
        """Whether the finished index `other` tells what this scan would find on the same prompts."""
        names = ("format", "model", "basis", "dtype", "forward", "d_mlp", "signs", "sample", "seed")
        return (
            other.kind == "index"
            and other.content != ""
            and all(getattr(self, name) == getattr(other, name) for name in names)
            and set(self.layers) <= set(other.layers)
            and self.top <= other.top
        )

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> ScanManifest:
        """Raises CacheError when `plain` is not the description of a scan in this format."""
        values = dict(plain)
        try:
            values["layers"] = tuple(int(layer) for layer in values["layers"])
            values["signs"] = tuple(int(sign) for sign in values["signs"])
            made = cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise CacheError("The manifest is not one of a scan.", "The scan starts anew.") from error
        expected: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float)}
        sound = all(
            isinstance(getattr(made, f.name), expected.get(str(f.type), (object,))) for f in fields(cls)
        )
        if not sound or made.kind not in ("checkpoint", "index") or made.format != FORMAT_VERSION:
            raise CacheError("The manifest is one of another format.", "The scan starts anew.")
        return made


@dataclass(frozen=True, slots=True)
class TopEntries:
    """Prompts in rank order. `values` are the activation a itself at `positions` (negative for sign -1)."""

    values: tuple[float, ...]
    prompt_ids: tuple[int, ...]
    positions: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class SampleEntries:
    """Prompts with phi, the largest activation on each (METHOD 3)."""

    values: tuple[float, ...]
    prompt_ids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, eq=False, slots=True)
class NeuronRecord:
    """What is known of one neuron.

    Attributes:
        signs: what the first axis of the top arrays stands for: +1 ranks by a, -1 by -a.
        top_values: [signs, parts, top] of sign * a; NaN in empty slots.
        top_prompts, top_positions: [signs, parts, top]; -1 in empty slots.
        moments: mean, variance, fraction above zero; extremes: maximum, minimum.
        histogram: [bins] counts of phi between `edges` [bins + 1].
        sample_values: [sample] phi of `sample_prompts`; NaN where not scanned yet.
        prompts, positions: how many of each the figures are over.
    """

    neuron: NeuronId
    signs: tuple[int, ...]
    top_values: Array
    top_prompts: Array
    top_positions: Array
    moments: Array
    extremes: Array
    histogram: Array
    edges: Array
    sample_values: Array
    sample_prompts: Array
    prompts: int
    positions: int

    def top(self, k: int, part: int | None = None, sign: int = 1) -> TopEntries:
        """The k highest-activating prompts of a part of the corpus, or (None) of all of it (METHOD 3).

        Fewer where the corpus has fewer. Exact ties go to the smaller prompt id. Raises SettingsError when
        the index does not go that deep or does not keep that sign.
        """
        depth = self.top_values.shape[2]
        if k > depth:
            raise SettingsError(
                f"The index keeps the top {depth} prompts of a neuron, not {k}.",
                f"Ask for at most {depth}, or scan again with a larger top.",
            )
        if sign not in self.signs:
            raise SettingsError(
                f"The index keeps no prompts of {'most negative' if sign < 0 else 'highest'} activation.",
                "Negative firing is kept for gated MLPs only; ask with --sign +.",
            )
        chosen = slice(None) if part is None else slice(part, part + 1)
        place = self.signs.index(sign)
        values = self.top_values[place, chosen].ravel()
        ids = self.top_prompts[place, chosen].ravel().astype(np.int64)
        positions = self.top_positions[place, chosen].ravel()
        filled = np.flatnonzero(ids >= 0)
        best = filled[np.lexsort((ids[filled], -values[filled]))][:k]
        signed = sign * values[best].astype(np.float64) + 0.0  # no -0.0
        return TopEntries(tuple(signed.tolist()), tuple(ids[best].tolist()), tuple(positions[best].tolist()))

    def stats(self) -> NeuronStats:
        """Statistics over all positions that count; the histogram spans the bins that hold something."""
        filled = np.flatnonzero(self.histogram)
        first, last = (int(filled[0]), int(filled[-1]) + 1) if len(filled) else (0, len(self.histogram))
        mean, variance, positive = self.moments.tolist()
        maximum, minimum = self.extremes.tolist()
        edges = tuple(np.asarray(self.edges[first : last + 1], np.float64).tolist())
        return NeuronStats(
            mean=mean,
            variance=variance,
            fraction_positive=positive,
            maximum=maximum,
            minimum=minimum,
            tokens=self.positions,
            prompts=self.prompts,
            histogram=Histogram(edges, tuple(int(count) for count in self.histogram[first:last])),
        )

    def sample(self) -> SampleEntries:
        """The uniform random sample of prompts, by prompt id."""
        values = np.asarray(self.sample_values, np.float64)
        known = np.flatnonzero(~np.isnan(values))
        return SampleEntries(tuple(values[known].tolist()), tuple(self.sample_prompts[known].tolist()))

    def deciles(self) -> SampleEntries:
        """One prompt of each decile of phi, lowest first: the middle of each tenth of the sample."""
        drawn = self.sample()
        values, ids = np.asarray(drawn.values), np.asarray(drawn.prompt_ids, np.int64)
        order = np.lexsort((ids, values))
        places = np.unique((np.arange(10) + 0.5) * len(order) // 10).astype(np.int64) if len(order) else order
        chosen = order[places]
        return SampleEntries(tuple(values[chosen].tolist()), tuple(ids[chosen].tolist()))


class ScanIndex:
    """A finished index. Opening reads the manifest; layers are mapped when a neuron of theirs is asked for.

    Methods raise CacheError when files are damaged (drop the folder and scan again), BadIdError for a
    neuron that is not in the index.
    """

    def __init__(self, folder: Path, manifest: ScanManifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self._arrays = ArrayFolder(folder)
        self._blocks: dict[str, dict[str, Array]] = {}

    @classmethod
    def find(cls, folder: Path) -> ScanIndex | None:
        """The index in `folder`; None when none is finished there. Raises CacheError when it is damaged."""
        found = ArrayFolder(folder).manifest()
        if found is None:
            return None
        manifest = ScanManifest.from_plain(found.description)
        return cls(folder, manifest) if manifest.kind == "index" else None

    @classmethod
    def open(cls, folder: Path) -> ScanIndex:
        """The index in `folder`. Raises CacheError when there is none, or it is damaged."""
        index = cls.find(folder)
        if index is None:
            raise CacheError(f"There is no finished index in {folder}.", "Run a scan first.")
        return index

    def record(self, neuron: NeuronId) -> NeuronRecord:
        """Everything the index has on a neuron."""
        manifest = self.manifest
        if neuron.layer not in manifest.layers or neuron.index >= manifest.d_mlp:
            raise BadIdError(
                f"The index has no neuron {neuron}.",
                covers(manifest),
            )
        arrays, common = self._block(layer_block(neuron.layer)), self._block(COMMON)
        prompts = arrays["top_prompts"][neuron.index]
        empty = prompts == np.iinfo(prompts.dtype).max
        return NeuronRecord(
            neuron=neuron,
            signs=manifest.signs,
            top_values=np.where(empty, np.nan, arrays["top_values"][neuron.index]),
            top_prompts=np.where(empty, -1, prompts.astype(np.int64)),
            top_positions=np.where(empty, -1, arrays["top_positions"][neuron.index].astype(np.int64)),
            moments=arrays["moments"][neuron.index],
            extremes=arrays["extremes"][neuron.index],
            histogram=arrays["histogram"][neuron.index],
            edges=common["edges"],
            sample_values=arrays["sample"][neuron.index],
            sample_prompts=common["sample"],
            prompts=manifest.prompts,
            positions=manifest.positions,
        )

    def top(self, neuron: NeuronId, k: int, part: int | None = None, sign: int = 1) -> TopEntries:
        """See `NeuronRecord.top`."""
        return self.record(neuron).top(k, part, sign)

    def stats(self, neuron: NeuronId) -> NeuronStats:
        """See `NeuronRecord.stats`."""
        return self.record(neuron).stats()

    def sample(self, neuron: NeuronId) -> SampleEntries:
        """See `NeuronRecord.sample`. Values may be rounded to half precision."""
        return self.record(neuron).sample()

    def deciles(self, neuron: NeuronId) -> SampleEntries:
        """See `NeuronRecord.deciles`."""
        return self.record(neuron).deciles()

    def layer(self, layer: int) -> dict[str, Array]:
        """What `layer_arrays` was given for a layer, as far as it was kept; copies. Raises CacheError."""
        arrays = self._block(layer_block(layer))
        empty = arrays["top_prompts"] == np.iinfo(arrays["top_prompts"].dtype).max
        return {
            "top_values": np.where(empty, np.nan, arrays["top_values"]),
            "top_prompts": np.where(empty, -1, arrays["top_prompts"].astype(np.int64)),
            "top_positions": np.where(empty, -1, arrays["top_positions"].astype(np.int64)),
            "moments": np.array(arrays["moments"]),
            "extremes": np.array(arrays["extremes"]),
            "histogram": arrays["histogram"].astype(np.int64),
            "sample": arrays["sample"].astype(np.float32),
        }

    def sample_prompts(self) -> Array:
        """Prompt ids of the random sample, ascending. Raises CacheError."""
        return self._block(COMMON)["sample"]

    def drop(self) -> None:
        """Remove the files, after a CacheError. Raises CacheError."""
        self._blocks.clear()
        self._arrays.drop()

    def _block(self, name: str) -> dict[str, Array]:
        if name not in self._blocks:
            self._blocks[name] = self._arrays.open(name)
        return self._blocks[name]


def covers(manifest: ScanManifest) -> str:
    """Which neurons were scanned, as a sentence."""
    return f"It covers layers {', '.join(map(str, manifest.layers))} with {manifest.d_mlp} neurons each."


def layer_block(layer: int) -> str:
    """Name of the block that holds a layer's neurons."""
    return f"layer_{layer}"


def layer_arrays(
    top_values: Array,
    top_prompts: Array,
    top_positions: Array,
    moments: Array,
    extremes: Array,
    histogram: Array,
    sample: Array,
    *,
    corpus_prompts: int,
) -> dict[str, Array]:
    """The arrays of a layer's block as they are written, from those of its neurons (first axis d_mlp).

    Args: as in `NeuronRecord`, each with an axis of neurons in front; empty slots have prompt -1.
    """
    empty = top_prompts < 0
    longest = int(top_positions.max(initial=0))
    with np.errstate(over="ignore"):
        half = sample.astype(np.float16)
    fits = not np.isinf(half).any()  # NaN stays NaN
    return {
        "top_values": np.where(empty, 0.0, top_values).astype(np.float32),
        "top_prompts": _smallest_unsigned(np.where(empty, -1, top_prompts), corpus_prompts),
        "top_positions": _smallest_unsigned(np.where(empty, 0, top_positions), longest),
        "moments": moments.astype(np.float64),
        "extremes": extremes.astype(np.float32),
        "histogram": _smallest_unsigned(histogram, int(histogram.max(initial=0))),
        "sample": half if fits else sample.astype(np.float32),
    }


def _smallest_unsigned(values: Array, largest: int) -> Array:
    """`values` in the smallest unsigned type above `largest`; -1 becomes the largest value of the type."""
    for dtype in (np.uint8, np.uint16, np.uint32):
        if largest < np.iinfo(dtype).max:
            return values.astype(dtype)
    return values.astype(np.uint64)
