"""Why a token: all that the logit of a token after a position of a text is the sum of.

See method.md, section 8.

1. A token reads the last residual stream through the final norm (model/components.py). The text is run once,
   up to the position, and everything that writes into that stream is told apart there, down to neurons
   (exact_sum.py).
2. The target is the model's own: the logit that its pass gives, less the mean over all of them, or less the
   foil's; before a soft cap where there is one.
3. Beside the sums of each layer stands what the stream behind it would give (the logit lens): the same
   reader at that stream's own scale, and the token that the model's final norm and unembedding find there.
4. A component is removed by putting zero, or its mean over a sample of the corpus, in the place of its z or
   of its activation at the position, everything above responding (section 6).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tui_lookups.analysis.attribution import require_closure
from tui_lookups.analysis.congruence import own_tokens
from tui_lookups.analysis.exact_sum import ExactSum, exact_sums
from tui_lookups.errors import LookupsError, NumericalError, Poll, no_poll
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.components import Reader, points_read, token_reader
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.model.points import Hook, Point
from tui_lookups.progress import counting
from tui_lookups.results import LayerOfWhy, Prediction, Token

PREDICTIONS = 10
"""The most probable next tokens that stand beside."""


@dataclass(frozen=True, eq=False)
class WhyFound:
    """What one pass shows of a token's logit.

    Attributes:
        probabilities: of the next token, [d_vocab].
        lens: the token's centred logit read off the stream in front of each layer, and in the end the target.
        lens_tokens: the most probable token of each of those streams but the first.
        congruences: what the largest neurons' writing directions are to the reader.
        own: the token that each of them promotes most.
    """

    token_id: int
    found: ExactSum
    probabilities: Tensor
    predictions: tuple[Prediction, ...]
    lens: tuple[float, ...]
    lens_tokens: tuple[int, ...]
    congruences: dict[NeuronId, float]
    own: Mapping[NeuronId, Token]


@torch.inference_mode()
def why_token(
    model: LookupModel,
    row: Sequence[int],
    position: int,
    token_id: int | None = None,
    foil_id: int | None = None,
    *,
    top: int,
    poll: Poll = no_poll,
) -> WhyFound:
    """Everything the logit of a token after `position` is the sum of.

    Args:
        row: token ids, begin-of-text included; only those up to `position` matter.
        token_id: None for the most probable token.
        foil_id: what it is counted against; None for the mean over the vocabulary.
        top: how many neurons are named.
    Raises:
        LookupsError: the foil is the token.
        NumericalError: NaN or infinite values.
        UnsupportedModelError: the sum does not close within the bound of the model's precision.
    """
    tokens, at = model.batch([row[: position + 1]]), torch.tensor([position], device=model.device)
    # Which points are needed does not depend on the token, which may only be known after the pass.
    points = points_read(model, token_reader(model, foil_id or 0), neurons=True)
    streams = [Point("resid_pre", layer) for layer in range(model.info.n_layers)]
    seen: dict[Point, Tensor] = {}
    hooks = model.keeping(seen, at, {*points, *streams})
    counted = counting(poll, "running the text", model.info.n_layers, "blocks")
    given, uncapped = (values[0, 0] for values in model.logits(tokens, at.unsqueeze(1), hooks, poll=counted))
    if not bool(torch.isfinite(given).all()):
        raise NumericalError(
            "The model's next-token probabilities are not finite.", "Load it with --dtype float32."
        )
    logs = given.log_softmax(-1)
    predictions = most_probable(model, logs, PREDICTIONS)
    asked = predictions[0].token.id if token_id is None else token_id
    if asked == foil_id:
        raise LookupsError("A token is no foil of itself.", "Name another foil, or none.")
    wide = uncapped.cpu().double()
    target = float(wide[asked] - (wide.mean() if foil_id is None else wide[foil_id]))
    reader = token_reader(model, asked, foil_id)
    one = torch.ones(1, 1, dtype=torch.float64)
    (exact,) = exact_sums(
        model, reader, seen, torch.tensor([[target]], dtype=torch.float64), one, [target], poll=poll
    )
    told = model.vocabulary.token(asked).text
    require_closure(model, f"the logit of {told!r} at position {position}", exact.relative_remainder)
    before = torch.cat([seen[point] for point in streams])  # [n_layers, d_model]
    named = exact.largest(top)
    return WhyFound(
        token_id=asked,
        found=exact,
        probabilities=logs.exp().cpu().double(),
        predictions=predictions,
        lens=(*_lens(model, reader, before, asked, foil_id), target),
        lens_tokens=(*model.read_off(before[1:]).tolist(), predictions[0].token.id),
        congruences=_congruences(model, reader, named),
        own=own_tokens(model, named),
    )


def most_probable(model: LookupModel, logs: Tensor, top: int) -> tuple[Prediction, ...]:
    """The `top` most probable tokens of log-probabilities [d_vocab]; rows that no token has are none."""
    listed = logs.index_fill(-1, model.unused_rows, -torch.inf)
    best = listed.topk(min(top, len(listed) - len(model.unused_rows)))
    rows = zip(best.indices.tolist(), best.values.exp().tolist(), strict=True)
    return tuple(Prediction(model.vocabulary.token(id_), value) for id_, value in rows)


def layers_of(model: LookupModel, why: WhyFound) -> tuple[LayerOfWhy, ...]:
    """What each layer adds, and the lens behind it (step 3)."""
    exact = why.found
    biases = exact.attention_biases + exact.mlp_biases
    beside = np.sum(list(exact.beside.values()), axis=0) if exact.beside else None
    return tuple(
        LayerOfWhy(
            layer=layer,
            heads=float(exact.heads[layer].sum()),
            neurons=float(exact.neurons[layer].sum()),
            biases=float(biases[layer]),
            lens_logit=why.lens[layer + 1],
            lens_token=model.vocabulary.token(why.lens_tokens[layer]),
            beside=None if beside is None else float(beside[layer]),
        )
        for layer in range(model.info.n_layers)
    )


def _lens(
    model: LookupModel, reader: Reader, streams: Tensor, token_id: int, foil_id: int | None
) -> list[float]:
    """What the reader reads off streams [k, d_model], each at its own scale; in a Post-LN model, whose
    streams between blocks are normed already, what the unembedding reads off them."""
    if model.wiring.post_ln:
        direction, bias = model.unembedding_against(token_id, foil_id)
        of_normed: list[float] = ((streams @ direction + bias) * model.wiring.logit_factor).tolist()
        return of_normed
    read = streams @ reader.directions / model.wiring.ln_final.scale(streams) + reader.constants
    values: list[float] = read[:, 0].tolist()
    return values


def _congruences(model: LookupModel, reader: Reader, neurons: Sequence[NeuronId]) -> dict[NeuronId, float]:
    """W_out, as a norm after the MLP and a multiplier leave it, times what the token reads with."""
    if not neurons:
        return {}
    written = torch.from_numpy(model.directions(neurons)).to(reader.directions)
    return dict(zip(neurons, (written @ reader.directions)[:, 0].tolist(), strict=True))


@torch.inference_mode()
def probability_without(
    model: LookupModel,
    row: Sequence[int],
    position: int,
    component: HeadId | NeuronId,
    value: npt.NDArray[np.float64],
    token_id: int,
    *,
    poll: Poll = no_poll,
) -> float:
    """The probability of a token with `value`, [d_head] or [], in place of a head's z, value biases apart, or
    of a neuron's activation, at the position (step 4). Raises NumericalError where there is none."""
    tokens, at = model.batch([row[: position + 1]]), torch.tensor([position], device=model.device)
    is_head = isinstance(component, HeadId)
    put = torch.from_numpy(np.asarray(value, np.float64)).to(model.compute_dtype)

    def hook(seen: Tensor) -> Tensor:
        replaced = seen.clone()
        replaced[:, position, component.index] = put.to(seen)
        return replaced

    hooks: Mapping[Point, Hook] = {Point("z" if is_head else "post", component.layer): hook}
    probability = float(model.log_probabilities(tokens, at, hooks, poll=poll)[0, token_id].exp())
    if not np.isfinite(probability):
        raise NumericalError(
            f"Without {component} the model's next-token probabilities are not finite.",
            "Load it with --dtype float32.",
        )
    return probability
