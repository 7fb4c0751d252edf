"""Where a neuron is looked at: entries of its prompts list, and the token ids and position of a peak.

No torch: a cached answer is found by its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tui_lookups.analysis.batch_plan import hash_ids
from tui_lookups.results import Prompt, PromptKind, Sign
from tui_lookups.storage.index import NeuronRecord


@dataclass(frozen=True, slots=True)
class Entry:
    """One of a neuron's top prompts, as the index has it. `sign` is -1 where it was ranked by -a."""

    prompt_id: int
    position: int
    sign: int


def top_entries(record: NeuronRecord, top: int, sign: Sign, part: int | None = None) -> list[Entry]:
    """A neuron's top prompts for "+", "-" or "both" (one entry a prompt, ranked by sign * a; ties by id).

    `part` 0 (explaining) or 1 (scoring) takes only prompts of that part of the corpus (METHOD 5).
    """
    signs = (1, -1) if sign == "both" else (1,) if sign == "+" else (-1,)
    best: dict[int, tuple[float, Entry]] = {}
    for each in signs:
        found = record.top(top, part, sign=each)
        for value, prompt_id, position in zip(found.values, found.prompt_ids, found.positions, strict=True):
            merit = each * value
            if prompt_id not in best or merit > best[prompt_id][0]:
                best[prompt_id] = (merit, Entry(prompt_id, position, each))
    ordered = sorted(best.values(), key=lambda pair: (-pair[0], pair[1].prompt_id))
    return [entry for _, entry in ordered[:top]]


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


@dataclass(frozen=True, slots=True)
class Place:
    """Where a neuron is decomposed: the token ids that are run, the position, and which sign fires."""

    ids: tuple[int, ...]
    position: int
    sign: int


def place_of(bos_id: int | None, prompt: Prompt, *, trimmed: bool) -> Place:
    """A prompt's peak in its full window, or in begin-of-text plus the trimmed context."""
    ids = tuple(token.id for token in prompt.tokens)
    if not trimmed or prompt.trimmed is None or not prompt.trimmed.trimmed:
        return Place(ids, prompt.peak.position, prompt.sign)
    kept = (() if bos_id is None else (bos_id,)) + ids[prompt.trimmed.start : prompt.peak.position + 1]
    return Place(kept, len(kept) - 1, prompt.sign)


def place_in_text(activations: Sequence[float], ids: Sequence[int], *, both_signs: bool) -> Place:
    """The peak of a text given by hand: the first position, after position 0, of the largest activation."""
    counted = range(1, len(ids)) if len(ids) > 1 else range(len(ids))
    position = max(counted, key=lambda q: abs(activations[q]) if both_signs else activations[q])
    sign = -1 if both_signs and activations[position] < 0 else 1
    return Place(tuple(ids), position, sign)
