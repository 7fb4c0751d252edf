"""The walk recomputed in NumPy float64: prompts, trimmed text, heads, and what is counted over prompts.

Written from method.md, sections 2 to 5, on top of `RawLlama` and `RawGPT2`; no torch and no code under test.
It takes the corpus windows as token ids and follows one neuron from them to the heads that are worth
explaining.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from tests.reference_raw import Array, RawGPT2, RawLlama

KEPT = 0.8
FEWEST_FOR_DEVIATIONS = 12
PAPER_DROPS_FROM = 100


@dataclass(frozen=True)
class Fired:
    """A prompt as the neuron's list has it. `start` is where the trimmed text begins; 0: nothing is cut."""

    prompt_id: int
    sign: int
    peak: int
    start: int
    ids: tuple[int, ...]  # the window up to the peak

    def text(self, trimmed: bool) -> tuple[int, ...]:
        """What is run: begin-of-text and the text up to the peak."""
        return (self.ids[0], *self.ids[self.start :]) if trimmed and self.start else self.ids

    @property
    def dropped_by_paper(self) -> bool:
        """By the length of its text, begin-of-text not counted."""
        return len(self.text(True)) - 1 >= PAPER_DROPS_FROM


def firing_place(activations: Array, sign: str) -> tuple[int, int]:
    """(position, sign) where a neuron fires most on a text; begin-of-text never counts."""
    counted = np.asarray(activations, np.float64)[1:]
    merit = {"+": counted, "-": -counted, "both": np.abs(counted)}[sign]
    position = 1 + int(merit.argmax())
    if sign == "both":
        return position, 1 if activations[position] >= 0 else -1
    return position, 1 if sign == "+" else -1


def active(values: Array, rule: str) -> tuple[Array, float]:
    """Which heads are active, and the value that separates them (the last one active under "top3")."""
    if rule == "top3" or len(values) < FEWEST_FOR_DEVIATIONS:
        order = sorted(range(len(values)), key=lambda i: -values[i])[:3]
        return np.isin(np.arange(len(values)), order), float(values[order[-1]])
    mean = values.sum() / len(values)
    deviation = np.sqrt(((values - mean) ** 2).sum() / (len(values) - 1))
    return values > mean + 2 * deviation, float(mean + 2 * deviation)


class ReferenceWalk:
    """One model, one corpus. Windows hold begin-of-text at position 0."""

    def __init__(self, raw: RawLlama | RawGPT2, windows: list[list[int]]) -> None:
        self.raw, self.windows = raw, windows
        run = cache(lambda ids: type(raw).run(raw, list(ids)))
        raw.run = lambda ids: run(tuple(ids))  # `parts` asks for the same text again and again

    def activations(self, ids: tuple[int, ...] | list[int], layer: int) -> Array:
        """[positions, d_mlp]"""
        return self.raw.run(list(ids))[1][layer].activation

    def fired(
        self, layer: int, index: int, *, top: int, sign: str, paper: bool, among: list[int] | None = None
    ) -> list[Fired]:
        """The `top` prompts by sign * a, one entry a prompt, each trimmed."""
        ranked = []
        for prompt_id in range(len(self.windows)) if among is None else among:
            values = self.activations(self.windows[prompt_id], layer)[:, index]
            position, towards = firing_place(values, sign)
            ranked.append((-towards * values[position], prompt_id, towards, position))
        return [
            self._trimmed(prompt_id, towards, position, layer, index, paper)
            for _, prompt_id, towards, position in sorted(ranked)[:top]
        ]

    def _trimmed(self, prompt_id: int, sign: int, peak: int, layer: int, index: int, paper: bool) -> Fired:
        ids = tuple(self.windows[prompt_id][: peak + 1])

        def enough(text: tuple[int, ...]) -> bool:
            return sign * self.activations(text, layer)[-1, index] >= KEPT * whole

        whole = sign * self.activations(self.windows[prompt_id], layer)[peak, index]
        start = 0
        if whole > 0 and paper:
            low, high = 0, peak - 1  # in the text, which begins after begin-of-text; see method.md, section 3
            while (middle := (low + high) // 2) != low:
                low, high = (middle, high) if enough(ids[1 + middle :]) else (low, middle)
            start = 1 + low if low else 0
        elif whole > 0:
            start = next((s for s in range(peak, 1, -1) if enough((ids[0], *ids[s:]))), 0)
        return Fired(prompt_id, sign, peak, start, ids)

    def heads(self, text: tuple[int, ...], layer: int, index: int, *, paper: bool) -> Array:
        """Attribution of every head at the last position, layer by layer: [heads that reach]."""
        found = self.raw.parts(list(text), len(text) - 1, layer, index)
        if isinstance(found, tuple):
            gate, up = found
            half = 1 / (1 + np.exp(-gate.pre)) / 2  # rho/2: SiLU(g) / g is the sigmoid
            values = half * (gate.heads * up.pre + gate.pre * up.heads)
        else:
            values = found.heads
        if paper:  # the own layer out, sigma out
            values = values[:layer] * self.raw.run(list(text))[1][layer].mlp_input_scale[-1, 0]
        return values.ravel()

    def over_prompts(
        self, fired: list[Fired], layer: int, index: int, *, trimmed: bool, paper: bool, rule: str
    ) -> tuple[Array, Array]:
        """sign * attribution and activity of every head on every prompt that counts: [prompts, heads]."""
        signed, seen = [], []
        for each in fired:
            if paper and each.dropped_by_paper:
                continue
            values = each.sign * self.heads(each.text(trimmed), layer, index, paper=paper)
            signed.append(values)
            seen.append(active(values, rule)[0])
        return np.array(signed), np.array(seen)


def worth_explaining(seen: Array) -> Array:
    """By counting, so that a quarter and three quarters are exact: [heads]."""
    counts, prompts = seen.sum(0), len(seen)
    return (4 * counts >= prompts) & (4 * counts <= 3 * prompts)
