"""Trimming a prompt to what its peak needs (method.md, section 3).

1. The yardstick is the neuron's activation at the peak on the prompt as the scan ran it.
2. Candidates are begin-of-text plus tokens start..peak, from the shortest up. The activation is not
   monotone in the length, so they are evaluated one after the other, many in a forward pass (padded on the
   right), several prompts together, until one keeps `keep` of the yardstick: the true shortest. A round tries
   as many starts in each prompt as fill a pass, and no more: each is wasted on those that needed fewer.
3. Neurons of a layer that peak in one prompt are searched together, from the last of their peaks back: a
   text that begins at a start is run once, up to the last peak of those that still search, and read at the
   peak of each. Attention is causal, so that the shorter texts are within it.
4. Where no begin-of-text is defined, the shortest candidate has two tokens: position 0 never counts.

Preset "paper" searches as the authors did: by bisection over the start in the p tokens of text up to the
peak, without begin-of-text. The bounds are 0, which is never tried and stands when nothing shorter does, and
p - 1, which is excluded: the peak's token alone is never tried. A start is sufficient above `keep`, not at
it. The activation they keep with it is that of the last start tried, sufficient or not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from tui_lookups.analysis.batches import Ids, Reading, shared_passes
from tui_lookups.errors import Poll, no_poll
from tui_lookups.ids import NeuronId
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.progress import Count, tell
from tui_lookups.results import Preset, Trim
from tui_lookups.results.conventions import DEFAULTS

_Found = tuple[int | None, float | None]
"""Where a sufficient suffix starts, and the activation kept with it; None where there is none."""

_BATCH_TOKENS = 4096
_ROUND_TOKENS = {"cpu": 512}
"""About how many tokens fill a pass, by device (elsewhere `_BATCH_TOKENS`): fewer take as long a token."""


@dataclass(frozen=True, slots=True)
class _Prompt:
    """Tokens (begin-of-text included), the position of the neuron's peak, and which sign of a fires."""

    neuron: NeuronId
    ids: Ids
    peak: int
    sign: int


def trim(
    model: LookupModel,
    neuron: NeuronId,
    ids: Sequence[int],
    peak: int,
    sign: int = 1,
    *,
    keep: float = DEFAULTS.kept_share,
    preset: Preset = "default",
    poll: Poll = no_poll,
) -> Trim:
    """Trim one prompt; see `trim_prompts`."""
    peaks = [Reading(neuron, 0, peak, sign)]
    return trim_prompts(model, [ids], peaks, keep=keep, preset=preset, poll=poll)[0]


def trim_prompts(
    model: LookupModel,
    rows: Sequence[Sequence[int]],
    peaks: Sequence[Reading],
    *,
    keep: float = DEFAULTS.kept_share,
    preset: Preset = "default",
    poll: Poll = no_poll,
) -> list[Trim]:
    """For each peak the shortest suffix of its prompt that ends there and keeps `keep` of sign * activation.

    Args:
        rows: token ids of each prompt, begin-of-text included.
        peaks: of neurons of one layer.

    `start` counts in the prompt's own tokens. A prompt comes back untrimmed, with start 0 and a note, when
    its peak is not positive, no suffix reaches `keep`, or the whole prompt is the shortest that does. With
    preset "paper" `activation` is that of the last start tried, with or without a note.
    Raises Cancelled from `poll`, ValueError for a peak outside the prompt.
    """
    prompts = [_Prompt(at.neuron, tuple(rows[at.row]), at.position, at.sign) for at in peaks]
    for prompt in prompts:
        if not 0 <= prompt.peak < len(prompt.ids):
            raise ValueError(f"position {prompt.peak} is not in a prompt of {len(prompt.ids)} tokens")
    evaluate = _Evaluator(model, poll)
    wholes = evaluate([(prompt.neuron, prompt.ids[: prompt.peak + 1]) for prompt in prompts])
    search = _bisect if preset == "paper" else _shortest
    hopeful = [number for number, p in enumerate(prompts) if p.sign * wholes[number] > 0]
    searched = search(
        evaluate,
        model.vocabulary.bos_id,
        [prompts[number] for number in hopeful],
        [keep * prompts[number].sign * wholes[number] for number in hopeful],
    )
    trims = [Trim(0, whole, False, "the peak is not positive") for whole in wholes]
    for number, (start, kept) in zip(hopeful, searched, strict=True):
        activation = wholes[number] if kept is None else kept
        trims[number] = _describe(prompts[number], start, activation, model.vocabulary.bos_id, keep, preset)
    return trims


def kept_tokens(trim: Trim, peak: int, body: int) -> int:
    """Tokens of text up to the peak. `body` is where it begins: begin-of-text never counts."""
    return peak - max(trim.start, body) + 1


def dropped_by_paper(trim: Trim, peak: int, body: int) -> bool:
    """Whether preset "paper" leaves this prompt out as too long; see `kept_tokens`."""
    return kept_tokens(trim, peak, body) >= DEFAULTS.paper_limit


def body_of(first_id: int, bos_id: int | None) -> int:
    """Where a prompt's text begins: after begin-of-text, where its first token is that."""
    return 1 if first_id == bos_id else 0


class _Evaluator:
    """Activations of neurons of a layer, each at the last token of a text, many texts in a forward pass."""

    def __init__(self, model: LookupModel, poll: Poll) -> None:
        self._model, self._poll = model, poll
        self.longest = model.info.n_ctx
        self.round = _ROUND_TOKENS.get(model.device.type, _BATCH_TOKENS)

    def __call__(self, asked: Sequence[tuple[NeuronId, Ids]]) -> list[float]:
        answers = [0.0] * len(asked)
        indexes = sorted({neuron.index for neuron, _ in asked})
        columns = {index: column for column, index in enumerate(indexes)}
        for shared in shared_passes([text for _, text in asked], _BATCH_TOKENS):
            self._poll()
            layer = asked[0][0].layer
            values = self._model.neurons_activations(
                self._model.batch(shared.rows), layer, indexes, poll=self._poll
            )
            numbers, rows = zip(*shared.read, strict=True)
            picked = values[
                torch.tensor(rows, device=values.device),
                torch.tensor([len(asked[number][1]) - 1 for number in numbers], device=values.device),
                torch.tensor([columns[asked[number][0].index] for number in numbers], device=values.device),
            ]
            for number, value in zip(numbers, picked.tolist(), strict=True):
                answers[number] = value
        return answers


def _body(prompt: _Prompt, bos_id: int | None) -> int:
    """Where the text begins: after begin-of-text, where the prompt has it."""
    return body_of(prompt.ids[0], bos_id)


def _shortest(
    evaluate: _Evaluator, bos_id: int | None, prompts: list[_Prompt], targets: list[float]
) -> list[_Found]:
    """The shortest sufficient suffix of each prompt."""
    prefix = () if bos_id is None else (bos_id,)
    trims: list[_Found] = [(None, None)] * len(prompts)
    # The peak must not be at position 0, so without a prefix the first candidate starts one token earlier.
    next_start = [prompt.peak - (0 if prefix else 1) for prompt in prompts]
    # A text of the model's full context that lacks begin-of-text has no room for it.
    lowest = [
        max(_body(prompt, bos_id), prompt.peak + 1 + len(prefix) - evaluate.longest) for prompt in prompts
    ]
    open_places, tried_so_far = list(range(len(prompts))), 0
    count = Count("trimming", len(prompts), "prompts")
    while open_places:
        tell(count.at(len(prompts) - len(open_places)))
        first: dict[Ids, int] = {}  # in each prompt the last start that anybody searches on from
        for number in open_places:
            ids = prompts[number].ids
            first[ids] = max(next_start[number], first.get(ids, 0))
        # Lengths n+1 to n+w of as many prompts are (n+w)^2/2 - n^2/2 tokens each.
        share = evaluate.round / len(first)
        width = max(1, int(math.sqrt(tried_so_far**2 + 2 * share)) - tried_so_far)
        tried = [
            (number, start)
            for number in open_places
            for start in range(
                next_start[number], max(first[prompts[number].ids] - width, lowest[number] - 1), -1
            )
        ]
        values = evaluate(
            [(prompts[p].neuron, prefix + prompts[p].ids[start : prompts[p].peak + 1]) for p, start in tried]
        )
        for (number, start), value in zip(tried, values, strict=True):
            next_start[number] = start - 1
            if trims[number][0] is None and prompts[number].sign * value >= targets[number]:
                trims[number] = (start, value)
        open_places = [
            number
            for number in open_places
            if trims[number][0] is None and next_start[number] >= lowest[number]
        ]
        tried_so_far += width
    return trims


def _bisect(
    evaluate: _Evaluator, bos_id: int | None, prompts: list[_Prompt], targets: list[float]
) -> list[_Found]:
    """The largest start that the authors' bisection finds sufficient, and the value tried last."""
    low = [_body(prompt, bos_id) for prompt in prompts]
    high = [prompt.peak for prompt in prompts]
    trims: list[_Found] = [(None, None)] * len(prompts)
    count = Count("trimming", len(prompts), "prompts")
    while open_places := [number for number in range(len(prompts)) if high[number] - low[number] > 1]:
        tell(count.at(len(prompts) - len(open_places)))
        middles = [low[number] + (high[number] - low[number]) // 2 for number in open_places]
        values = evaluate(
            [
                (prompts[number].neuron, prompts[number].ids[middle : prompts[number].peak + 1])
                for number, middle in zip(open_places, middles, strict=True)
            ]
        )
        for number, middle, value in zip(open_places, middles, values, strict=True):
            if prompts[number].sign * value > targets[number]:
                low[number], trims[number] = middle, (middle, value)
            else:
                high[number], trims[number] = middle, (trims[number][0], value)
    return trims


def _describe(
    prompt: _Prompt,
    start: int | None,
    activation: float,
    bos_id: int | None,
    keep: float,
    preset: Preset,
) -> Trim:
    body = _body(prompt, bos_id)
    if start is None:
        what = "bisection finds no suffix that keeps" if preset == "paper" else "no suffix keeps"
        made = Trim(0, activation, False, f"{what} {keep:.0%} of the peak")
    elif start <= body:
        made = Trim(0, activation, False, f"only the whole text keeps {keep:.0%} of the peak")
    else:
        made = Trim(start, activation, True, "")
    if preset == "paper" and dropped_by_paper(made, prompt.peak, body):
        note = f"dropped by preset paper: {kept_tokens(made, prompt.peak, body)} tokens after trimming"
        made = Trim(made.start, made.activation, made.trimmed, f"{made.note}; {note}" if made.note else note)
    return made
