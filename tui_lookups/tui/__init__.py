"""The terminal application. `run_app` opens it; nothing heavy is imported before.

What the first paint has to import is kept small: values are NamedTuples, for making a frozen dataclass takes
eight times as long, and what only a key needs is imported by its action.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer
    from tui_lookups.tui.state.opening import Opening
    from tui_lookups.tui.state.options import Options

__all__ = ["run_app"]


def run_app(
    explorer: Explorer,
    token: str | None = None,
    *,
    options: Options | None = None,
    opening: Opening | None = None,
) -> int:
    """Run the app on `explorer` until the person leaves; returns the process's exit status.

    With `opening` the person can go on with another model, above all where this one does not load.
    Raises SettingsError for keys or a theme that do not exist, before the terminal is taken over.
    The terminal is given back first, then the explorer is closed (which checkpoints the scan).
    """
    from tui_lookups.tui.running import run

    return run(explorer, token, options, opening)
