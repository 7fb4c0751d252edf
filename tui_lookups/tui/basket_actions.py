"""The app's actions about the basket: listing it, writing it as an export, marking what an export holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import App

from tui_lookups.visible import visible_token

if TYPE_CHECKING:
    from pathlib import Path

    from textual.reactive import reactive

    from tui_lookups.results import Selection
    from tui_lookups.tui.explorer_protocol import ExplorerLike
    from tui_lookups.tui.screens.basket import BasketScreen
    from tui_lookups.tui.screens.walk import WalkScreen
    from tui_lookups.tui.state.reopened import Reopened


if TYPE_CHECKING:
    _App = App[None]
else:

    class _App(metaclass=type(App)):
        """Textual's metaclass, so that what it looks for in an app it finds here, too."""


class BasketActions(_App):
    """A mixin of the app, which holds the selection."""

    explorer: ExplorerLike
    selection: reactive[Selection]
    _last_export: Path | None = None

    if TYPE_CHECKING:  # of the app

        @property
        def walk_screen(self) -> WalkScreen: ...

        def key_of(self, action: str) -> str: ...

        def say(self, text: str) -> None: ...

    def action_basket(self) -> None:
        """List what is marked."""
        from tui_lookups.tui.screens.basket import BasketScreen

        screen: BasketScreen = BasketScreen(self.selection)

        def closed(selection: Selection | None) -> None:
            if selection is not None:
                self.selection = selection
            if screen.opened is not None:
                self.call_later(self.walk_screen.open_marked, screen.opened)

        self.push_screen(screen, closed)

    def action_export(self) -> None:
        """Ask where to, then write the basket."""
        if not len(self.selection):
            self.say(f"Nothing is marked yet: {self.key_of('walk.mark')} marks what is under the cursor.")
            return
        from tui_lookups.tui.screens.export import ExportScreen, default_name

        token = self.walk_screen.walk.token
        name = default_name("selection" if token is None else visible_token(token.text))
        screen = ExportScreen(self.explorer, self.selection, name)

        def exported(message: str | None) -> None:
            if message:
                self.say(message)
                self._last_export = screen.written

        self.push_screen(screen, exported)

    def action_open_export(self) -> None:
        """Ask for an export and mark what it holds."""
        from tui_lookups.tui.screens.open_export import OpenExportScreen, newest_export
        from tui_lookups.tui.state.basket import merge

        def opened(found: Reopened | None) -> None:
            if found is not None:
                self.selection = merge(self.selection, found.selection)
                count = len(found.selection)
                marked = f"{count} thing{'s' * (count != 1)} marked from the export"
                listed = f"{self.key_of('app.basket')} lists {'it' if count == 1 else 'them'}"
                self.say(f"{found.note} {marked}; {listed}.".lstrip())

        path = self._last_export or newest_export()
        self.push_screen(OpenExportScreen(self.explorer, "" if path is None else str(path)), opened)
