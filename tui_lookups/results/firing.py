"""Which sign of activation counts as firing, and where a text fires a neuron most (method.md, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tui_lookups.results.base import Sign, SignSetting

STRENGTH: Mapping[Sign, Callable[[float], float]] = {"+": float, "-": float.__neg__, "both": abs}
"""How strongly an activation fires, by the sign that counts."""


def firing_sign(setting: SignSetting, *, gated: bool) -> Sign:
    """The sign that counts: "auto" is "+", for gated MLPs "both"."""
    if setting != "auto":
        return setting
    return "both" if gated else "+"


def peak_position(activations: Sequence[float], sign: Sign) -> int:
    """The first position that fires most; position 0 counts only where there is no other."""
    positions = range(min(1, len(activations) - 1), len(activations))
    return max(positions, key=lambda position: STRENGTH[sign](activations[position]))
