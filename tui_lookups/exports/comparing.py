"""Two JSON documents of the same figures, compared value by value. Pure.

1. Text, whole numbers, truth values and nulls must be the same; decimal numbers may differ by a tolerance.
2. A decimal number's difference is taken relative to the largest figure it stands among (the attributions of
   one decomposition, the activations of one prompt): one that is nearly zero beside the others is rounding
   noise, and other batch sizes or devices give another. The recomputed figures say how large that is.
3. In a token list two neighbours whose congruence is the same within the tolerance may stand the other way
   round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tui_lookups.exports.verification import Difference, Scalar

Json = Any

TOLERANCE = 1e-5
"""Relative difference that other batch sizes and devices make."""

_GROUPS = frozenset({"attributions", "prompt", "tokens", "suppressed", "members"})
"""Keys whose decimal numbers are figures of one kind, and measured against the largest of them."""

_STATS_GROUP = frozenset({"mean", "maximum", "minimum", "edges"})
_MOST_TEXT = 200


class Comparison:
    """Counts what was compared and keeps what differs. Used on one thread."""

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance
        self.checked = 0
        self.largest = 0.0
        self.differing: list[Difference] = []

    def compare(self, exported: Json, recomputed: Json, at: str, scale: float = 0.0) -> None:
        """Compare two values and everything below them.

        Args:
            at: JSON pointer of the exported value.
            scale: the largest figure it stands among.
        """
        if isinstance(exported, dict) and isinstance(recomputed, dict):
            self._compare_objects(exported, recomputed, at, scale)
        elif isinstance(exported, list) and isinstance(recomputed, list):
            self._compare_lists(exported, recomputed, at, scale)
        else:
            self._compare_values(exported, recomputed, at, scale)

    def missing(self, at: str, exported: Scalar, note: str) -> None:
        """An exported value that cannot be worked out again, and why."""
        self.checked += 1
        self.differing.append(Difference(at, _short(exported), None, None, None, note))

    def _compare_objects(
        self, exported: Mapping[str, Json], recomputed: Mapping[str, Json], at: str, scale: float
    ) -> None:
        for key in dict.fromkeys((*exported, *recomputed)):
            path = pointer(at, key)
            if key not in exported or key not in recomputed:
                self._differ(path, exported.get(key), recomputed.get(key), "only one of the two has it")
                continue
            ours = recomputed[key]
            inner = _largest(ours) if key in _GROUPS and not scale else scale
            if at.endswith("/stats"):
                inner = _stats_scale(recomputed) if key in (*_STATS_GROUP, "histogram") else 0.0
            self.compare(exported[key], ours, path, inner)

    def _compare_lists(
        self, exported: Sequence[Json], recomputed: Sequence[Json], at: str, scale: float
    ) -> None:
        if len(exported) != len(recomputed):
            self._differ(at, len(exported), len(recomputed), "how many there are")
            return
        aligned = self._aligned(exported, recomputed, scale)
        for number, (mine, theirs) in enumerate(zip(exported, aligned, strict=True)):
            self.compare(mine, theirs, pointer(at, number), scale)

    def _aligned(self, exported: Sequence[Json], recomputed: Sequence[Json], scale: float) -> Sequence[Json]:
        """`recomputed` with tied tokens in the order of `exported` (step 3)."""
        if not all(isinstance(row, dict) and "congruence" in row and "id" in row for row in recomputed):
            return recomputed
        ids = [row.get("id") for row in exported if isinstance(row, dict)]
        if len(set(ids)) != len(recomputed):
            return recomputed
        by_id = {row["id"]: row for row in recomputed}
        aligned = []
        for id_, row in zip(ids, recomputed, strict=True):
            other = by_id.get(id_, row)
            apart = abs(other["congruence"] - row["congruence"])
            aligned.append(other if apart <= self.tolerance * scale else row)
        return aligned

    def _compare_values(self, exported: Json, recomputed: Json, at: str, scale: float) -> None:
        if isinstance(exported, dict | list) or isinstance(recomputed, dict | list):
            self._differ(at, None, None, "one of the two is null or of another kind")
            return
        if not (_is_number(exported) and _is_number(recomputed)):
            if type(exported) is type(recomputed) and exported == recomputed:
                self.checked += 1
            else:
                self._differ(at, exported, recomputed, "")
            return
        self.checked += 1
        absolute = abs(exported - recomputed)
        largest = max(scale, abs(recomputed)) if scale else max(abs(exported), abs(recomputed))
        relative = absolute / largest if largest else absolute
        whole = isinstance(exported, int) and isinstance(recomputed, int)
        if exported == recomputed or (not whole and relative <= self.tolerance):
            self.largest = max(self.largest, float(relative))
        else:
            self.differing.append(Difference(at, exported, recomputed, float(absolute), float(relative)))

    def _differ(self, at: str, exported: Json, recomputed: Json, note: str) -> None:
        self.checked += 1
        absolute = None
        if _is_number(exported) and _is_number(recomputed):
            absolute = float(abs(exported - recomputed))
        self.differing.append(Difference(at, _short(exported), _short(recomputed), absolute, None, note))


def pointer(at: str, key: str | int) -> str:
    """The JSON pointer of a key or place below `at`."""
    return f"{at}/{str(key).replace('~', '~0').replace('/', '~1')}"


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _largest(value: Json) -> float:
    """The size of the largest decimal number in a value."""
    if isinstance(value, float):
        return abs(value)
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return max(map(_largest, below), default=0.0)


def _stats_scale(stats: Mapping[str, Json]) -> float:
    return max(abs(float(stats.get(key) or 0.0)) for key in ("maximum", "minimum"))


def _short(value: Json) -> Scalar:
    if isinstance(value, str) and len(value) > _MOST_TEXT:
        return value[:_MOST_TEXT] + "…"
    return None if isinstance(value, dict | list) else value
