"""Congruence to several tokens as one (method.md, section 2).

1. Each member is a token of its own: a matrix-vector product a layer gives all neurons' congruences with it.
2. A neuron's figure is the mean, the largest or the smallest of its members', and its leading member the one
   that has it. Where the sign says so, the neuron is read flipped: its congruences are minus these.
3. Neurons are ranked by it. Only those that are shown are compared with the whole vocabulary: the rows are
   those of each member (congruence.py), read in the set's direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tui_lookups.analysis.congruence import (
    Bools,
    Floats,
    Ints,
    among_tokens,
    best_first,
    cosines,
    first_rows,
    may_be_next_token,
    token_scores,
)
from tui_lookups.errors import Poll, no_poll
from tui_lookups.ids import NeuronId
from tui_lookups.model.file_weights import Extremes, Writes
from tui_lookups.results import AsOne, MemberScore, SetScore, Sign


class Readings(NamedTuple):
    """What a set gets from each neuron: arrays [neurons].

    Attributes:
        figures: the congruence to the set, with its own sign.
        merits: the same in the direction in which the neuron is read: neurons are ranked by it.
        leading: the place of the leading member.
        flipped: whether the neuron is read as -W_out.
    """

    figures: Floats
    merits: Floats
    leading: Ints
    flipped: Bools


def read_set(members: Floats, as_one: AsOne, sign: Sign) -> Readings:
    """What a set gets, from its members' congruences [members, neurons]. Ties go to the first member."""
    as_it_is = _one_way(members, as_one)
    if sign == "+":
        return Readings(as_it_is[0], *as_it_is, np.zeros(members.shape[1], dtype=bool))
    merits, leading = _one_way(-members, as_one)
    if sign == "-":
        return Readings(-merits, merits, leading, merits > 0)
    flipped = merits > as_it_is[0]
    return Readings(
        np.where(flipped, -merits, as_it_is[0]),
        np.where(flipped, merits, as_it_is[0]),
        np.where(flipped, leading, as_it_is[1]),
        flipped,
    )


def _one_way(members: Floats, as_one: AsOne) -> tuple[Floats, Ints]:
    """The figure of each neuron, and its leading member, in one direction."""
    leading = members.argmin(axis=0) if as_one == "all" else members.argmax(axis=0)
    if as_one == "mean":
        return members.mean(axis=0), leading
    return np.take_along_axis(members, leading[None], axis=0)[0], leading


def rank_for_set(
    model: Writes,
    token_ids: Sequence[int],
    *,
    as_one: AsOne,
    top: int,
    layers: Sequence[int],
    sign: Sign = "+",
    next_token_only: bool = False,
    extremes: Sequence[Extremes] | None = None,
    poll: Poll = no_poll,
) -> tuple[SetScore, ...]:
    """A set's neurons, best first; ties by layer, then index. Of one token it is `rank_neurons`.

    Args:
        token_ids: the members, each once.
        top, layers, sign, next_token_only, extremes: as in `rank_neurons`.
    """
    members = np.stack([token_scores(model, token, layers, poll=poll).ravel() for token in token_ids])
    merits = read_set(members, as_one, sign).merits
    order = best_first(merits, top)
    if next_token_only:
        of_a_member = [
            may_be_next_token(model, token_id, layers, scores, sign, extremes, poll)
            for token_id, scores in zip(token_ids, members, strict=True)
        ]
        read_so = np.any(of_a_member, axis=0) & ((merits > 0) | (sign != "-"))
        possible = np.flatnonzero(read_so)
        order = possible[best_first(merits[possible], len(possible))]

    def score(neurons: list[NeuronId]) -> list[SetScore]:
        return score_for_set(model, neurons, token_ids, as_one=as_one, sign=sign, poll=poll)

    def keep(row: SetScore) -> bool:
        return not next_token_only or is_next_token(row, as_one)

    return first_rows(model, layers, order, top, score, keep)


def score_for_set(
    model: Writes,
    neurons: Sequence[NeuronId],
    token_ids: Sequence[int],
    *,
    as_one: AsOne,
    sign: Sign = "+",
    poll: Poll = no_poll,
) -> list[SetScore]:
    """Ranking rows of given neurons for a set, in the given order."""
    poll()
    directions = model.directions(neurons)
    every = model.congruences(directions)  # [neurons, d_vocab]
    readers = [model.unembedding(token_id) for token_id in token_ids]
    lengths = np.linalg.norm(directions, axis=1)
    members = every[:, np.asarray(token_ids, dtype=np.intp)].T  # [members, neurons]
    of_members = cosines(members, lengths * np.array([[np.linalg.norm(reader)] for reader in readers]))
    read = read_set(members, as_one, sign)
    ranks, top_ids, top_congruences = among_tokens(model, every, members, read.flipped)
    if as_one == "mean" and len(token_ids) > 1:
        to_set = cosines(read.figures, lengths * np.linalg.norm(np.mean(readers, axis=0)))
    else:
        to_set = np.take_along_axis(of_members, read.leading[None], axis=0)[0]
    tokens = [model.vocabulary.token(token_id) for token_id in token_ids]
    rows = []
    for column, neuron in enumerate(neurons):
        scores = tuple(
            MemberScore(
                token,
                float(members[member, column]),
                float(of_members[member, column]),
                int(ranks[member, column]),
            )
            for member, token in enumerate(tokens)
        )
        rows.append(
            SetScore(
                neuron=neuron,
                layer=neuron.layer,
                index=neuron.index,
                congruence=float(read.figures[column]),
                cosine=float(to_set[column]),
                token_rank=scores[read.leading[column]].token_rank,
                top_token=model.vocabulary.token(int(top_ids[column])),
                top_congruence=float(top_congruences[column]),
                leading=tokens[read.leading[column]],
                members=scores,
            )
        )
    return rows


def is_next_token(row: SetScore, as_one: AsOne) -> bool:
    """Whether a neuron is a next-token neuron of the set."""
    top_is_member = any(member.token == row.top_token for member in row.members)
    if as_one != "all":
        return top_is_member
    return top_is_member and all(member.token_rank <= len(row.members) for member in row.members)
