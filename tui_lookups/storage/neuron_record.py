"""What is known of one neuron: a part of an index, or of a scan that still runs. Both answer alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tui_lookups.errors import SettingsError
from tui_lookups.ids import NeuronId
from tui_lookups.results import Histogram, NeuronStats

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class TopEntries:
    """Prompts in rank order. `values` are the activation a itself at `positions` (negative for sign -1).

    `texts` and `copies` are as in `NeuronRecord`.
    """

    values: tuple[float, ...]
    prompt_ids: tuple[int, ...]
    positions: tuple[int, ...]
    texts: tuple[int, ...] = field(compare=False)
    copies: tuple[int, ...] = field(compare=False)

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class SampleEntries:
    """Prompts with phi, the largest activation on each (method.md, section 3)."""

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
        top_texts: [signs, parts, top], the first prompt of the corpus that has the same text (the prompt
            itself where copies are kept); top_copies: how many have it, 0 where copies are kept.
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
    top_texts: Array
    top_copies: Array
    moments: Array
    extremes: Array
    histogram: Array
    edges: Array
    sample_values: Array
    sample_prompts: Array
    prompts: int
    positions: int

    def top(self, k: int, part: int | None = None, sign: int = 1) -> TopEntries:
        """The k highest-activating prompts of a part of the corpus, or (None) of all of it.

        See method.md, section 3.

        The best of each text, unless copies are kept; fewer where the corpus has fewer. Exact ties go to the
        smaller prompt id. Raises SettingsError when the index does not go that deep or does not keep that
        sign.
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
        slot = self.signs.index(sign)
        values = self.top_values[slot, chosen].ravel()
        ids = self.top_prompts[slot, chosen].ravel().astype(np.int64)
        texts = self.top_texts[slot, chosen].ravel()
        filled = np.flatnonzero(ids >= 0)
        ranked = filled[np.lexsort((ids[filled], -values[filled]))]
        firsts = np.unique(texts[ranked], return_index=True)[1]  # the parts may hold copies of one text
        best = ranked[np.sort(firsts)][:k]
        signed = sign * values[best].astype(np.float64) + 0.0  # no -0.0
        others = (self.top_positions, self.top_texts, self.top_copies)
        return TopEntries(
            tuple(signed.tolist()),
            tuple(ids[best].tolist()),
            *(tuple(array[slot, chosen].ravel()[best].tolist()) for array in others),
        )

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
        scanned = np.flatnonzero(~np.isnan(values))
        return SampleEntries(tuple(values[scanned].tolist()), tuple(self.sample_prompts[scanned].tolist()))

    def deciles(self) -> SampleEntries:
        """One prompt of each decile of phi, lowest first: the middle of each tenth of the sample."""
        drawn = self.sample()
        values, ids = np.asarray(drawn.values), np.asarray(drawn.prompt_ids, np.int64)
        order = np.lexsort((ids, values))
        ranks = np.unique((np.arange(10) + 0.5) * len(order) // 10).astype(np.int64) if len(order) else order
        chosen = order[ranks]
        return SampleEntries(tuple(values[chosen].tolist()), tuple(ids[chosen].tolist()))
