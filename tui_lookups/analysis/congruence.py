"""Congruence: how strongly each MLP neuron writes towards each token (METHOD 2).

1. congruence(l, i, t) = W_out[l, i] . W_U[:, t], in the basis the model was loaded in.
2. A token's neurons are ranked over the asked layers: one matrix-vector product a layer.
3. Only the neurons that are shown are compared with the whole vocabulary, for the rank of the token, the
   token they promote most, and the tokens they promote and suppress.
4. `layer_extremes` takes one pass over a layer, in blocks of neurons and of tokens, and keeps the extremes
   of each neuron over the vocabulary and of each token over the neurons: what an atlas is made of. Neither
   [all neurons, vocabulary] nor a copy of the whole unembedding is ever formed.

Rows of the unembedding that no token has (a vocabulary padded to a round size) are no tokens: they are in
no rank and among no top tokens. A special token is one: a text that spells it out produces it.

Sign. A gated neuron with negative congruence that fires negatively promotes the token as well. In a ranking
by "-" or "both", a row of negative congruence is read as -W_out: its rank and top token are those of the
flipped neuron, its congruences keep their sign.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from tui_lookups.analysis.atlas import LayerExtremes
from tui_lookups.errors import Poll
from tui_lookups.ids import NeuronId
from tui_lookups.model.lookup_model import LookupModel, no_poll, require_finite
from tui_lookups.results import NeuronScore, Sign, TokenCongruence

_BLOCK_NUMBERS = 32_000_000
"""Most numbers of a block formed at once (128 MB in float32): of congruences, or of the unembedding."""

_ROUNDING = 1e-4
"""Share of |W_out| |W_U| within which two ways to compute a congruence agree, with room to spare."""


@torch.inference_mode()
def token_scores(model: LookupModel, token_id: int, layers: Sequence[int], *, poll: Poll = no_poll) -> Tensor:
    """Congruence of every neuron of `layers` with one token: [len(layers), d_mlp].

    Raises UnknownTokenError for a token that the embedding has no row for.
    """
    model.check_token(token_id)
    direction = model.W_U[:, token_id].to(model.compute_dtype)
    rows = []
    for layer in layers:
        poll()
        rows.append(model.W_out(layer).to(model.compute_dtype) @ direction)
    return torch.stack(rows)


def rank_neurons(
    model: LookupModel,
    token_id: int,
    *,
    top: int,
    layers: Sequence[int],
    sign: Sign = "+",
    next_token_only: bool = False,
    extremes: Sequence[LayerExtremes] | None = None,
    poll: Poll = no_poll,
) -> tuple[NeuronScore, ...]:
    """A token's neurons, best first; ties by layer, then index.

    Args:
        top: number of neurons returned (fewer where `next_token_only` finds fewer).
        layers: the layers ranked together.
        sign: "+" by congruence, "-" by its negative, "both" by its absolute value.
        next_token_only: keep the neurons whose top token is this token (next-token neurons, METHOD 2); by
            "-" only neurons of negative congruence, read flipped.
        extremes: `layer_extremes` of each of `layers`, where they are known: `next_token_only` then looks
            at far fewer neurons. The answer is the same.
    """
    scores = token_scores(model, token_id, layers, poll=poll).flatten()
    merit = scores if sign == "+" else -scores if sign == "-" else scores.abs()
    order = torch.argsort(merit, descending=True, stable=True)
    if next_token_only:
        possible = _may_be_next_token(model, token_id, layers, scores, sign, extremes, poll)
        order = order[possible[order]]
    found: list[NeuronScore] = []
    d_mlp = model.info.d_mlp
    chunk = max(1, min(max(top, 16), _BLOCK_NUMBERS // model.info.d_vocab))
    for start in range(0, len(order), chunk):
        places = order[start : start + chunk]
        neurons = [NeuronId(layers[int(p) // d_mlp], int(p) % d_mlp) for p in places]
        rows = _score_rows(model, neurons, token_id, flip_negative=sign != "+", poll=poll)
        found.extend(row for row in rows if not next_token_only or row.top_token.id == token_id)
        if len(found) >= top:
            break
    return tuple(found[:top])


@torch.inference_mode()
def _may_be_next_token(
    model: LookupModel,
    token_id: int,
    layers: Sequence[int],
    scores: Tensor,
    sign: Sign,
    extremes: Sequence[LayerExtremes] | None,
    poll: Poll,
) -> Tensor:
    """Which neurons can have the token as their top token: bool [len(layers) * d_mlp].

    A necessary condition only, so that nothing is missed: the largest of a neuron's congruences is at least
    their mean (one product with the mean unembedding), and is known where `extremes` are.
    """
    unembedding_mean = _mean_of_tokens(model)
    length = model.W_U[:, token_id].to(model.compute_dtype).norm() + unembedding_mean.norm()
    highest, lowest, slack = [], [], []
    for place, layer in enumerate(layers):
        poll()
        W_out = model.W_out(layer).to(model.compute_dtype)
        slack.append(_ROUNDING * W_out.norm(dim=1) * length)
        if extremes is None:
            highest.append(W_out @ unembedding_mean)
            lowest.append(highest[-1])
        else:
            highest.append(torch.from_numpy(extremes[place].largest).to(scores))
            lowest.append(torch.from_numpy(extremes[place].smallest).to(scores))
    room = torch.cat(slack)
    as_it_is = scores >= torch.cat(highest) - room
    flipped = (scores <= torch.cat(lowest) + room) & (scores < 0)
    if sign == "+":
        return as_it_is
    return flipped if sign == "-" else flipped | (as_it_is & (scores >= 0))


def _mean_of_tokens(model: LookupModel) -> Tensor:
    """The mean of the unembedding over the rows that are tokens: [d_model]."""
    mean = model.W_U.mean(1, dtype=model.compute_dtype)
    if not len(model.unused_rows):
        return mean
    d_vocab, unused = model.W_U.shape[1], model.W_U[:, model.unused_rows].to(model.compute_dtype)
    return (mean * d_vocab - unused.sum(1)) / (d_vocab - unused.shape[1])


@torch.inference_mode()
def _score_rows(
    model: LookupModel, neurons: Sequence[NeuronId], token_id: int, *, flip_negative: bool, poll: Poll
) -> list[NeuronScore]:
    poll()
    model.check_token(token_id)
    W_out = {layer: model.W_out(layer) for layer in {n.layer for n in neurons}}
    directions = torch.stack([W_out[n.layer][n.index].to(model.compute_dtype) for n in neurons])
    unembedding = model.W_U.to(model.compute_dtype)
    congruence = directions @ unembedding  # [neurons, d_vocab]
    own = congruence[:, token_id].clone()
    lengths = directions.norm(dim=1) * unembedding[:, token_id].norm()
    cosine = own / lengths.clamp_min(torch.finfo(lengths.dtype).tiny)
    if flip_negative:
        congruence *= torch.where(own < 0, -1.0, 1.0).to(congruence.dtype).unsqueeze(1)
    asked = congruence[:, token_id : token_id + 1].clone()
    congruence[:, model.unused_rows] = -torch.inf
    ranks = (congruence > asked).sum(1) + 1
    best, top_ids = congruence.max(1)
    rows = []
    for place, neuron in enumerate(neurons):
        flipped = flip_negative and float(own[place]) < 0
        rows.append(
            NeuronScore(
                neuron=neuron,
                layer=neuron.layer,
                index=neuron.index,
                congruence=float(own[place]),
                cosine=float(cosine[place]),
                token_rank=int(ranks[place]),
                top_token=model.vocabulary.token(int(top_ids[place])),
                top_congruence=-float(best[place]) if flipped else float(best[place]),
            )
        )
    return rows


def score_neurons(
    model: LookupModel, neurons: Sequence[NeuronId], token_id: int, *, sign: Sign = "+"
) -> list[NeuronScore]:
    """Ranking rows of given neurons for one token, in the given order."""
    return _score_rows(model, neurons, token_id, flip_negative=sign != "+", poll=no_poll)


@torch.inference_mode()
def neuron_tokens(
    model: LookupModel, neuron: NeuronId, top: int
) -> tuple[tuple[TokenCongruence, ...], tuple[TokenCongruence, ...]]:
    """The tokens a neuron promotes most, largest congruence first, and suppresses most, smallest first."""
    model.check_neuron(neuron)
    direction = model.W_out(neuron.layer)[neuron.index].to(model.compute_dtype)
    congruence = direction @ model.W_U.to(model.compute_dtype)
    count = min(top, len(congruence) - len(model.unused_rows))
    congruence[model.unused_rows] = -torch.inf
    promoted = torch.argsort(congruence, descending=True, stable=True)[:count]
    congruence[model.unused_rows] = torch.inf
    suppressed = torch.argsort(congruence, stable=True)[:count]

    def rows(ids: Tensor) -> tuple[TokenCongruence, ...]:
        return tuple(
            TokenCongruence(int(i), model.vocabulary.texts[int(i)], float(congruence[i])) for i in ids
        )

    return rows(promoted), rows(suppressed)


@torch.inference_mode()
def layer_extremes(model: LookupModel, layer: int, *, poll: Poll = no_poll) -> LayerExtremes:
    """The extremes of a layer's congruences over both axes, block by block (METHOD 2).

    The working memory is two blocks of `_BLOCK_NUMBERS` and a few numbers a neuron and a token, whatever
    the size of the vocabulary and the format of the weights. On exact ties the smaller token id is kept.
    A row that no token has gets -inf and inf for its own extremes.
    """
    W_out, W_U = model.W_out(layer), model.W_U
    d_mlp, (d_model, d_vocab) = W_out.shape[0], W_U.shape
    # [2, ...]: of the congruences and of their negatives.
    best = W_out.new_full((2, d_mlp), -torch.inf, dtype=model.compute_dtype)
    best_ids = torch.zeros((2, d_mlp), dtype=torch.int64, device=W_out.device)
    token_best = W_out.new_full((2, d_vocab), -torch.inf, dtype=model.compute_dtype)
    width = min(d_vocab, max(1, _BLOCK_NUMBERS // d_model))
    for columns in _blocks(d_vocab, width):
        unembedding = W_U[:, columns].to(model.compute_dtype)
        unused = model.unused_rows - columns.start
        unused = unused[(unused >= 0) & (unused < unembedding.shape[1])]
        for rows in _blocks(d_mlp, max(1, _BLOCK_NUMBERS // width)):
            poll()
            congruence = W_out[rows].to(model.compute_dtype) @ unembedding
            for side in (0, 1):
                congruence[:, unused] = -torch.inf
                values, ids = congruence.max(1)
                better = values > best[side, rows]
                best_ids[side, rows] = torch.where(better, ids + columns.start, best_ids[side, rows])
                best[side, rows] = torch.where(better, values, best[side, rows])
                token_best[side, columns] = torch.maximum(token_best[side, columns], congruence.amax(0))
                if side == 0:
                    congruence.neg_()
    require_finite(best, layer)
    return LayerExtremes(
        largest=_array(best[0], np.float32),
        largest_ids=_array(best_ids[0], np.int32),
        smallest=_array(-best[1], np.float32),
        smallest_ids=_array(best_ids[1], np.int32),
        token_largest=_array(token_best[0], np.float32),
        token_smallest=_array(-token_best[1], np.float32),
    )


def _array(values: Tensor, dtype: type[np.generic]) -> np.ndarray:
    return values.cpu().numpy().astype(dtype)


def _blocks(length: int, size: int) -> Iterator[slice]:
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))
