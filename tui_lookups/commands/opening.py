"""The door the app goes through: its explorer is made behind the first paint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.commands import invocation
from tui_lookups.results.status import Status
from tui_lookups.tui.late_door import late_door

if TYPE_CHECKING:
    from tui_lookups.settings import Settings
    from tui_lookups.tui.door import Door


def door_of(settings: Settings) -> Door:
    """A door to an explorer with these settings."""
    waiting = Status("starting", "starting", settings.device, settings.dtype, None, None, None)
    return late_door(lambda: invocation.open_explorer(settings), waiting)
