"""The entries of the command palette: every action that has a key, other models, the themes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from textual.app import SystemCommand

from tui_lookups.tui.paint import themes
from tui_lookups.tui.widgets.hints import unique

if TYPE_CHECKING:
    from textual.screen import Screen

    from tui_lookups.tui.base_app import BaseApp


def palette_commands(
    app: BaseApp, screen: Screen[object], open_another: Callable[[], None]
) -> Iterator[SystemCommand]:
    """What can be done on `screen`, by name, each with its key; `open_another`: another model."""
    for active in unique(screen.active_bindings):
        binding = active.binding
        if not binding.id or not binding.tooltip or binding.id == "app.palette":
            continue
        title = f"{binding.description} ({app.get_key_display(binding)})"
        action, node = binding.action, active.node

        async def run(action: str = action, node: object = node) -> None:
            await app.run_action(action, node)  # type: ignore[arg-type]

        yield SystemCommand(title, binding.tooltip, run)
    if app.opening is not None:
        yield SystemCommand("Open another model", "Or another corpus; this one is closed", open_another)
    for name in themes.CYCLE:
        yield SystemCommand(f"Theme {name}", "Change the colours", partial(setattr, app, "theme", name))
