"""lookups-tui: from a token to the neurons that promote it, and to the heads that look its context up.

`import tui_lookups` loads nothing heavy; `tui_lookups.Explorer` is resolved on first use (PEP 562).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tui_lookups.version import __version__

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer as Explorer

__all__ = ["Explorer", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Explorer":
        from tui_lookups.explorer import Explorer

        return Explorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
