"""The Explorer the app is given: it is made behind the first paint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.commands import invocation
from tui_lookups.results.status import Status
from tui_lookups.tui.lazy_explorer import lazy_explorer

if TYPE_CHECKING:
    from tui_lookups.settings import Settings
    from tui_lookups.tui.explorer_protocol import ExplorerLike


def explorer_for_app(settings: Settings) -> ExplorerLike:
    """An Explorer with these settings, made when it is first asked something."""
    waiting = Status("starting", "", settings.device, settings.dtype, None, None, None, asked=settings.model)
    return lazy_explorer(lambda: invocation.open_explorer(settings), waiting)
