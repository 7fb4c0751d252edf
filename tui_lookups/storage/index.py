"""The scan's index on disk, read without torch: every neuron's top prompts, statistics and sample.

1. An index is an array folder (arrays.py): one block a layer, memory-mapped, its checksum compared on first
   touch. Arrays are in neuron order, so that opening a neuron reads a few neighbouring pages.
2. Prompt ids and positions take the smallest unsigned type that holds the corpus; the largest value of
   the type marks an empty slot.
3. One neuron's part of it is a `NeuronRecord` (neuron_record.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tui_lookups.errors import BadIdError, CacheError
from tui_lookups.ids import NeuronId
from tui_lookups.results import NeuronStats
from tui_lookups.storage.arrays import ArrayFolder
from tui_lookups.storage.neuron_record import NeuronRecord, SampleEntries, TopEntries

FORMAT_VERSION = 2
"""In every manifest: raise it when the arrays or their meaning change."""

PARTS = (0, 1)
"""Parts of the corpus (method.md, section 5): explaining, scoring. Array axes of parts are in this order."""

COMMON = "common"
"""Block of what all neurons share: `edges` of the histogram, `sample` prompt ids, and `copies_arrays`."""

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class ScanManifest:
    """What was scanned, how, and how far: the description of an index and of a checkpoint.

    `positions` is scanned tokens less each prompt's position 0; `next_batch` counts in the plan that
    `batch_tokens` and `seed` give for the corpus, whose digest is `plan`; `forward` is what computed the
    activations (`LookupModel.forward_path`); `cut_to` is the padded tokens that a batch was cut to because
    memory ran out, 0 where all fitted. With `keep_copies` copies of a text are kept as if they were texts of
    their own. `content` is the digest of the prompts themselves (`Corpus.content`), "" where it is not known;
    the first `extended_from` of them were taken over from the index of an earlier corpus, and are not in the
    plan.
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
    keep_copies: bool = False

    def same_scan(self, other: ScanManifest) -> bool:
        """Whether both describe the same work; plan, device and progress may differ."""
        names = (
            "format", "model", "corpus", "basis", "dtype", "forward",
            "layers", "d_mlp", "signs", "top", "sample", "keep_copies",
        )  # fmt: skip
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def may_extend(self, other: ScanManifest) -> bool:
        """Whether the finished index `other` tells what this scan would find on the same prompts."""
        names = (
            "format", "model", "basis", "dtype", "forward", "d_mlp", "signs", "sample", "seed", "keep_copies",
        )  # fmt: skip
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
        expected: dict[str, tuple[type, ...]] = {
            "str": (str,), "int": (int,), "float": (int, float), "bool": (bool,),
        }  # fmt: skip
        sound = all(
            isinstance(getattr(made, f.name), expected.get(str(f.type), (object,))) for f in fields(cls)
        )
        if not sound or made.kind not in ("checkpoint", "index") or made.format != FORMAT_VERSION:
            raise CacheError("The manifest is one of another format.", "The scan starts anew.")
        return made


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
        stored = ArrayFolder(folder).manifest()
        if stored is None:
            return None
        manifest = ScanManifest.from_plain(stored.description)
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
                coverage(manifest),
            )
        arrays, common = self._block(layer_block(neuron.layer)), self._block(COMMON)
        top = _top_of(arrays, neuron.index)
        texts, copies = self._texts_of(top["top_prompts"])
        return NeuronRecord(
            neuron=neuron,
            signs=manifest.signs,
            **top,
            top_texts=texts,
            top_copies=copies,
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
        return {
            **_top_of(arrays, slice(None)),
            "moments": np.array(arrays["moments"]),
            "extremes": np.array(arrays["extremes"]),
            "histogram": arrays["histogram"].astype(np.int64),
            "sample": arrays["sample"].astype(np.float32),
        }

    def sample_prompts(self) -> Array:
        """Prompt ids of the random sample, ascending. Raises CacheError."""
        return self._block(COMMON)["sample"]

    def _texts_of(self, prompts: Array) -> tuple[Array, Array]:
        """The text of prompts and how many have it, as in `NeuronRecord`; -1 of empty slots stays."""
        if self.manifest.keep_copies:
            return prompts, np.zeros_like(prompts)
        common = self._block(COMMON)
        copies, originals = common["copies"], common["originals"]
        slots = np.searchsorted(copies, prompts)
        texts = np.where(copies[slots] == prompts, originals[slots], prompts)
        sizes = np.searchsorted(self._sorted_originals, texts, "right")
        sizes -= np.searchsorted(self._sorted_originals, texts, "left")
        return texts, np.where(prompts < 0, 0, sizes + 1)

    @cached_property
    def _sorted_originals(self) -> Array:
        return np.sort(self._block(COMMON)["originals"])

    def drop(self) -> None:
        """Remove the files, after a CacheError. Raises CacheError."""
        self._blocks.clear()
        self._arrays.drop()

    def _block(self, name: str) -> dict[str, Array]:
        if name not in self._blocks:
            self._blocks[name] = self._arrays.open(name)
        return self._blocks[name]


def _top_of(arrays: Mapping[str, Array], which: int | slice) -> dict[str, Array]:
    """The arrays of top prompts of a layer's neurons as `NeuronRecord` has them; copies."""
    prompts = arrays["top_prompts"][which]
    empty = prompts == np.iinfo(prompts.dtype).max
    return {
        "top_values": np.where(empty, np.nan, arrays["top_values"][which]),
        "top_prompts": np.where(empty, -1, prompts.astype(np.int64)),
        "top_positions": np.where(empty, -1, arrays["top_positions"][which].astype(np.int64)),
    }


def copies_arrays(originals: Array) -> dict[str, Array]:
    """What the common block says of copies, from the prompt that each prompt of the corpus is a copy of.

    Those that are copies, ascending, and their originals; a last place beyond all prompts, so that neither
    is ever empty.
    """
    copies = np.flatnonzero(originals != np.arange(len(originals)))
    return {
        "copies": np.append(copies, len(originals)),
        "originals": np.append(originals[copies], len(originals)),
    }


def coverage(manifest: ScanManifest) -> str:
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


def holds_index(folder: Path) -> bool:
    """Whether a finished index lies there, sound or not, rather than a scan's checkpoint or nothing."""
    try:
        return ScanIndex.find(folder) is not None
    except CacheError:
        return True
