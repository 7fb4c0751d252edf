"""The terminal application. `run_app` opens it; nothing heavy is imported before."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui_lookups.tui.door import Door

__all__ = ["run_app"]


def run_app(explorer: Door, token: str | None = None, *, theme: str | None = None) -> int:
    """Run the app on `explorer` until the person leaves; returns the process's exit status.

    The terminal is given back first, then the explorer is closed (which checkpoints the scan).
    """
    from tui_lookups.tui.running import run

    return run(explorer, token, theme)
