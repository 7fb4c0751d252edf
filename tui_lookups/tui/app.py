"""The application: composes the screens, holds the basket and the theme, and the keys that work anywhere."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.screen import Screen

from tui_lookups.errors import LookupsError
from tui_lookups.results import Selection
from tui_lookups.tui import themes
from tui_lookups.tui.clipboard import osc52
from tui_lookups.tui.door import Door
from tui_lookups.tui.screens.walk import WalkScreen
from tui_lookups.tui.shading import Palette, ansi_palette
from tui_lookups.tui.widgets.hints import Hints, unique
from tui_lookups.visible import visible_token

if TYPE_CHECKING:
    from tui_lookups.tui.screens.basket import BasketScreen


class LookupsApp(App[None]):
    """Walks from a token to neurons, prompts and heads. Asks everything of `explorer`.

    `token` is opened at once; without it the explorer says what is worth seeing first.
    """

    TITLE = "lookups"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "export", "export", id="app.export", tooltip="Write the marked things as JSON"),
        Binding("b", "basket", "basket", id="app.basket", tooltip="List and remove what is marked"),
        Binding(
            "O", "open_export", "open export", id="app.open", tooltip="Mark what an export holds", show=False
        ),
        Binding(
            "T", "next_theme", "theme", id="app.theme", tooltip="Dark, light, the terminal's", show=False
        ),
        Binding("q", "quit", "quit", id="app.quit", tooltip="Leave; the scan is checkpointed"),
        Binding("question_mark", "help", "help", id="app.help", tooltip="The keys of the focused pane"),
        Binding("ctrl+p", "command_palette", "all", id="app.palette", tooltip="Every action by name"),
    ]

    selection: reactive[Selection] = reactive(Selection(), init=False)

    def __init__(self, explorer: Door, *, token: str | None = None, theme: str | None = None) -> None:
        no_color = "NO_COLOR" in os.environ
        # with NO_COLOR Textual's filter for ANSI apps is the one that writes no colour at all
        super().__init__(ansi_color=True if no_color else None)
        self.explorer = explorer
        self.palette: Palette = ansi_palette()
        self._token = token
        self.animation_level = "none"
        self.register_theme(themes.DARK)
        self.register_theme(themes.LIGHT)
        few_colors = self.console.color_system in (None, "standard", "windows")
        self.theme = theme or (themes.TERMINAL if no_color or few_colors else themes.DARK.name)
        self._set_palette()

    def get_default_screen(self) -> Screen[None]:
        """The walk is the only screen that is always there: one layout, one paint."""
        return WalkScreen(self.explorer, self._token, self.size)

    def on_mount(self) -> None:
        # After the first frame: loading imports torch, and would hold it up.
        self.call_after_refresh(self.explorer.start)

    # --- theme ---

    def _set_palette(self) -> None:
        self.palette = themes.palette_for(
            self.current_theme, ansi=self.native_ansi_color, no_color=self.no_color
        )

    def _watch_theme(self, theme_name: str) -> None:
        self._set_palette()
        super()._watch_theme(theme_name)

    def action_next_theme(self) -> None:
        """The next of dark, light and the terminal's own colours."""
        at = themes.CYCLE.index(self.theme) if self.theme in themes.CYCLE else -1
        self.theme = themes.CYCLE[(at + 1) % len(themes.CYCLE)]
        self.say(f"Theme {self.theme}.")

    # --- basket ---

    def watch_selection(self) -> None:
        self.walk_screen.selection_changed()

    @property
    def walk_screen(self) -> WalkScreen:
        """The main screen."""
        screen = self.screen_stack[0]
        assert isinstance(screen, WalkScreen)
        return screen

    def action_basket(self) -> None:
        """List what is marked."""
        from tui_lookups.tui.screens.basket import BasketScreen

        screen: BasketScreen = BasketScreen(self.selection)

        def closed(selection: Selection | None) -> None:
            if selection is not None:
                self.selection = selection

        self.push_screen(screen, closed)

    def action_export(self) -> None:
        """Ask where to, then write the basket."""
        if not len(self.selection):
            self.say("Nothing is marked yet: space marks what is under the cursor.")
            return
        from tui_lookups.tui.screens.export import ExportScreen, default_name

        token = self.walk_screen.walk.token
        name = default_name("selection" if token is None else visible_token(token.text))
        self.push_screen(ExportScreen(self.explorer, self.selection, name), self._exported)

    def _exported(self, message: str | None) -> None:
        if message:
            self.say(message)

    def action_open_export(self) -> None:
        """Ask for an export and mark what it holds."""
        from tui_lookups.tui.basket import merge
        from tui_lookups.tui.screens.open_export import OpenExportScreen

        def opened(selection: Selection | None) -> None:
            if selection is not None:
                self.selection = merge(self.selection, selection)
                self.say(f"{len(selection)} things marked from the export; b lists them.")

        self.push_screen(OpenExportScreen(self.explorer), opened)

    # --- help, copying, leaving ---

    def get_key_display(self, binding: Binding) -> str:
        """Enter by its name: the arrow Textual shows for it is this app's glyph for a newline."""
        if binding.key == "enter" and not binding.key_display:
            return "enter"
        return super().get_key_display(binding)

    def action_help(self) -> None:
        """The keys that work where the focus is."""
        from tui_lookups.tui.screens.help import HelpScreen

        self.push_screen(HelpScreen(unique(self.screen.active_bindings)))

    def action_help_quit(self) -> None:
        """ctrl+c: people expect it to leave; say how instead of leaving by accident."""
        self.say("q quits (ctrl+q anywhere).")

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Every action that has a key on `screen`, for the palette."""
        for active in unique(screen.active_bindings):
            binding = active.binding
            if not binding.id or not binding.tooltip or binding.id == "app.palette":
                continue
            title = f"{binding.description} ({self.get_key_display(binding)})"
            action, node = binding.action, active.node

            async def run(action: str = action, node: object = node) -> None:
                await self.run_action(action, node)  # type: ignore[arg-type]

            yield SystemCommand(title, binding.tooltip, run)
        for name in themes.CYCLE:
            yield SystemCommand(f"Theme {name}", "Change the colours", partial(setattr, self, "theme", name))

    def copy_to_clipboard(self, text: str) -> None:
        """Copy by OSC 52, also through tmux; says what was copied or why not."""
        try:
            sequence = osc52(text, tmux=bool(os.environ.get("TMUX")))
        except LookupsError as error:
            self.say(str(error))
            return
        self._clipboard = text
        if self._driver is not None:
            self._driver.write(sequence)
        self.say(f"Copied {len(text):,} characters.")

    def say(self, text: str) -> None:
        """A short message on the bottom line of the screen that has one; never parsed as markup."""
        for screen in reversed(self.screen_stack):
            for hints in screen.query(Hints):
                hints.say(text)
                return
