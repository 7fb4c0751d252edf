"""lookups-tui: from a token to the neurons that promote it, and to the heads that look its context up.

`import tui_lookups` loads nothing heavy; `tui_lookups.Explorer`, and `tui_lookups.to_frame`, which makes a
data frame of what it answers, are resolved on first use (PEP 562).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from tui_lookups.version import __version__

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer as Explorer
    from tui_lookups.exports.tables import to_frame as to_frame

__all__ = ["Explorer", "__version__", "to_frame"]

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read by the hub's library once, when it is imported


def __getattr__(name: str) -> Any:
    if name == "Explorer":
        from tui_lookups.explorer import Explorer

        return Explorer
    if name == "to_frame":
        from tui_lookups.exports.tables import to_frame

        return to_frame
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
