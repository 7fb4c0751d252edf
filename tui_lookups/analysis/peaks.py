"""What a neuron comes to at its peaks: activation, direct logit contribution, probabilities.

See method.md, section 2.

1. Every row is run up to its peak (attention is causal), many rows in a forward pass, and only the peak is
   unembedded.
2. The direct contribution of the neuron to a token's logit is activation * congruence / scale, with the
   final norm's scale held at its value at the peak; a norm after the MLP, or in a Post-LN model each above
   it, divides what the neuron writes by its own scale as well. It is counted before a logit soft cap.
3. Where no token is asked for, the token is the one the neuron promotes most as it fires: where it fires
   negatively, that is the token its W_out suppresses most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tui_lookups.analysis.batches import MOST_TOKENS, consecutive
from tui_lookups.analysis.congruence import neuron_tokens, score_neurons
from tui_lookups.errors import Poll, UnsupportedModelError, no_poll
from tui_lookups.ids import NeuronId
from tui_lookups.model.lookup_model import LookupModel, require_finite
from tui_lookups.model.points import Hook, Point
from tui_lookups.progress import batches
from tui_lookups.results import Prompt, PromptFigures, Token

BATCH_ROWS = 64
"""Most rows of a forward pass, each of which has a probability per token of the vocabulary."""

Hooks = Callable[[range, Tensor], Mapping[Point, Hook]]
"""Interventions for a batch: given which rows are in it and their padded tokens [batch, pos]."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class AtPeaks:
    """One forward pass over rows, read at one position of each: [rows] each, but probabilities [rows, n].

    `scale` divides what the neuron writes on its way to the logits (step 2).
    """

    activation: Floats
    scale: Floats
    probability: Floats


@torch.inference_mode()
def run_at_peaks(
    model: LookupModel,
    neuron: NeuronId,
    rows: Sequence[Sequence[int]],
    positions: Sequence[int],
    token_ids: Sequence[Sequence[int]],
    hooks: Hooks | None = None,
    *,
    poll: Poll = no_poll,
    what: str = "running the prompts",
) -> AtPeaks:
    """Activation, scale and the probabilities of `token_ids` (n for each row) at one position of each row.

    Raises NumericalError for NaN or infinite values, Cancelled from `poll`.
    """
    pieces: list[tuple[Tensor, Tensor, Tensor]] = []
    cut = consecutive([position + 1 for position in positions], MOST_TOKENS, BATCH_ROWS)
    for batch in batches(cut, what):
        poll()
        tokens = model.batch(rows[index][: positions[index] + 1] for index in batch)
        at = torch.tensor([positions[index] for index in batch], device=tokens.device)
        kept: dict[Point, Tensor] = {}
        post = Point("post", neuron.layer)
        scales = [Point("ln_final"), *model.norms_after_mlp(neuron.layer)]
        edits = {} if hooks is None else dict(hooks(batch, tokens))
        seeing = model.keeping(kept, at, [post, *scales])
        logs = model.log_probabilities(tokens, at, {**edits, **seeing}, poll=poll)
        activation = kept[post][:, neuron.index]
        scale = torch.stack([kept[point][:, 0] for point in scales]).prod(0)
        scale = scale / model.size_of_norms(neuron.layer)
        wanted = torch.tensor([list(token_ids[index]) for index in batch], device=tokens.device)
        for values in (activation, scale, logs):
            require_finite(values, neuron.layer)
        pieces.append((activation, scale, logs.gather(1, wanted).exp()))
    if not pieces:
        return AtPeaks(np.zeros(0), np.zeros(0), np.zeros((0, 0)))
    return AtPeaks(*(torch.cat(part).cpu().double().numpy() for part in zip(*pieces, strict=True)))


def promoted_token(model: LookupModel, neuron: NeuronId, sign: int) -> Token:
    """The token the neuron promotes most when it fires with this sign (step 3)."""
    promoted, suppressed = neuron_tokens(model, neuron, 1)
    best = promoted[0] if sign > 0 else suppressed[0]
    return Token(best.id, best.text)


def peak_figures(
    model: LookupModel,
    neuron: NeuronId,
    prompts: Sequence[Prompt],
    token: Token | None,
    *,
    poll: Poll = no_poll,
) -> tuple[PromptFigures, ...]:
    """The figures of each prompt, run as the scan ran it (its full window up to the peak).

    Raises UnsupportedModelError in the raw basis: its congruence is not what a neuron adds to a logit.
    """
    if model.basis != "folded":
        raise UnsupportedModelError(
            "Logit contributions need folded weights: raw congruence leaves the final norm's weight out.",
            "Leave out --raw-weights.",
        )
    signs = {prompt.sign for prompt in prompts}
    tokens = {sign: token or promoted_token(model, neuron, sign) for sign in signs}
    congruence = {sign: score_neurons(model, [neuron], tokens[sign].id)[0].congruence for sign in signs}
    rows = [[t.id for t in prompt.tokens] for prompt in prompts]
    # Where nothing follows, the token itself stands in and is not shown.
    following = [prompt.peak.next_token for prompt in prompts]
    wanted = [
        (tokens[prompt.sign].id, tokens[prompt.sign].id if after is None else after.id)
        for prompt, after in zip(prompts, following, strict=True)
    ]
    at_peaks = run_at_peaks(model, neuron, rows, [p.peak.position for p in prompts], wanted, poll=poll)
    figures = []
    for number, (prompt, after) in enumerate(zip(prompts, following, strict=True)):
        activation, scale = float(at_peaks.activation[number]), float(at_peaks.scale[number])
        figures.append(
            PromptFigures(
                rank=prompt.rank,
                prompt_id=prompt.prompt_id,
                sign=prompt.sign,
                token=tokens[prompt.sign],
                activation=activation,
                congruence=congruence[prompt.sign],
                logit_contribution=activation * congruence[prompt.sign] / scale,
                scale=scale,
                probability=float(at_peaks.probability[number, 0]),
                next_token=after,
                next_probability=None if after is None else float(at_peaks.probability[number, 1]),
            )
        )
    return tuple(figures)
