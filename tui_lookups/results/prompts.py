"""What fires a neuron: its top prompts, statistics and activations (method.md, section 3)."""

from __future__ import annotations

from dataclasses import dataclass

from tui_lookups.ids import NeuronId
from tui_lookups.results.base import Provenance, Token


@dataclass(frozen=True, slots=True)
class Histogram:
    """`counts[b]` values lie in [edges[b], edges[b + 1]); the outer edges take everything beyond them."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NeuronStats:
    """Over every scanned position but begin-of-text; the histogram is of phi, one value a prompt."""

    mean: float
    variance: float
    fraction_positive: float
    maximum: float
    minimum: float
    tokens: int
    prompts: int
    histogram: Histogram


@dataclass(frozen=True, slots=True)
class Peak:
    """Where a prompt attains phi. `next_token` is what really follows, None at the end of the window.

    `special`: the text spells a special token out there; None in what earlier versions wrote.
    """

    position: int
    token: Token
    activation: float
    next_token: Token | None
    special: bool | None = None


@dataclass(frozen=True, slots=True)
class Trim:
    """The shortest suffix that ends at the peak and keeps 80 % of it starts at `start`.

    See method.md, section 3.

    `trimmed` is False when nothing could be cut; `note` then says why. `activation` is the peak's
    activation on begin-of-text plus that suffix.
    """

    start: int
    activation: float
    trimmed: bool
    note: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A corpus window with the neuron's activation at every token. `rank` counts from 1.

    `sign` is -1 where the neuron was ranked by its most negative activation (gated MLPs). `copies` is how
    many prompts of the corpus have this text, wholly or but for a line, itself included; None where copies
    are kept, or were not looked for.
    """

    rank: int
    prompt_id: int
    sign: int
    tokens: tuple[Token, ...]
    activations: tuple[float, ...]
    peak: Peak
    trimmed: Trim | None
    copies: int | None = None


@dataclass(frozen=True, slots=True)
class NeuronPrompts:
    """A neuron's highest-activating prompts, as far as the scan has come; `note` says why there are none."""

    neuron: NeuronId
    top_token: Token
    top_congruence: float
    stats: NeuronStats
    prompts: tuple[Prompt, ...]
    scanned_prompts: int
    total_prompts: int
    provenance: Provenance
    note: str

    @property
    def complete(self) -> bool:
        return self.scanned_prompts >= self.total_prompts


@dataclass(frozen=True, slots=True)
class Activations:
    """A neuron's activation on every token of a given text. `special`: positions of special tokens."""

    neuron: NeuronId
    text: str
    tokens: tuple[Token, ...]
    activations: tuple[float, ...]
    provenance: Provenance
    special: tuple[int, ...] = ()
