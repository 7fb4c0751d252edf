"""Where a neuron is looked at: entries of its prompts list, and the token ids and position of a peak.

No torch: a cached answer is found by its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tui_lookups.errors import LookupsError
from tui_lookups.results import NeuronPrompts, Part, Prompt, PromptKind, Sign
from tui_lookups.results.conventions import Conventions
from tui_lookups.results.firing import peak_position
from tui_lookups.scan.plan import hash_ids
from tui_lookups.storage.neuron_record import NeuronRecord

PARTS: tuple[Part, ...] = ("explaining", "scoring")
"""In the order of the index's parts."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One of a neuron's top prompts, as the index has it. `sign` is -1 where it was ranked by -a.

    `text` is the first prompt of the corpus with the same text, `copies` how many have it (see `Prompt`).
    """

    prompt_id: int
    position: int
    sign: int
    text: int | None = None
    copies: int | None = None


def top_entries(record: NeuronRecord, top: int, sign: Sign, part: int | None = None) -> list[Entry]:
    """A neuron's top prompts for "+", "-" or "both" (one entry a text, ranked by sign * a; ties by id).

    `part` 0 (explaining) or 1 (scoring) takes only prompts of that part of the corpus (method.md, section 5).
    Where copies are kept, every prompt is a text.
    """
    best: dict[int, tuple[float, Entry]] = {}
    for one_sign in _signs(sign):
        entries = record.top(top, part, sign=one_sign)
        columns = (entries.values, entries.prompt_ids, entries.positions, entries.texts, entries.copies)
        for value, prompt_id, position, text, copies in zip(*columns, strict=True):
            entry = Entry(prompt_id, position, one_sign, text, copies or None)
            merit = one_sign * value
            if text not in best or merit > best[text][0]:
                best[text] = (merit, entry)
    ordered = sorted(best.values(), key=lambda pair: (-pair[0], pair[1].prompt_id))
    return [entry for _, entry in ordered[:top]]


def why_silent(record: NeuronRecord, conventions: Conventions) -> str:
    """A sentence where the neuron fires on no prompt seen so far; "" where it fires, or none was seen."""
    stats, sign, least = record.stats(), conventions.sign, conventions.fires_above
    extremes = {1: stats.maximum, -1: stats.minimum}
    if not record.prompts or any(one_sign * extremes[one_sign] > least for one_sign in _signs(sign)):
        return ""
    how = {"+": "", "-": " negatively", "both": " in either direction"}[sign]
    return (
        f"{record.neuron} never fires{how} on these {record.prompts:,} prompts: its activation is between "
        f"{stats.minimum + 0.0:.3g} and {stats.maximum + 0.0:.3g}."
    )


def _signs(sign: Sign) -> tuple[int, ...]:
    return (1, -1) if sign == "both" else (1,) if sign == "+" else (-1,)


def sampled_ids(record: NeuronRecord, kind: PromptKind, top: int, seed: int) -> list[int]:
    """Prompt ids of a uniform random sample (by phi, highest first; exact ties by id), or of the deciles of
    phi (lowest first). Fewer than `top` where the index keeps fewer; of the deciles never more than ten."""
    if kind == "deciles":
        return list(record.deciles().prompt_ids[:top])
    sample = record.sample()
    # A part of a uniform sample, chosen by a hash and not by its order, is a uniform sample again.
    draws = hash_ids(np.asarray(sample.prompt_ids, np.int64), seed + 2)
    chosen = np.argsort(draws, kind="stable")[:top]
    return [
        sample.prompt_ids[i] for i in sorted(chosen, key=lambda i: (-sample.values[i], sample.prompt_ids[i]))
    ]


def with_special_peaks(found: NeuronPrompts, special_ids: frozenset[int]) -> NeuronPrompts:
    """The list with the peaks on special tokens marked: what an earlier version cached does not say."""
    prompts = tuple(
        replace(prompt, peak=replace(prompt.peak, special=prompt.peak.token.id in special_ids))
        if prompt.peak.special is None
        else prompt
        for prompt in found.prompts
    )
    return replace(found, prompts=prompts)


@dataclass(frozen=True, slots=True)
class PeakInput:
    """Where a neuron is decomposed: the token ids that are run, the position, and which sign fires.

    `trimmed`: the ids are begin-of-text and a trimmed context, rather than the full window.
    """

    ids: tuple[int, ...]
    position: int
    sign: int
    trimmed: bool = False

    @property
    def context(self) -> Literal["full", "trimmed"]:
        """What of a prompt is run, as results name it."""
        return "trimmed" if self.trimmed else "full"


def input_of_prompt(bos_id: int | None, prompt: Prompt, *, trimmed: bool) -> PeakInput:
    """A prompt's peak in its full window, or in begin-of-text plus the trimmed context.

    A prompt that came back untrimmed (method.md, section 3) is run as a full window either way. Raises
    ValueError where the trimmed context is wanted and was not worked out: the full window must not pass for
    it.
    """
    ids = tuple(token.id for token in prompt.tokens)
    if trimmed and prompt.trimmed is None:
        raise ValueError(f"the trimmed context of prompt {prompt.prompt_id} is not known")
    if not trimmed or prompt.trimmed is None or not prompt.trimmed.trimmed:
        return PeakInput(ids, prompt.peak.position, prompt.sign)
    kept = (() if bos_id is None else (bos_id,)) + ids[prompt.trimmed.start : prompt.peak.position + 1]
    return PeakInput(kept, len(kept) - 1, prompt.sign, trimmed=True)


def input_of_text(
    activations: Sequence[float], ids: Sequence[int], *, sign: Sign, position: int | None = None
) -> PeakInput:
    """The peak of a text given by hand (results/firing.py), or the position that is named.

    Position 0 never counts (method.md, section 3). Raises LookupsError for a text of one token.
    """
    if position is None and len(ids) < 2:
        raise LookupsError("The text is one token, and its first position never counts.", "Give more text.")
    if position is None:
        position = peak_position(activations, sign)
    negative = sign == "-" or (sign == "both" and activations[position] < 0)
    return PeakInput(tuple(ids), position, -1 if negative else 1)
