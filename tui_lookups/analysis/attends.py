"""Why a head attends from a query to a key: the advantage of its score, split (method.md, section 10).

1. The **advantage** is the score at the key less the mean of all scores under the pattern: the softmax does
   not see what all keys share. What depends on distance alone (ALiBi) is in the score.
2. **Key side**: the query held, it is linear in the stream at all keys, weighted by 1 at the key less the
   pattern. So a head there counts against the same head at the other positions.
3. **Query side**: the keys held, it is linear in the stream at the query.
4. **Pairs**: groups of components of the query meet groups of components of the keys in the space of queries
   and keys, [d_head]. Rows sum to the query side, columns to the key side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tui_lookups.analysis.attribution import require_closure
from tui_lookups.analysis.head_reading import (
    HeadOnText,
    Sum,
    as_sums,
    read_head,
    relative,
)
from tui_lookups.errors import LookupsError, Poll, no_poll
from tui_lookups.ids import HeadId, check_position
from tui_lookups.model.components import beside_roles
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.model.summed import Readers, Summed, summed
from tui_lookups.results.components import Contributions

Floats = npt.NDArray[np.float64]

_MOST_NUMBERS = 2**25
"""Of the vectors that read the stream on behalf of keys: more of them take more passes."""


@dataclass(frozen=True, eq=False)
class Advantage:
    """Why a head attends to a key.

    Attributes:
        allowed: the positions that it may attend to, ascending; `weights` and `scores` are theirs.
        advantage: target of the key side and of the query side.
        groups: rows (query) and columns (key) of `pairs`.
        soft_cap: of the scores; None where there is none.
    """

    key: int
    allowed: tuple[int, ...]
    weights: tuple[float, ...]
    scores: tuple[float, ...]
    advantage: float
    key_side: Contributions
    query_side: Contributions
    groups: tuple[str, ...]
    pairs: Floats
    soft_cap: float | None


def attended(
    model: LookupModel,
    head: HeadId,
    row: Sequence[int],
    query: int,
    key: int | None = None,
    *,
    top: int,
    poll: Poll = no_poll,
) -> Advantage:
    """Why a head attends from a query to a key, the `top` largest neurons of either side named.

    Args:
        row: token ids; only those up to `query` matter.
        key: by default `key_of_largest_weight`.
    Raises:
        BadIdError, LookupsError: no such head or position, or a key that the head cannot attend to.
        UnsupportedModelError: attention of the family cannot be read, or a sum does not close.
    """
    text = read_head(model, head, row, query, poll)
    handed = text.reading.handed
    mask = handed.may_attend(head.index, query)
    allowed = torch.nonzero(mask).flatten().tolist()
    key = key_of_largest_weight(allowed, text.pattern.tolist()) if key is None else key
    check_position(key, len(row))
    if key not in allowed:
        raise LookupsError(
            f"{head} cannot attend from position {query} to position {key}.",
            f"From there it attends to positions {allowed[0]} to {allowed[-1]}.",
        )
    against = -text.pattern
    against[key] += 1
    scores = handed.scores(head.index, query)
    advantage = float(against @ scores)
    between = float(against.abs() @ scores.abs())
    sides, sums = _sides(text, against, key, advantage, between)
    of_the_query, *of_keys = _images(text, against)
    # One pass for all; a long text's keys take some more.
    asked = [sides, text.readers(of_the_query), text.readers(of_keys[0])]
    of_sides, *images = summed(model, text.tokens, asked, head.layer, poll=poll)
    for products in of_keys[1:]:
        images += summed(model, text.tokens, [text.readers(products)], head.layer, poll=poll)
    key_side, query_side = as_sums(text, of_sides, sums, top)
    groups, pairs = _pairs(text, against, images[0], images[1:])
    off = relative(advantage - float(pairs.sum()), pairs, between)
    require_closure(model, f"a score of {head}", off)
    return Advantage(
        key=key,
        allowed=tuple(allowed),
        weights=tuple(text.pattern[allowed].tolist()),
        scores=tuple(scores[allowed].tolist()),
        advantage=advantage,
        key_side=key_side,
        query_side=query_side,
        groups=groups,
        pairs=pairs,
        soft_cap=handed.soft_cap,
    )


def key_of_largest_weight(allowed: Sequence[int], weights: Sequence[float]) -> int:
    """The position that a head attends to most, position 0 left out where there is another.

    Many heads rest on the first token, begin-of-text or not, where they find nothing to say.
    """
    beyond = [position for position in allowed if position > 0] or allowed
    return max(beyond, key=lambda position: weights[position])


def _sides(
    text: HeadOnText, against: Tensor, key: int, advantage: float, between: float
) -> tuple[Readers, list[Sum]]:
    """Steps 2 and 3: what reads the stream for either side, and what that comes to.

    Args:
        against: 1 at the key, less the pattern, [pos].
        between: see `Sum`.
    """
    handed, q = text.reading.handed, text.position
    queries, keys, _ = text.query_key_value
    query_at_rest, keys_at_rest, _ = text.at_rest
    query, mean = queries[q].detach(), against @ keys.detach()
    factor, distance = handed.factor, float(against @ handed.distances(text.head.index, q))
    products = torch.stack([factor * (against @ keys @ query), factor * (queries[q] @ mean)])
    what = f"the advantage of {text.head} from position {q} to {key}"
    sums = [
        Sum(advantage, factor * float(against @ keys_at_rest @ query) + distance, what, between),
        Sum(advantage, factor * float(query_at_rest[q] @ mean) + distance, what, between),
    ]
    return text.readers(products, told=[key, q]), sums


def _images(text: HeadOnText, against: Tensor) -> list[Tensor]:
    """The query, [d_head], and the sum of the keys, in parts of as many numbers as are read in one pass."""
    queries, keys, _ = text.query_key_value
    width = max(1, _MOST_NUMBERS // (len(keys) * text.model.info.d_model))
    return [queries[text.position], *torch.split(against @ keys, width)]


def _pairs(
    text: HeadOnText, against: Tensor, of_query: Summed, of_keys: Sequence[Summed]
) -> tuple[tuple[str, ...], Floats]:
    """Step 4: groups, and what each of the query gives with each of the keys, [query group, key group]."""
    handed, q = text.reading.handed, text.position
    query_at_rest, keys_at_rest, _ = text.at_rest
    query = torch.cat([_by_group(of_query), query_at_rest[q : q + 1].cpu().double()])
    keys = torch.cat([_by_group(part) for part in of_keys], 1)
    keys = torch.cat([keys, (against @ keys_at_rest).unsqueeze(0).cpu().double()])
    cells = handed.factor * (query @ keys.T).numpy()
    cells[-1, -1] += float(against @ handed.distances(text.head.index, q))
    return _group_names(text), cells


def _by_group(found: Summed) -> Tensor:
    """[groups, m], in the order of `_group_names`, but for the last."""
    heads = found.heads.flatten(0, 1)
    constant = [found.attention_biases, found.mlp_biases, *found.beside.values()]
    single = torch.stack([by_layer.sum(0) for by_layer in constant])
    return torch.cat([found.embedding.unsqueeze(0), heads, found.mlps, single])


def _group_names(text: HeadOnText) -> tuple[str, ...]:
    layers, heads = range(text.head.layer), range(text.model.info.n_heads)
    return (
        "embedding",
        *(str(HeadId(layer, head)) for layer in layers for head in heads),
        *(f"L{layer} {text.model.info.kind}s" for layer in layers),
        "attention biases",
        "MLP biases",
        *beside_roles(text.model, layers),
        "bias",
    )
