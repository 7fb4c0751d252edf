"""A scan that begins where the index of an earlier corpus ends.

1. An index records the digest of its corpus's prompts (`Corpus.content`). Of the finished indexes of the same
   model and parameters, those are earlier ones whose digest is that of this corpus's first n prompts: the
   same token ids in the same windows of the same parts (method.md, section 5), so the same prompt ids.
2. Top k, counts, extremes and histogram are taken from the index as they are: merging in the other prompts
   gives what scanning all would. The prompts of the random sample are those with the smallest hashes, so
   the earlier prompts among them are in the earlier sample. Sums come from the moments, to rounding.
3. The batch plan leaves the earlier prompts out. How many they are is in the manifest, so that a killed
   extension finds its plan again; from its first checkpoint on it needs the earlier index no more.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from tui_lookups.errors import CacheError, UnavailableError
from tui_lookups.scan.state import ScanState
from tui_lookups.scan.top_k import EMPTY, encode_keys
from tui_lookups.storage.index import ScanIndex, ScanManifest

_log = logging.getLogger(__name__)


class GrowingCorpus(Protocol):
    """What tells whether a corpus begins with another one; `Corpus` has it."""

    def __len__(self) -> int: ...

    def content(self) -> str: ...

    def prefix_digests(self, counts: Sequence[int]) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class EarlierIndexes:
    """The indexes below `folder`, seen from a corpus that may begin with one of theirs."""

    folder: Path
    corpus: GrowingCorpus

    def find(self, wanted: ScanManifest) -> Iterator[ScanIndex]:
        """Finished indexes that `wanted` may begin with, the one of most prompts first.

        A damaged manifest is no candidate; whether the arrays are sound shows when they are read.
        """
        candidates: dict[int, list[ScanIndex]] = {}
        for folder in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            try:
                index = ScanIndex.find(folder)
            except (CacheError, UnavailableError) as error:
                _log.info("%s is no index to go on from: %s", folder, error)
                continue
            prompts = index.manifest.prompts if index is not None else 0
            if index is not None and wanted.may_extend(index.manifest) and 0 < prompts <= len(self.corpus):
                candidates.setdefault(prompts, []).append(index)
        counts = sorted(candidates, reverse=True)
        for count, digest in zip(counts, self.corpus.prefix_digests(counts) if counts else (), strict=True):
            for index in candidates[count]:
                if index.manifest.content == digest:
                    yield index


def state_of(
    index: ScanIndex, layers: Sequence[int], top: int, sample: npt.NDArray[np.int64], device: torch.device
) -> ScanState:
    """What a scan that has just taken in all prompts of `index` knows.

    Args:
        layers: ascending, all of them in the index.
        top: slots of the running top k, at most those of the index.
        sample: the prompt ids of the new scan's sample, ascending; those the index cannot have stay NaN.
    Raises:
        CacheError: the index is damaged, or does not hold what it should.
        UnavailableError: it cannot be read now.
    """
    manifest = index.manifest
    earlier_sample = index.sample_prompts().astype(np.int64)
    slots = np.flatnonzero(sample < manifest.prompts)
    if not np.isin(sample[slots], earlier_sample).all():
        raise CacheError(f"{index.folder} has another random sample.", "All prompts are scanned.")
    columns = np.searchsorted(earlier_sample, sample[slots])
    state = ScanState.empty(
        len(layers),
        manifest.d_mlp,
        signs=len(manifest.signs),
        top=top,
        sample=len(sample),
        device=device,
    )
    for slot, layer in enumerate(layers):
        arrays = index.layer(layer)
        if (
            arrays["top_prompts"].shape[0] != manifest.d_mlp
            or len(earlier_sample) != arrays["sample"].shape[1]
        ):
            raise CacheError(f"{index.folder} does not fit its manifest.", "All prompts are scanned.")
        # [d_mlp, signs, parts, top of the index] to [signs, parts, d_mlp, top]
        values, prompts, positions = (
            torch.from_numpy(arrays[name][..., :top].transpose(1, 2, 0, 3).copy())
            for name in ("top_values", "top_prompts", "top_positions")
        )
        filled = prompts >= 0
        keys = encode_keys(values.nan_to_num(), prompts.clamp(min=0))
        state.keys[slot] = torch.where(filled, keys, EMPTY).to(device)
        state.positions[slot] = torch.where(filled, positions, 0).to(device, torch.int32)
        mean, variance, positive = torch.from_numpy(arrays["moments"]).unbind(1)
        sums = torch.stack([mean, variance + mean * mean]) * manifest.positions
        state.sums[slot] = sums.to(device)
        state.positive[slot] = (positive * manifest.positions).round().to(device, torch.int64)
        state.extremes[slot] = torch.from_numpy(arrays["extremes"].T.copy()).to(device)
        state.histogram[slot] = torch.from_numpy(arrays["histogram"]).to(device, torch.int32)
        state.sample[slot][:, slots.tolist()] = torch.from_numpy(arrays["sample"][:, columns]).to(device)
    return state
