"""How strongly a value is shaded, on the screen as on paper. Light: the first paint needs it."""

from __future__ import annotations

LEVELS = 8
"""Steps of shading on each side of zero."""

_FAINT = 0.04  # of the maximum: below it nothing is shaded, or noise would paint the whole text


def level(value: float, maximum: float) -> int:
    """The signed level, -8 to 8, of `value` when `maximum` is the largest magnitude shown."""
    if not maximum > 0 or value != value or abs(value) < _FAINT * maximum:
        return 0
    size = min(LEVELS, int(abs(value) / maximum * LEVELS) + 1)
    return size if value > 0 else -size
