"""Ablation: what a neuron and its token do without a head, everything downstream responding.

See method.md, section 6.

1. Each prompt is run up to the neuron's peak twice: as it is, and with the head's z replaced at the
   peak position or at all positions. Attention is causal, so nothing after the peak matters.
2. What is put in place: zero; the mean of the head's z over a sample of the corpus; or its z on another
   prompt of the neuron, drawn with a seed.
3. Reported at the peak: the neuron's activation and the probability of its token, before and after, and
   whether the head is active there by its direct attribution (method.md, section 4).
4. Prompts on which the head is active are compared with those on which it is not: mean changes, and the
   Kolmogorov-Smirnov distance between the two groups' changes.

z has its value bias taken off, as in attribution: a value bias reaches the output whatever is attended to, so
it counts as a bias of attention, and zero leaves it in place.

Preset "paper". The authors zero the head's values at all positions. z is pattern @ values, so that is
"zero" at "all" positions; with grouped key/value heads, where several heads share the values, this is the
reading that concerns one head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tui_lookups.analysis.activity import active_heads
from tui_lookups.analysis.attribution import check_reaches, decompose
from tui_lookups.analysis.batches import MOST_TOKENS, consecutive
from tui_lookups.analysis.pairs import ks_distance
from tui_lookups.analysis.peaks import BATCH_ROWS, Hooks, promoted_token, run_at_peaks
from tui_lookups.errors import LookupsError, Poll, no_poll
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.lookup_model import LookupModel, require_finite
from tui_lookups.model.points import Hook, Point
from tui_lookups.progress import batches, staged
from tui_lookups.results import (
    AblatedPrompt,
    AblationMean,
    AblationMethod,
    AblationPositions,
    AblationSummary,
    ActivityRule,
    Preset,
)
from tui_lookups.scan.plan import hash_ids

Array = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Case:
    """A prompt of the neuron, or a text: token ids, begin-of-text included, peak, and the sign it fires with.

    `rank` and `prompt_id` are None for a text.
    """

    rank: int | None
    prompt_id: int | None
    ids: tuple[int, ...]
    position: int
    sign: int


def ablate_head(
    model: LookupModel,
    neuron: NeuronId,
    head: HeadId,
    cases: Sequence[Case],
    *,
    method: AblationMethod,
    positions: AblationPositions,
    rule: ActivityRule,
    preset: Preset = "default",
    mean: Array | None = None,
    seed: int = 0,
    poll: Poll = no_poll,
) -> tuple[AblatedPrompt, ...]:
    """Ablate one head on each case.

    Args:
        rule, preset: when the head is active (method.md, section 4); preset "paper" does not count the own
            layer's.
        mean: for "mean", the head's mean z [d_head] (see `mean_over`).
        seed: for "resample", of the donors.
    Raises:
        LookupsError: the head does not reach the neuron, or "resample" has no other prompt to draw.
        UnsupportedModelError: the raw basis, in which no attribution closes.
    """
    check_reaches(model, neuron, head, preset)
    rows, peaks = [case.ids for case in cases], [case.position for case in cases]
    with staged(1, 3):
        direct = decompose(model, neuron, rows, peaks, preset=preset, poll=poll)
    donors = _donors(cases, seed) if method == "resample" else None
    hooks: Hooks
    if donors is not None:
        hooks = _resampled(model, head, cases, donors, positions, poll)
    else:
        value = np.zeros(model.info.d_head) if method == "zero" else mean
        if value is None:
            raise ValueError("method mean needs the head's mean z")
        hooks = _constant(model, head, cases, value, positions)
    by_sign = {sign: promoted_token(model, neuron, sign) for sign in {case.sign for case in cases}}
    wanted = [(by_sign[case.sign].id,) for case in cases]
    with staged(2, 3):
        before = run_at_peaks(model, neuron, rows, peaks, wanted, poll=poll)
    with staged(3, 3):
        what = f"running them without {head}"
        after = run_at_peaks(model, neuron, rows, peaks, wanted, hooks, poll=poll, what=what)
    ablated = []
    for number, case in enumerate(cases):
        heads = direct[number].heads
        active, _ = active_heads(case.sign * heads.ravel(), rule)
        ablated.append(
            AblatedPrompt(
                rank=case.rank,
                prompt_id=case.prompt_id,
                sign=case.sign,
                position=case.position,
                active=bool(active[head.layer * heads.shape[1] + head.index]),
                attribution=float(heads[head.layer, head.index]),
                token=by_sign[case.sign],
                activation_before=float(before.activation[number]),
                activation_after=float(after.activation[number]),
                probability_before=float(before.probability[number, 0]),
                probability_after=float(after.probability[number, 0]),
                donor=None if donors is None else cases[donors[number]].prompt_id,
            )
        )
    return tuple(ablated)


# --- what is put in place of z ---


def _replacing(
    head: HeadId, cases: Sequence[Case], positions: AblationPositions, value: Callable[[int, int], Tensor]
) -> Hooks:
    """Hooks that put `value(case, start)` [1 or positions start..peak, d_head] in place of the head's z.

    `start` is 0 for "all" and the peak's position for "peak".
    """

    def hooks(batch: range, tokens: Tensor) -> Mapping[Point, Hook]:
        def hook(z: Tensor) -> Tensor:
            replaced = z.clone()
            for row, index in enumerate(batch):
                peak = cases[index].position
                start = 0 if positions == "all" else peak
                replaced[row, start : peak + 1, head.index] = value(index, start).to(z)
            return replaced

        return {Point("z", head.layer): hook}

    return hooks


def _constant(
    model: LookupModel, head: HeadId, cases: Sequence[Case], value: Array, positions: AblationPositions
) -> Hooks:
    vector = torch.from_numpy(np.asarray(value, np.float64)).to(model.compute_dtype).unsqueeze(0)
    return _replacing(head, cases, positions, lambda place, start: vector)


def _resampled(
    model: LookupModel,
    head: HeadId,
    cases: Sequence[Case],
    donors: Sequence[int],
    positions: AblationPositions,
    poll: Poll,
) -> Hooks:
    """z of each case's donor, aligned at the peaks."""
    own = head_z(model, head, [case.ids[: case.position + 1] for case in cases], poll=poll)

    def value(place: int, start: int) -> Tensor:
        donor = donors[place]
        return own[donor][aligned(start, cases[place].position, cases[donor].position)]

    return _replacing(head, cases, positions, value)


def aligned(start: int, peak: int, donor_peak: int) -> list[int]:
    """Which donor position stands in for each of the positions `start` to `peak`.

    The peaks are aligned. Where the donor is shorter, its position 1 stands in for all earlier ones.
    Position 0, begin-of-text, which most heads treat apart, is stood in for by the donor's.
    """
    first = min(1, donor_peak)
    return [0 if j == 0 else max(donor_peak - (peak - j), first) for j in range(start, peak + 1)]


def _donors(cases: Sequence[Case], seed: int) -> list[int]:
    """Raises LookupsError for a text: there is no other."""
    prompt_ids = [case.prompt_id for case in cases if case.prompt_id is not None]
    if len(prompt_ids) < len(cases):
        raise LookupsError(
            "Resampling takes another prompt of the neuron, and this is a text given by hand.",
            "Use method zero or mean.",
        )
    return draw_donors(prompt_ids, seed)


def draw_donors(prompt_ids: Sequence[int], seed: int) -> list[int]:
    """For each prompt the place of another one, drawn with a seed by a hash of its id.

    Raises LookupsError where there is no other prompt.
    """
    n = len(prompt_ids)
    if n == 1:
        raise LookupsError(
            "Resampling needs another prompt of the neuron, and it has only one.", "Use --method mean."
        )
    draws = [int(number) for number in hash_ids(np.asarray(prompt_ids, np.int64), seed)]
    return [(index + 1 + draw % (n - 1)) % n for index, draw in enumerate(draws)]


@torch.inference_mode()
def head_z(
    model: LookupModel, head: HeadId, rows: Sequence[Sequence[int]], *, poll: Poll = no_poll
) -> list[Tensor]:
    """A head's z on each row: [positions, d_head] each."""
    outputs: list[Tensor] = []
    for batch in consecutive([len(row) for row in rows], MOST_TOKENS, BATCH_ROWS):
        poll()
        kept: list[Tensor] = []

        def keep(z: Tensor, kept: list[Tensor] = kept) -> None:
            kept.append(z[:, :, head.index].clone())

        tokens = model.batch(rows[index] for index in batch)
        model.run(tokens, {Point("z", head.layer): keep}, stop_after=head.layer, poll=poll)
        outputs += [kept[0][row, : len(rows[index])] for row, index in enumerate(batch)]
    return outputs


@torch.inference_mode()
def mean_over(
    model: LookupModel,
    rows: Sequence[Sequence[int]],
    last_layer: int,
    role: Literal["z", "post"] = "z",
    *,
    poll: Poll = no_poll,
) -> npt.NDArray[np.float64]:
    """Mean z of every head of layers 0 to `last_layer`, [layers, n_heads, d_head], or mean activation of
    every neuron, [layers, d_mlp].

    The mean is over all positions of the rows but position 0, which never counts (method.md, section 3).
    """
    info = model.info
    width = (info.n_heads, info.d_head) if role == "z" else (info.d_mlp,)
    total = np.zeros((last_layer + 1, *width))
    cut = consecutive([len(row) for row in rows], MOST_TOKENS, BATCH_ROWS)
    for batch in batches(cut, "taking a mean over the corpus"):
        poll()
        tokens = model.batch(rows[index] for index in batch)
        lengths = torch.tensor([len(rows[index]) for index in batch], device=tokens.device)
        steps = torch.arange(tokens.shape[1], device=tokens.device)
        counts = (steps > 0) & (steps < lengths.unsqueeze(1))  # [batch, pos]

        def add(layer: int, counts: Tensor = counts) -> Hook:
            def hook(seen: Tensor) -> None:
                require_finite(seen, layer)
                total[layer] += seen[counts].to(model.compute_dtype).sum(0).cpu().double().numpy()

            return hook

        hooks = {Point(role, layer): add(layer) for layer in range(last_layer + 1)}
        model.run(tokens, hooks, stop_after=last_layer, poll=poll)
    positions = sum(len(row) - 1 for row in rows)
    if positions < 1:
        raise LookupsError("The corpus has no position to take a mean over.", "Give a corpus with text.")
    return total / positions


# --- summaries ---


def summarise(prompts: Sequence[AblatedPrompt]) -> AblationSummary:
    """Active against inactive prompts (step 4)."""
    active = [prompt for prompt in prompts if prompt.active]
    inactive = [prompt for prompt in prompts if not prompt.active]
    return AblationSummary(
        active=_mean(active),
        inactive=_mean(inactive),
        every=_mean(prompts),
        activation_distance=ks_distance(
            [p.activation_change for p in active], [p.activation_change for p in inactive]
        ),
        probability_distance=ks_distance(
            [p.probability_drop for p in active], [p.probability_drop for p in inactive]
        ),
    )


def _mean(prompts: Sequence[AblatedPrompt]) -> AblationMean:
    if not prompts:
        return AblationMean(0, None, None)
    return AblationMean(
        len(prompts),
        float(np.mean([prompt.activation_change for prompt in prompts])),
        float(np.mean([prompt.probability_drop for prompt in prompts])),
    )
