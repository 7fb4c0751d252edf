"""Norms that stand between what is written and what reads it.

See method.md, section 4, "Other norms" and "Post-LN".

1. In most families a norm is a branch off the residual stream: it is met by what reads through it alone, or
   by what one attention or MLP writes ("ln1_post", "ln2_post").
2. In a Post-LN model (OpenAI-GPT, OPT-350M) a norm takes the residual sum itself, and what it gives is the
   stream from there on. A sum is read through its own norm by what stands above it: the one after attention
   by the MLP ("ln2"), the one after the MLP by the next block's attention ("ln1"), the last by the
   unembedding ("ln_final"). What was written before the sum below went through that one's norm as well, so
   every norm from the write up to the sum that is read stands in between.
3. Scales are held. A read vector is carried down through a norm by folding, a write is carried up by the
   norm's linear part; either leaves the scale to be divided by.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor

from tui_lookups.model.norms import Norm
from tui_lookups.model.points import Point
from tui_lookups.model.wiring import NormName, Wiring


class Stage(NamedTuple):
    """Which residual sum is read: how many layers' heads, and how many layers' MLPs, have written into it."""

    heads: int
    mlps: int


def norms_between(wiring: Wiring, layer: int, writer: NormName, reads: Stage) -> list[Point]:
    """The norms between what attention ("ln1_post") or the MLP ("ln2_post") of a layer writes and the sum
    that is read, that nearest to the reader first."""
    if not wiring.post_ln:
        return [Point(writer, layer)] if writer in wiring.blocks[layer].norms else []
    of_layer: dict[NormName, int] = {"ln2": reads.mlps, "ln1": reads.heads}
    passed = [
        Point(name, above)
        for above in range(max(reads) - 1, layer, -1)
        for name, reached in of_layer.items()
        if above < reached
    ]
    own = writer == "ln1_post" and layer < reads.mlps
    return [*passed, Point("ln2", layer)] if own else passed


def norms_above_embedding(wiring: Wiring, reads: Stage) -> list[Point]:
    """The same for the embedding, which what attention of the first layer writes is added to."""
    return norms_between(wiring, 0, "ln1_post", reads) if wiring.post_ln else []


def norm_at(wiring: Wiring, point: Point) -> Norm:
    """The norm whose scale a point is."""
    return wiring.blocks[point.layer].norms[cast(NormName, point.role)]


def carried_down(wiring: Wiring, passed: Sequence[Point], read: Tensor) -> tuple[Tensor, Tensor]:
    """What reads below norms where `read` [d_model, n] reads above them, their scales left to be divided by.

    Returns:
        The vectors, [d_model, n]; and what the bias of the lowest of the norms adds, [n], to be divided by
        the scales of the others.
    """
    constants = read.new_zeros(read.shape[1])
    for point in passed:
        norm = norm_at(wiring, point)
        constants, read = norm.constant(read), norm.fold(read)
    return read, constants


def carried_up(wiring: Wiring, passed: Iterable[Point], written: Tensor) -> Tensor:
    """What is written [..., d_model] below norms, as it is above them, their scales left to be divided by.

    Args:
        passed: as `norms_between` gives them.
    """
    for point in reversed(list(passed)):
        written = norm_at(wiring, point).linear(written)
    return written


def divisor(scales: Sequence[Tensor], like: Tensor) -> Tensor:
    """The product of scales, [..., 1] each; one of no scales."""
    return torch.stack(list(scales)).prod(0) if scales else like.new_ones(1)
