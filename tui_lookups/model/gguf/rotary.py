"""How a .gguf file says that queries and keys are rotated, as transformers' `rope_parameters`.

1. The base is `rope.freq_base` (10,000 where it is missing), the rotated dimensions `rope.dimension_count`.
2. `rope.scaling.type` none, linear (frequencies divided by one factor) or yarn; others are refused.
3. The tensor `rope_freqs.weight` divides each frequency by a factor of its own (Llama 3's scaling worked
   out). transformers has that as "longrope" with equal short and long factors and attention factor 1:
   frequencies are base^(-2i/d) / factor_i at every length.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tui_lookups.model.gguf.keys import Ledger

_DEFAULT_BASE = 10_000.0


def rotary_parameters(
    ledger: Ledger, head_dim: int, context: int, factors: np.ndarray | None, *, partial: bool = False
) -> dict[str, Any]:
    """`rope_parameters` of a configuration.

    Args:
        head_dim: dimensions of a head.
        context: the model's context length.
        factors: `rope_freqs.weight`, [rotated / 2], or None.
        partial: the family's module can rotate the first dimensions of a head only.
    """
    base = float(ledger.number("rope.freq_base", "rope_theta", default=_DEFAULT_BASE))
    rotated = ledger.whole("rope.dimension_count", "partial_rotary_factor", default=head_dim)
    parameters: dict[str, Any] = {"rope_theta": base}
    if partial:
        parameters["partial_rotary_factor"] = _share(rotated, head_dim)
        if rotated > head_dim or rotated % 2:
            ledger.refuse(f"{ledger.prefix}rope.dimension_count", f"is {rotated}, of {head_dim} dimensions")
    elif rotated != head_dim:
        ledger.refuse(
            f"{ledger.prefix}rope.dimension_count",
            f"is {rotated} of the {head_dim} dimensions of a head; this family rotates all of them",
        )
    parameters.update(_scaling(ledger, context))
    return parameters if factors is None else _with_factors(ledger, parameters, factors, context)


def _share(rotated: int, head_dim: int) -> float:
    """rotated / head_dim, such that transformers, which multiplies and cuts off, finds `rotated` again."""
    share = rotated / head_dim
    return share if int(head_dim * share) == rotated else math.nextafter(share, 2.0)


def _scaling(ledger: Ledger, context: int) -> dict[str, Any]:
    """The kind of scaling and what it needs. `rope.scale_linear` is an early name of the factor."""
    key = f"{ledger.prefix}rope.scaling.type"
    kind = ledger.scalar(key, "linear")
    if kind not in ("none", "linear", "yarn"):
        ledger.refuse(key, f"is {str(kind)[:40]}; none, linear and yarn are known")
        return {"rope_type": "default"}
    if key in ledger.metadata:
        ledger.put("key", key, "applied", "rope_type")
    finetuned = f"{ledger.prefix}rope.scaling.finetuned"
    if finetuned in ledger.metadata:
        ledger.put("key", finetuned, "harmless", "says how the model was trained")
    factor = float(ledger.number("rope.scale_linear", "factor", default=1.0))
    factor = float(ledger.number("rope.scaling.factor", "factor", default=factor))
    ledger.hold("rope.scaling.attn_factor", 1.0, "the factor on attention")
    original = ledger.whole(
        "rope.scaling.original_context_length", "original_max_position_embeddings", default=context
    )
    if kind == "yarn":
        return {
            "rope_type": "yarn",
            "factor": factor,
            "original_max_position_embeddings": original,
            "beta_fast": float(ledger.number("rope.scaling.yarn_beta_fast", "beta_fast", default=32.0)),
            "beta_slow": float(ledger.number("rope.scaling.yarn_beta_slow", "beta_slow", default=1.0)),
        }
    if kind == "none" or factor == 1.0:
        return {"rope_type": "default"}
    return {"rope_type": "linear", "factor": factor}


def _with_factors(ledger: Ledger, found: dict[str, Any], factors: np.ndarray, context: int) -> dict[str, Any]:
    name = "rope_freqs.weight"
    if not bool(np.isfinite(factors).all()) or not bool((factors > 0).all()):
        ledger.put("tensor", name, "refused", "has factors that are not positive numbers")
        return found
    if found["rope_type"] == "yarn":
        ledger.put("tensor", name, "refused", "and yarn scaling together are not known")
        return found
    ledger.put("tensor", name, "applied", "rope_parameters: each frequency divided by its factor")
    if bool((factors == 1.0).all()):
        return found
    linear = float(found.pop("factor", 1.0))
    each = [float(factor) * linear for factor in factors]
    return {
        **found,
        "rope_type": "longrope",
        "short_factor": each,
        "long_factor": each,
        "factor": 1.0,
        "attention_factor": 1.0,
        "original_max_position_embeddings": context,
    }
