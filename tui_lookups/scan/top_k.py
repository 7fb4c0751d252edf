"""The running top k of (value, prompt) pairs, mergeable in any order and split with the identical result.

1. A float32 value and a prompt id make one int64 key: the order-preserving int32 of the value in the high
   half, 0xFFFFFFFF - prompt_id in the low half. A larger key is a larger value or, on exactly equal
   values, a smaller prompt id; -0.0 counts as 0.0.
2. No two prompts share a key, so the k largest keys of a set do not depend on how it was cut up or in
   which order the pieces were merged. Positions travel along.
3. Empty slots hold EMPTY, below the key of any finite value.
4. Where prompts are known to be copies (copies.py), the best key of each text is kept. "The k largest of the
   largest keys of all texts" does not depend on order or cuts either: what is dropped has a better one of its
   text, or k better texts, in whatever it is merged into.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

EMPTY = torch.iinfo(torch.int64).min
"""Key of a slot nothing has been put in."""

MAX_PROMPTS = 0xFFFFFFFF
"""Prompt ids must lie below this."""

_LOW = 0xFFFFFFFF
_ALL_BUT_SIGN = 0x7FFFFFFF


def encode_keys(values: Tensor, prompt_ids: Tensor) -> Tensor:
    """Sortable keys, int64.

    Args:
        values: float32.
        prompt_ids: int64, at least one axis, a shape that broadcasts with that of `values`.
    """
    bits = (values.to(torch.float32) + 0.0).view(torch.int32)  # -0.0 + 0.0 is 0.0
    bits ^= (bits >> 31) & _ALL_BUT_SIGN
    return torch.add(_LOW - prompt_ids, bits, alpha=1 << 32)


def key_values(keys: Tensor) -> Tensor:
    """The float32 values in the keys; NaN for EMPTY."""
    ordered = (keys >> 32).to(torch.int32)
    bits = torch.where(ordered < 0, ordered ^ _ALL_BUT_SIGN, ordered)
    return bits.view(torch.float32)


def key_prompt_ids(keys: Tensor) -> Tensor:
    """The prompt ids in the keys, int64; MAX_PROMPTS for EMPTY."""
    return _LOW - (keys & _LOW)


def rows_to_merge(keys: Tensor, best: Tensor) -> tuple[Any, ...]:
    """An index of the rows of a running top k that new values can change.

    On a CPU one comparison is cheaper than selecting again: late in a scan few rows change. It is all rows
    where most change, since picking them out takes a copy of what is merged, and on an accelerator, where
    the look at the data would make the host wait.

    Args:
        keys: [..., k], sorted best first.
        best: [...] float32, the largest of the new values of each row.
    """
    if keys.device.type != "cpu":
        return (...,)
    changed = (encode_keys(best, torch.zeros(1, dtype=torch.int64)) > keys[..., -1]).nonzero(as_tuple=True)
    return changed if 2 * len(changed[0]) < best.numel() else (...,)


def merge_top_k(
    keys: Tensor, positions: Tensor, new_keys: Tensor, new_positions: Tensor, texts: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The running top k with new entries merged in: keys and positions, sorted, best first.

    Args:
        keys, positions: [..., k], int64 and int32, sorted best first.
        new_keys, new_positions: [..., n], int64 and int32; no key may be in `keys` already.
        texts: [prompts + 1] int64, the text of each prompt, the last place for empty slots; of prompts of
            one text the best is kept. None where no new prompt has the text of another one.
    """
    every_key, every_position = torch.cat([keys, new_keys], -1), torch.cat([positions, new_positions], -1)
    if texts is not None:
        _empty_copies(every_key, every_position, texts)
    best, columns = every_key.topk(keys.shape[-1])
    return best, every_position.gather(-1, columns)


def _empty_copies(keys: Tensor, positions: Tensor, texts: Tensor) -> None:
    """Empty every slot whose text has a larger key in its row, in place; [..., n] both."""
    order = keys.argsort(descending=True)
    ids = key_prompt_ids(keys).clamp_(max=len(texts) - 1)
    sorted_texts, columns = texts.take(ids).gather(-1, order).sort(stable=True)  # best first within a text
    later = order.gather(-1, columns)[..., 1:]
    again = torch.zeros_like(keys, dtype=torch.bool)
    again.scatter_(-1, later, sorted_texts[..., 1:] == sorted_texts[..., :-1])
    keys.masked_fill_(again, EMPTY)
    positions.masked_fill_(again, 0)
