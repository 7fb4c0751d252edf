"""What the tool says of itself: status, scan, cache, and what it opens with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tui_lookups.ids import NeuronId
from tui_lookups.progress import Progress
from tui_lookups.results.base import CorpusInfo, ModelInfo, Provenance, Token


@dataclass(frozen=True, slots=True)
class ScanProgress:
    """How far the background scan is; `seconds_left` is None before the first batch.

    "stopped": by the person; what it has is kept and goes on answering.
    """

    state: Literal["waiting", "running", "stopped", "done", "failed"]
    prompts: int
    total_prompts: int
    tokens: int
    total_tokens: int
    seconds: float
    seconds_left: float | None
    tokens_per_second: float
    message: str = ""

    @property
    def under_way(self) -> Progress | None:
        """How far it is: this process's, or the one it waits for; None where none is under way."""
        waits = self.state == "waiting"
        if not (self.state == "running" or (waits and self.message)):
            return None
        return Progress(
            self.message if waits else "scanning",
            self.prompts,
            self.total_prompts,
            "prompts",
            self.seconds,
            self.seconds_left,
            note="" if waits else f"{self.tokens_per_second:,.0f} tokens/s",
            trouble="" if waits else self.message,
        )


@dataclass(frozen=True, slots=True)
class ScanSummary:
    """What a finished scan did.

    `resumed_from` is the number of prompts found in a checkpoint, `extended_from` of those taken over from
    the index of an earlier corpus that this one begins with.
    """

    prompts: int
    tokens: int
    neurons: int
    seconds: float
    tokens_per_second: float
    resumed_from: int
    index_path: str
    provenance: Provenance
    extended_from: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """A snapshot for the header: never blocks, never computes."""

    stage: Literal["starting", "loading", "stopped", "ready", "failed"]
    message: str
    device: str
    dtype: str
    model: ModelInfo | None
    corpus: CorpusInfo | None
    scan: ScanProgress | None
    layers: tuple[int, ...] | None = None
    """The layers that are ranked and scanned; None: all of them."""
    problems: tuple[str, ...] = ()
    """What the cache could not keep or had to drop, as far as questions have met with it."""
    asked: str = ""
    """The model as it was asked for: its name until the model itself is known."""
    loading: Progress | None = None
    """What `message` says, with how far it is; None where nothing is made ready."""


@dataclass(frozen=True, slots=True)
class FirstView:
    """What to open when nothing was asked for: a token whose best neuron is worth seeing."""

    token: Token
    neuron: NeuronId
    story: str


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """What the cache folder holds. `sizes` is bytes by kind; `problems` are sentences about damage."""

    path: str
    entries: int
    bytes: int
    sizes: dict[str, int]
    indexes: int
    problems: tuple[str, ...]
