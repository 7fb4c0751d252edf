"""Leaving a screen once, however many keys were typed ahead."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.await_complete import AwaitComplete
from textual.command import CommandPalette
from textual.widgets import Input

if TYPE_CHECKING:
    from textual._path import CSSPathType
    from textual.screen import Screen


class LeavesOnce:
    """A mixin for the screens over the walk, before Textual's class.

    Textual's `dismiss` takes whatever screen is on top off the stack. A second enter that was typed before
    the screen had gone would so close the screen below, or raise where there is none.
    """

    CSS_PATH: ClassVar[CSSPathType | None] = "later.tcss"

    def dismiss(self, result: Any = None) -> AwaitComplete:
        """End this screen with `result`, unless it is not the one on top (any more)."""
        screen = cast("Screen[Any]", self)
        if screen.app.screen_stack[-1] is not screen:
            return cast("AwaitComplete", AwaitComplete.nothing())  # type: ignore[no-untyped-call]
        return cast("AwaitComplete", super().dismiss(result))  # type: ignore[misc]


class Palette(LeavesOnce, CommandPalette):
    """Textual's command palette, whose cursor stands still: one that blinks writes twice a second."""

    def on_mount(self) -> None:
        self.query_one(Input).cursor_blink = False

    def _action_command_list(self, action: str) -> None:
        # Textual moves by pages from a row's line, which it has not laid out yet where keys are fast.
        with suppress(KeyError):
            super()._action_command_list(action)
