"""What is scanned, and how: prompts, model, options, and what a manifest says before the first batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Required, TypedDict

import numpy as np
import numpy.typing as npt

from tui_lookups.errors import CacheError
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.results import Basis, CorpusInfo, ModelInfo
from tui_lookups.scan.copies import Copies
from tui_lookups.scan.extension import EarlierIndexes
from tui_lookups.storage.index import FORMAT_VERSION, ScanManifest


class Windows(Protocol):
    """What a scan needs of a corpus; `Corpus` has it."""

    @property
    def info(self) -> CorpusInfo: ...

    def lengths(self) -> npt.NDArray[np.int64]: ...

    def parts(self) -> npt.NDArray[np.uint8]: ...

    def window_tokens(self, prompt_id: int) -> npt.NDArray[np.int64]: ...


class ScanOptions(TypedDict, total=False):
    """Options of a scan; defaults are those of `ScanLedger`.

    Attributes:
        layers: the layers asked for.
        top: prompts kept per neuron, sign and part of the corpus.
        batch_tokens: padded tokens in a batch. A checkpoint's own value is kept when one is resumed.
        checkpoint_seconds: time between checkpoints.
        seed: of the order of batches and of the random sample; a checkpoint's own is kept.
        sample: size of the uniform random sample of prompts.
        clock: seconds, from any beginning.
        earlier: where indexes of earlier corpora are, which this scan may go on from (extension.py).
        copies: which prompts of the corpus are copies (copies.py): of one text the best prompt is kept. None
            keeps copies as if they were texts of their own.
    """

    layers: Required[Sequence[int]]
    top: int
    batch_tokens: int
    checkpoint_seconds: float
    seed: int
    sample: int
    clock: Callable[[], float]
    earlier: EarlierIndexes | None
    copies: Copies | None


class ScanBusyError(CacheError):
    """Another scan, of this process or another, holds the folder."""


@dataclass(frozen=True, slots=True)
class ScannedModel:
    """What an index says of the model that made it; `device` is a kind, such as "cuda"."""

    info: ModelInfo
    basis: Basis
    dtype: str
    device: str
    forward: str

    @classmethod
    def of(cls, model: LookupModel) -> ScannedModel:
        """That of a loaded model."""
        dtype = str(model.dtype).removeprefix("torch.")
        return cls(model.info, model.basis, dtype, str(model.device.type), model.forward_path)


def first_manifest(
    scanned: ScannedModel,
    corpus: CorpusInfo,
    *,
    layers: Sequence[int],
    top: int,
    sample: int,
    content: str,
    keep_copies: bool,
) -> ScanManifest:
    """The manifest of a scan that has neither a plan yet nor done anything.

    Args:
        content: digest of the prompts, "" where it is not known.
    """
    info = scanned.info
    return ScanManifest(
        kind="checkpoint",
        format=FORMAT_VERSION,
        model=info.fingerprint,
        corpus=corpus.fingerprint,
        basis=scanned.basis,
        dtype=scanned.dtype,
        device=scanned.device,
        layers=tuple(sorted(set(layers))),
        d_mlp=info.d_mlp,
        signs=(1, -1) if info.gated else (1,),
        top=top,
        sample=sample,
        batch_tokens=0,
        seed=0,
        plan="",
        next_batch=0,
        prompts=0,
        tokens=0,
        positions=0,
        seconds=0.0,
        forward=scanned.forward,
        content=content,
        keep_copies=keep_copies,
    )
