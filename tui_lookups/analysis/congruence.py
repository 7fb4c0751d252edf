"""Congruence: how strongly each MLP neuron writes towards each token (METHOD 2).

1. congruence(l, i, t) = W_out[l, i] . W_U[:, t], in the basis the model was loaded in.
2. A token's neurons are ranked over the asked layers: one matrix-vector product a layer.
3. Only the neurons that are shown are compared with the whole vocabulary, for the rank of the token, the
   token they promote most, and the tokens they promote and suppress. [all neurons, vocabulary] is never
   formed.

Sign. A gated neuron with negative congruence that fires negatively promotes the token as well. In a ranking
by "-" or "both", a row of negative congruence is read as -W_out: its rank and top token are those of the
flipped neuron, its congruences keep their sign.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tui_lookups.ids import NeuronId
from tui_lookups.model.lookup_model import LookupModel, Poll, no_poll
from tui_lookups.results import NeuronScore, Sign, TokenCongruence

_BLOCK_NUMBERS = 32_000_000
"""Most numbers of a [neurons, vocabulary] block formed at once (128 MB in float32)."""


@torch.inference_mode()
def token_scores(model: LookupModel, token_id: int, layers: Sequence[int], *, poll: Poll = no_poll) -> Tensor:
    """Congruence of every neuron of `layers` with one token: [len(layers), d_mlp]."""
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
    poll: Poll = no_poll,
) -> tuple[NeuronScore, ...]:
    """A token's neurons, best first; ties by layer, then index.

    Args:
        top: number of neurons returned (fewer where `next_token_only` finds fewer).
        layers: the layers ranked together.
        sign: "+" by congruence, "-" by its negative, "both" by its absolute value.
        next_token_only: keep the neurons whose top token is this token (next-token neurons, METHOD 2).
    """
    scores = token_scores(model, token_id, layers, poll=poll).flatten()
    merit = scores if sign == "+" else -scores if sign == "-" else scores.abs()
    order = torch.argsort(merit, descending=True, stable=True)
    if sign != "both":
        order = order[merit[order] > 0] if next_token_only else order
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
def _score_rows(
    model: LookupModel, neurons: Sequence[NeuronId], token_id: int, *, flip_negative: bool, poll: Poll
) -> list[NeuronScore]:
    poll()
    W_out = {layer: model.W_out(layer) for layer in {n.layer for n in neurons}}
    directions = torch.stack([W_out[n.layer][n.index].to(model.compute_dtype) for n in neurons])
    unembedding = model.W_U.to(model.compute_dtype)
    congruence = directions @ unembedding  # [neurons, d_vocab]
    own = congruence[:, token_id].clone()
    lengths = directions.norm(dim=1) * unembedding[:, token_id].norm()
    cosine = own / lengths.clamp_min(torch.finfo(lengths.dtype).tiny)
    if flip_negative:
        congruence *= torch.where(own < 0, -1.0, 1.0).to(congruence.dtype).unsqueeze(1)
    ranks = (congruence > congruence[:, token_id : token_id + 1]).sum(1) + 1
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
    count = min(top, len(congruence))
    promoted = torch.argsort(congruence, descending=True, stable=True)[:count]
    suppressed = torch.argsort(congruence, stable=True)[:count]

    def rows(ids: Tensor) -> tuple[TokenCongruence, ...]:
        return tuple(
            TokenCongruence(int(i), model.vocabulary.texts[int(i)], float(congruence[i])) for i in ids
        )

    return rows(promoted), rows(suppressed)


@dataclass(frozen=True, slots=True)
class TopTokens:
    """Per neuron of one layer, the largest and the smallest congruence over the vocabulary: [d_mlp] each."""

    largest: Tensor
    largest_ids: Tensor
    smallest: Tensor
    smallest_ids: Tensor


@torch.inference_mode()
def top_tokens(model: LookupModel, layer: int, *, poll: Poll = no_poll) -> TopTokens:
    """s(l, i) and its token for every neuron of a layer, block by block (METHOD 2)."""
    unembedding = model.W_U.to(model.compute_dtype)
    W_out = model.W_out(layer)
    pieces: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    for block in _blocks(W_out.shape[0], unembedding.shape[1]):
        poll()
        congruence = W_out[block].to(model.compute_dtype) @ unembedding
        largest, largest_ids = congruence.max(1)
        smallest, smallest_ids = congruence.min(1)
        pieces.append((largest, largest_ids, smallest, smallest_ids))
    return TopTokens(*(torch.cat(part) for part in zip(*pieces, strict=True)))


def _blocks(n_rows: int, n_columns: int) -> Iterator[slice]:
    size = max(1, _BLOCK_NUMBERS // n_columns)
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))
