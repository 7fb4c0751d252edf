"""Which windows of a corpus repeat an earlier one, wholly or but for a line (method.md, section 3, Copies).

1. A window's fingerprints are the smallest `FINGERPRINTS` distinct hashes of its runs of `RUN` tokens; a
   shorter window is one run.
2. Windows are taken in the order of the corpus. A fingerprint belongs to the first original that has it. A
   window is a copy of the original that at least half of its own fingerprints belong to (the one of most, the
   first of equals), and an original itself where there is none.
3. So what a window is depends on nothing but those before it: whoever scans finds the same, in whatever
   order, and a corpus that grows leaves what was found as it was.

Fingerprints are computed many windows at once, and only those that occur twice are looked at one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tui_lookups.errors import Poll
from tui_lookups.progress import Count, Say

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

RUN = 5
FINGERPRINTS = 32

_NONE = np.uint64(0xFFFFFFFFFFFFFFFF)
_AT_ONCE = 1 << 18
"""Tokens that are hashed at once, about."""

_ROWS_AT_ONCE = 1 << 14
"""Windows whose fingerprints are looked up at once."""

_SLICES = 16
"""Fingerprints are sorted in so many slices, which bounds the memory beside them."""


class Texts(Protocol):
    """What is looked at of a corpus; `Corpus` has it."""

    def lengths(self) -> Ints: ...

    def window_tokens(self, prompt_id: int) -> Ints: ...


@dataclass(frozen=True, eq=False)
class Copies:
    """Which prompts are copies of which.

    Attributes:
        originals: [prompts], the prompt that each is a copy of, itself where it is an original.
    """

    originals: Ints

    @cached_property
    def counts(self) -> Ints:
        """How many prompts have each prompt's text, itself included: [prompts]."""
        counted: Ints = np.bincount(self.originals, minlength=len(self.originals))[self.originals]
        return counted


def find_copies(corpus: Texts, poll: Poll, say: Say = lambda _: None) -> Copies:
    """The copies among a corpus's windows.

    Args:
        poll: called between some thousands of windows; what it raises is raised.
        say: told then which share of the three passes over the windows is done.
    """
    lengths = corpus.lengths()
    count = Count("looking for repeated texts", 3 * len(lengths))

    def at(done: int) -> None:
        poll()
        say(count.at(done))

    prints = np.empty((len(lengths), FINGERPRINTS), np.uint64)
    for first, end in _blocks(lengths):
        at(first)
        prints[first:end] = fingerprints([corpus.window_tokens(prompt) for prompt in range(first, end)])
    repeated = _repeated(prints, poll)
    places = np.empty(prints.shape, np.uint32)
    for first in range(0, len(prints), _ROWS_AT_ONCE):
        at(len(lengths) + first)
        rows = slice(first, first + _ROWS_AT_ONCE)
        places[rows] = _places(prints[rows], repeated)
    totals = (prints != _NONE).sum(1)
    del prints
    owners = np.full(len(repeated), -1, np.int64)
    originals, done = np.arange(len(lengths)), 0
    may_be_copies = np.flatnonzero(2 * (places < len(repeated)).sum(1) >= totals).tolist()
    for number, prompt in enumerate(may_be_copies):
        if number % _ROWS_AT_ONCE == 0:
            at(2 * len(lengths) + prompt)
        _claim(owners, places, done, prompt)
        done = prompt
        owners_of_prints = owners[places[prompt][places[prompt] < len(repeated)]]
        shared = Counter(owners_of_prints[owners_of_prints >= 0].tolist())
        most = max(shared.values(), default=0)
        if most and 2 * most >= totals[prompt]:
            originals[prompt] = min(owner for owner, count in shared.items() if count == most)
            done += 1  # a copy claims nothing
    return Copies(originals)


def fingerprints(windows: Sequence[Ints]) -> Hashes:
    """The fingerprints of each window, ascending, empty places at the end: [windows, FINGERPRINTS]."""
    lengths = np.array([len(window) for window in windows])
    starts = np.cumsum(lengths + RUN - 1) - (lengths + RUN - 1)
    # With zeros between the windows, which a run that is longer than its window takes in.
    tokens = np.zeros(int(starts[-1] + lengths[-1]) + 2 * RUN, np.uint64)
    inside = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
    tokens[inside] = _mix(np.concatenate(windows).astype(np.uint64))
    hashes_at = np.zeros(len(tokens) - RUN, np.uint64)
    for step in range(RUN):
        hashes_at = hashes_at * np.uint64(0x9E3779B97F4A7C15) + tokens[step : step + len(hashes_at)]
    hashes_at = _mix(hashes_at)
    runs = np.maximum(lengths - RUN + 1, 1)
    places = np.arange(max(int(runs.max()), FINGERPRINTS))
    within = places < runs[:, None]
    hashes = np.full(within.shape, _NONE)
    hashes[within] = hashes_at[(starts[:, None] + places)[within]]
    hashes.sort(1)
    again = hashes[:, 1:] == hashes[:, :-1]
    hashes[:, 1:][again] = _NONE
    unsorted = again.any(1)
    hashes[unsorted] = np.sort(hashes[unsorted], 1)
    return hashes[:, :FINGERPRINTS].copy()


def _blocks(lengths: Ints) -> Iterator[tuple[int, int]]:
    """Runs of windows of some `_AT_ONCE` tokens together, none of them empty."""
    ends = np.cumsum(lengths)
    first = 0
    while first < len(lengths):
        before = int(ends[first - 1]) if first else 0
        end = max(first + 1, int(np.searchsorted(ends, before + _AT_ONCE, side="right")))
        yield first, end
        first = end


def _mix(values: Hashes) -> Hashes:
    """A permutation of the 64-bit numbers that leaves no pattern (the finalizer of splitmix64)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _repeated(prints: Hashes, poll: Poll) -> Hashes:
    """Those that more than one window has, ascending."""
    repeated = []
    for part in range(_SLICES):
        poll()
        # By their last bits: the smallest hashes of windows are all small.
        chosen = np.sort(prints[(prints % np.uint64(_SLICES)) == part])
        repeated.append(np.unique(chosen[1:][(chosen[1:] == chosen[:-1]) & (chosen[1:] != _NONE)]))
    return np.sort(np.concatenate(repeated))


def _places(prints: Hashes, repeated: Hashes) -> npt.NDArray[np.intp]:
    """The place in `repeated` of each fingerprint; its length where it occurs once: as `prints`."""
    slots = np.searchsorted(repeated, prints)
    return np.where(np.append(repeated, _NONE)[slots] == prints, slots, len(repeated))


def _claim(owners: Ints, places: npt.NDArray[np.uint32], first: int, end: int) -> None:
    """Give each fingerprint that no prompt owns to the first of the prompts `first` to `end` that has it."""
    prompts, columns = np.nonzero(places[first:end] < len(owners))
    which = places[first:end][prompts, columns]
    free = np.flatnonzero(owners[which] < 0)[::-1]  # the first of a fingerprint is written last, and stays
    owners[which[free]] = first + prompts[free]
