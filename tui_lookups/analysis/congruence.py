"""Congruence: how strongly each MLP neuron writes towards each token (method.md, section 2).

1. congruence(l, i, t) = W_out[l, i] . W_U[:, t], in the basis that was asked for.
2. A token's neurons are ranked over the asked layers: one matrix-vector product a layer.
3. Only the neurons that are shown are compared with the whole vocabulary, for the rank of the token, the
   token they promote most, and the tokens they promote and suppress.
4. Where the weights come from is `Writes`: the files alone, with NumPy, or the loaded model.

Rows of the unembedding that no token has (a vocabulary padded to a round size) are no tokens: they are in
no rank and among no top tokens. A special token is one: a text that spells it out produces it.

Sign. A gated neuron with negative congruence that fires negatively promotes the token as well. In a ranking
by "-" or "both", a row of negative congruence is read as -W_out: its rank and top token are those of the
flipped neuron, its congruences keep their sign.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from tui_lookups.errors import NumericalError, Poll, no_poll
from tui_lookups.ids import NeuronId
from tui_lookups.model.file_weights import Extremes, Writes
from tui_lookups.results import NeuronScore, Sign, Token, TokenCongruence

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]
Bools = npt.NDArray[np.bool_]
Row = TypeVar("Row", bound=NeuronScore)

BLOCK_NUMBERS = 8_000_000
"""Most congruences formed at once (32 MB in float32)."""

_ROUNDING = 1e-4
"""Share of |W_out| |W_U| within which two ways to compute a congruence agree, with room to spare."""

_ROUNDED_TWICE = 1e-2
"""The same of extremes, which an earlier version may have taken of weights folded in half precision."""


def token_scores(model: Writes, token_id: int, layers: Sequence[int], *, poll: Poll = no_poll) -> Floats:
    """Congruence of every neuron of `layers` with one token: [len(layers), d_mlp].

    Raises UnknownTokenError for a token that the embedding has no row for.
    """
    model.check_token(token_id)
    direction = model.unembedding(token_id)
    rows = []
    for layer in layers:
        poll()
        rows.append(model.toward(layer, direction))
        if not bool(np.isfinite(rows[-1]).all()):
            raise NumericalError.of_layer(layer)
    return np.stack(rows)


def rank_neurons(
    model: Writes,
    token_id: int,
    *,
    top: int,
    layers: Sequence[int],
    sign: Sign = "+",
    next_token_only: bool = False,
    extremes: Sequence[Extremes] | None = None,
    poll: Poll = no_poll,
) -> tuple[NeuronScore, ...]:
    """A token's neurons, best first; ties by layer, then index.

    Args:
        top: number of neurons returned (fewer where `next_token_only` finds fewer).
        layers: the layers ranked together.
        sign: "+" by congruence, "-" by its negative, "both" by its absolute value.
        next_token_only: keep the neurons whose top token is this token (next-token neurons,
            method.md, section 2); by "-" only neurons of negative congruence, read flipped.
        extremes: `layer_extremes` of each of `layers`, where they are known: `next_token_only` then looks
            at far fewer neurons. The answer is the same.
    """
    scores = token_scores(model, token_id, layers, poll=poll).ravel()
    merit = scores if sign == "+" else -scores if sign == "-" else np.abs(scores)
    if next_token_only:
        possible = np.flatnonzero(may_be_next_token(model, token_id, layers, scores, sign, extremes, poll))
        order = possible[best_first(merit[possible], len(possible))]
    else:
        order = best_first(merit, top)

    def score(neurons: list[NeuronId]) -> list[NeuronScore]:
        poll()
        return score_neurons(model, neurons, token_id, sign=sign)

    def keep(row: NeuronScore) -> bool:
        return not next_token_only or row.top_token.id == token_id

    return first_rows(model, layers, order, top, score, keep)


def first_rows(
    model: Writes,
    layers: Sequence[int],
    order: Ints,
    top: int,
    score: Callable[[list[NeuronId]], list[Row]],
    keep: Callable[[Row], bool],
) -> tuple[Row, ...]:
    """The rows of the first `top` neurons that are kept; few more are scored than that takes.

    Args:
        order: places of neurons among those of `layers`, best first.
    """
    rows: list[Row] = []
    chunk = max(1, min(max(top, 16), BLOCK_NUMBERS // model.d_vocab))
    for start in range(0, len(order), chunk):
        neurons = model.info.neurons_at(layers, order[start : start + chunk])
        rows.extend(filter(keep, score(neurons)))
        if len(rows) >= top:
            break
    return tuple(rows[:top])


def rank_tokens(
    model: Writes, token_ids: Sequence[int], *, top: int, layers: Sequence[int], poll: Poll = no_poll
) -> list[tuple[NeuronScore, ...]]:
    """What `rank_neurons` gives for each of several tokens, with far fewer passes over the vocabulary."""
    neurons, asked = [], []
    for token_id in token_ids:
        best = best_first(token_scores(model, token_id, layers, poll=poll).ravel(), top)
        neurons += model.info.neurons_at(layers, best)
        asked += [token_id] * len(best)
    rows: list[NeuronScore] = []
    chunk = max(1, BLOCK_NUMBERS // model.d_vocab)
    for start in range(0, len(neurons), chunk):
        part = slice(start, start + chunk)
        rows += _score_rows(model, neurons[part], asked[part], flip_negative=False, poll=poll)
    share = len(rows) // max(1, len(token_ids))
    return [tuple(rows[start : start + share]) for start in range(0, len(rows), max(1, share))]


def best_first(merit: Floats, count: int) -> npt.NDArray[np.intp]:
    """The places of the `count` largest values, largest first; ties by place. Sorts no others."""
    among = np.arange(len(merit))
    if count < len(merit):
        least = np.partition(merit, len(merit) - count)[len(merit) - count] if count else np.inf
        among = np.flatnonzero(merit >= least)
    return among[np.argsort(-merit[among], kind="stable")][:count]


def may_be_next_token(
    model: Writes,
    token_id: int,
    layers: Sequence[int],
    scores: Floats,
    sign: Sign,
    extremes: Sequence[Extremes] | None,
    poll: Poll,
) -> Bools:
    """Which neurons can have the token as their top token: bool [len(layers) * d_mlp].

    A necessary condition only, so that nothing is missed: the largest of a neuron's congruences is at least
    their mean (one product with the mean unembedding), and is known where `extremes` are.
    """
    mean = _mean_of_tokens(model)
    length = np.linalg.norm(model.unembedding(token_id)) + np.linalg.norm(mean)
    rounding = _ROUNDING if extremes is None else _ROUNDED_TWICE
    highest, lowest, slack = [], [], []
    for place, layer in enumerate(layers):
        poll()
        slack.append(rounding * model.lengths(layer) * length)
        if extremes is None:
            highest.append(model.toward(layer, mean))
            lowest.append(highest[-1])
        else:
            highest.append(extremes[place].largest.astype(scores.dtype))
            lowest.append(extremes[place].smallest.astype(scores.dtype))
    room = np.concatenate(slack)
    as_it_is: Bools = scores >= np.concatenate(highest) - room
    flipped: Bools = (scores <= np.concatenate(lowest) + room) & (scores < 0)
    if sign == "+":
        return as_it_is
    return flipped if sign == "-" else flipped | (as_it_is & (scores >= 0))


def _unused(model: Writes) -> list[int]:
    """Rows of the unembedding that no token has."""
    return [row for row in model.vocabulary.unused_ids if row < model.d_vocab]


def _mean_of_tokens(model: Writes) -> Floats:
    """The mean of the unembedding over the rows that are tokens: [d_model]."""
    mean, d_vocab = model.mean_unembedding(), model.d_vocab
    unused = _unused(model)
    if not unused:
        return mean
    lost = np.sum([model.unembedding(row) for row in unused], axis=0)
    of_tokens: Floats = (mean * d_vocab - lost) / (d_vocab - len(unused))
    return of_tokens


def _score_rows(
    model: Writes,
    neurons: Sequence[NeuronId],
    token_ids: Sequence[int],
    *,
    flip_negative: bool,
    poll: Poll,
) -> list[NeuronScore]:
    """The row of each neuron for the token at its place."""
    poll()
    reading = {}
    for token_id in dict.fromkeys(token_ids):
        model.check_token(token_id)
        reading[token_id] = np.linalg.norm(model.unembedding(token_id))
    directions = model.directions(neurons)
    congruence = model.congruences(directions)  # [neurons, d_vocab]
    own = congruence[np.arange(len(neurons)), np.asarray(token_ids, dtype=np.intp)]
    lengths = np.linalg.norm(directions, axis=1) * np.array([reading[token_id] for token_id in token_ids])
    cosine = cosines(own, lengths)
    flipped = own < 0 if flip_negative else np.zeros(len(neurons), dtype=bool)
    (ranks,), top_ids, top_congruences = among_tokens(model, congruence, own[None], flipped)
    rows = []
    for number, neuron in enumerate(neurons):
        rows.append(
            NeuronScore(
                neuron=neuron,
                layer=neuron.layer,
                index=neuron.index,
                congruence=float(own[number]),
                cosine=float(cosine[number]),
                token_rank=int(ranks[number]),
                top_token=model.vocabulary.token(int(top_ids[number])),
                top_congruence=float(top_congruences[number]),
            )
        )
    return rows


def cosines(congruences: Floats, lengths: Floats) -> Floats:
    """Congruences over the lengths of what writes and what reads, multiplied; 0 where nothing is written."""
    of_both: Floats = congruences / np.maximum(lengths, np.finfo(lengths.dtype).tiny)
    return of_both


def among_tokens(
    model: Writes, congruence: Floats, asked: Floats, flipped: Bools
) -> tuple[Ints, Ints, Floats]:
    """Where congruences stand among those with all tokens, and the tokens that neurons promote most.

    Args:
        congruence: of each neuron with every token [neurons, d_vocab]; overwritten.
        asked: [tokens, neurons]. flipped: the neurons that are read as -W_out [neurons].
    Returns:
        The ranks [tokens, neurons], the top tokens' ids, and their congruences, which keep their sign
        [neurons].
    """
    direction = np.where(flipped, -1.0, 1.0).astype(congruence.dtype)
    if flipped.any():
        congruence *= direction[:, None]
    congruence[:, _unused(model)] = -np.inf
    ranks = np.stack([(congruence > row[:, None]).sum(axis=1) + 1 for row in asked * direction])
    top_ids = congruence.argmax(axis=1)
    return ranks, top_ids, congruence[np.arange(len(top_ids)), top_ids] * direction


def score_neurons(
    model: Writes, neurons: Sequence[NeuronId], token_id: int, *, sign: Sign = "+"
) -> list[NeuronScore]:
    """Ranking rows of given neurons for one token, in the given order."""
    asked = [token_id] * len(neurons)
    return _score_rows(model, neurons, asked, flip_negative=sign != "+", poll=no_poll)


def own_tokens(model: Writes, neurons: Sequence[NeuronId]) -> dict[NeuronId, Token]:
    """The token that each neuron promotes most; `BLOCK_NUMBERS` congruences are formed at a time."""
    size = max(1, BLOCK_NUMBERS // model.d_vocab)
    some = (neurons[start : start + size] for start in range(0, len(neurons), size))
    return {score.neuron: score.top_token for names in some for score in score_neurons(model, names, 0)}


def neuron_tokens(
    model: Writes, neuron: NeuronId, top: int
) -> tuple[tuple[TokenCongruence, ...], tuple[TokenCongruence, ...]]:
    """The tokens a neuron promotes most, largest congruence first, and suppresses most, smallest first."""
    congruence = model.congruences(model.directions([neuron]))[0]
    unused = _unused(model)
    count = min(top, len(congruence) - len(unused))

    def rows(ids: npt.NDArray[np.integer[Any]]) -> tuple[TokenCongruence, ...]:
        return tuple(
            TokenCongruence(int(i), model.vocabulary.texts[int(i)], float(congruence[i])) for i in ids
        )

    congruence[unused] = -np.inf
    promoted = rows(np.argsort(-congruence, kind="stable")[:count])
    congruence[unused] = np.inf
    return promoted, rows(np.argsort(congruence, kind="stable")[:count])
