"""The application: composes the screens, holds the basket and the theme, and the keys that work anywhere."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.screen import Screen

from tui_lookups.errors import LookupsError, SettingsError
from tui_lookups.results import Selection
from tui_lookups.tui.basket_actions import BasketActions
from tui_lookups.tui.paint import themes
from tui_lookups.tui.paint.shading import ansi_palette
from tui_lookups.tui.screens.walk import WalkScreen
from tui_lookups.tui.state.options import Options
from tui_lookups.tui.terminal.diff_output import DiffUpdate, TerminalContents
from tui_lookups.tui.terminal.key_queue import KeyQueue
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.paragraphs import WORD_KEYS, Paragraphs

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tui_lookups.results import Status
    from tui_lookups.tui.explorer_protocol import ExplorerLike
    from tui_lookups.tui.paint.shading import Palette
    from tui_lookups.tui.screens.load_problem import Choice
    from tui_lookups.tui.state.opening import Opening

_PATIENCE_SECONDS = 5.0
_PAINTED_SECONDS = 0.2


class LookupsApp(BasketActions, App[None]):
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
            "C", "next_theme", "colours", id="app.theme", tooltip="Dark, light, the terminal's", show=False
        ),
        *WORD_KEYS,
        Binding("ctrl+l", "redraw", "redraw", id="app.redraw", tooltip="Paint the screen anew", show=False),
        Binding(
            "V",
            "plain",
            "plain text",
            id="app.plain",
            tooltip="Panes as lines of plain text, for a screen reader, and back",
            show=False,
        ),
        Binding("q", "quit", "quit", id="app.quit", tooltip="Leave; the scan is checkpointed"),
        Binding("question_mark", "help", "help", id="app.help", tooltip="The keys of the focused pane"),
        Binding(
            "ctrl+p,colon",  # some editors' terminals keep ctrl+p for themselves
            "command_palette",
            "all",
            id="app.palette",
            key_display="^p",
            tooltip="Every action by name",
        ),
    ]

    selection: reactive[Selection] = reactive(Selection(), init=False)
    plain: reactive[bool] = reactive(False, init=False)
    """Whether panes are lines of plain text, for a screen reader."""

    def __init__(
        self,
        explorer: ExplorerLike,
        *,
        token: str | None = None,
        theme: str | None = None,
        options: Options | None = None,
        opening: Opening | None = None,
    ) -> None:
        no_color = "NO_COLOR" in os.environ
        # with NO_COLOR Textual's filter for ANSI apps is the one that writes no colour at all
        super().__init__(ansi_color=True if no_color else None)
        self.explorer = explorer
        self.opening = opening
        self._loading: ExplorerLike | None = None
        self._failed: ExplorerLike | None = None
        self.options = options = Options() if options is None else options
        theme = theme or options.theme
        self.palette: Palette = ansi_palette()
        self._token = token
        self._sent = TerminalContents()
        self._shown_keys: dict[str, str] = {}
        self.key_queue = KeyQueue(self, super().on_event)
        self.animation_level = "none"
        self.register_theme(themes.DARK)
        self.register_theme(themes.LIGHT)
        few_colors = self.console.color_system in (None, "standard", "windows")
        if theme is not None and theme not in self.available_themes:
            raise SettingsError(
                f"There is no theme {theme!r}.", f"Themes are {', '.join(sorted(self.available_themes))}."
            )
        calm = options.low_bandwidth or no_color or few_colors
        # without its watcher, which would have every style parsed twice: what it does is done here
        self.set_reactive(App.theme, theme or (themes.TERMINAL if calm else themes.DARK.name))
        self.set_reactive(LookupsApp.plain, options.plain)
        self.set_class(options.plain, "-plain")
        self.set_class(options.low_bandwidth, "-low")
        self._set_palette()
        self._dress()
        if options.keys:
            from tui_lookups.tui.keymap import checked_keymap

            self.set_keymap(checked_keymap(options.keys))

    def _dress(self) -> None:
        """What a theme changes besides the palette, before anything is parsed: Textual's `_watch_theme`."""
        found = self.current_theme
        self.set_class(True, f"-theme-{found.name}")
        self.set_class(found.dark, "-dark-mode")
        self.set_class(not found.dark, "-light-mode")
        self.stylesheet.set_variables(self.get_css_variables())
        self._refresh_truecolor_filter(self.ansi_theme)

    def get_default_screen(self) -> Screen[None]:
        """The walk is the only screen that is always there: one layout, one paint."""
        return WalkScreen(self.explorer, self._token, self.size)

    def on_mount(self) -> None:
        if self.plain:
            self.show_terminal_cursor()
        self.set_timer(_PATIENCE_SECONDS, self.begin_loading)

    # --- the model ---

    def begin_loading_soon(self) -> None:
        """Once the first answer, or why there is none, is painted."""
        if self._loading is not self.explorer:
            self.set_timer(_PAINTED_SECONDS, self.begin_loading)

    def begin_loading(self) -> None:
        """Load the model and scan, once per explorer.

        Loading imports torch, which holds up everything else for seconds: the walk calls this when its
        first answer is there or has failed, a timer where neither comes. What cannot be answered from the
        cache loads the model without being told to.
        """
        if self._loading is not self.explorer:
            self._loading = self.explorer
            self.explorer.start()
            if self.screen_stack:  # an app that closes has none any more
                self.walk_screen.offer_session()

    def heed(self, explorer: ExplorerLike, status: Status) -> None:
        """Offer a way on, once per explorer, where nothing could be loaded."""
        new = explorer is self.explorer and explorer is not self._failed
        if status.stage == "failed" and new and self.opening is not None:
            self._failed = explorer
            self._ask_what_to_open(self.opening, status.message)

    def open_another(self) -> None:
        """Ask for another model or corpus."""
        if self.opening is not None:
            self._ask_what_to_open(self.opening, "")

    def _ask_what_to_open(self, opening: Opening, problem: str) -> None:
        from tui_lookups.tui.screens.load_problem import LoadProblemScreen

        def chosen(choice: Choice | None) -> None:
            if choice is None and problem:
                self.say(f"To continue: {self.key_of('app.palette')}, then “Open another model”.")
            elif choice is not None:
                # on the app's own queue: this runs on that of the walk that is about to go
                self.call_later(self._go_on, opening, choice)

        self.push_screen(LoadProblemScreen(opening, problem), chosen)

    async def _go_on(self, opening: Opening, choice: Choice) -> None:
        if choice.what == "quit":
            await self.action_quit()
            return
        try:
            await self._open(replace(opening, model=choice.model, corpus=choice.corpus))
        except LookupsError as error:
            self._ask_what_to_open(opening, str(error))

    async def _open(self, opening: Opening) -> None:
        """Start over on another model, with a new explorer and a new walk. Raises SettingsError."""
        explorer = opening.open(opening.model, opening.corpus)
        old, self.explorer, self.opening = self.explorer, explorer, opening
        walk = self.walk_screen
        walk.queries.cancel_all()
        walk._push_result_callback(self, None)  # Textual takes one off, and has put none on a first screen
        await self.switch_screen(WalkScreen(explorer, self._token, self.size))
        self.selection = Selection()  # what was marked is of the other model
        # a scan's last checkpoint may take most of a second
        threading.Thread(target=old.close, name="lookups-close", daemon=True).start()
        self.set_timer(_PATIENCE_SECONDS, self.begin_loading)

    # --- theme ---

    def _set_palette(self) -> None:
        self.palette = themes.palette_for(
            self.current_theme,
            ansi=self.native_ansi_color,
            no_color=self.no_color,
            low=self.options.low_bandwidth,
            words=self.plain,
        )

    def _watch_theme(self, theme_name: str) -> None:
        self._set_palette()
        super()._watch_theme(theme_name)

    def action_next_theme(self) -> None:
        """The next of dark, light and the terminal's own colours."""
        at = themes.CYCLE.index(self.theme) if self.theme in themes.CYCLE else -1
        self.theme = themes.CYCLE[(at + 1) % len(themes.CYCLE)]
        self.say(f"Theme {self.theme}.")

    # --- what is written ---

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        """Send only what the terminal does not show already."""
        if isinstance(renderable, (LayoutUpdate, ChopsUpdate)):
            super()._display(screen, DiffUpdate(renderable, self._sent))  # type: ignore[arg-type]
        else:
            super()._display(screen, renderable)

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, (events.Key, events.Paste)) and not event.is_forwarded:
            # an enter from before the terminal was the app's arrives as a line feed
            enter = isinstance(event, events.Key) and event.key == "ctrl+j"
            await self.key_queue.take(events.Key("enter", "\r") if enter else event)
        elif not (isinstance(event, events.Key) and self.key_queue.closing):
            await super().on_event(event)

    def on_resize(self) -> None:
        self._sent.forget()

    def on_paste(self) -> None:
        """What no line has taken."""
        self.say("Nothing here takes a pasted text: open a line first.")

    def settle_size(self) -> None:
        """Take a new size over that is still waiting to be.

        Textual waits with it for a timer of 8 ms, and drops a timer whose task starts later than it is due:
        on a busy machine the app would stay as large as it was, whatever the terminal is by then.
        """
        if self._resize_event is not None:
            self._check_resize()

    def key_of(self, action: str) -> str:
        """The key an action of what is open is on, as it is shown."""
        if action not in self._shown_keys:  # they stay what they were at the start
            self._shown_keys[action] = key_of(self, action)
        return self._shown_keys[action]

    def action_redraw(self) -> None:
        """Paint everything anew: something else wrote on the terminal."""
        self._sent.forget()
        self.screen.refresh(layout=True)

    def action_move_words(self, by: int) -> None:
        """Through the first text on screen that is longer than its place."""
        if not any(text.move(by) for text in self.screen.query(Paragraphs) if text.region.height):
            self.say("All of the text is on screen." if by > 0 else "This is where the text begins.")

    # --- plain text ---

    def watch_plain(self, plain: bool) -> None:
        self.set_class(plain, "-plain")
        self._set_palette()
        self.show_terminal_cursor()
        self.walk_screen.plain_changed()

    def show_terminal_cursor(self) -> None:
        """Plain text: the terminal's own cursor is on the line of ours, for a screen reader follows it."""
        if self._driver is not None:
            self._driver.write("\x1b[?25h" if self.plain else "\x1b[?25l")

    def action_plain(self) -> None:
        """Panes as lines of plain text, or as they were."""
        self.plain = not self.plain
        self.say(f"Plain text; {self.key_of('app.plain')} goes back." if self.plain else "Back to panes.")

    def watch_selection(self) -> None:
        self.walk_screen.selection_changed()

    @property
    def walk_screen(self) -> WalkScreen:
        """The main screen."""
        screen = self.screen_stack[0]
        assert isinstance(screen, WalkScreen)
        return screen

    # --- help, copying, leaving ---

    def get_key_display(self, binding: Binding) -> str:
        """Enter by its name: the arrow Textual shows for it is this app's glyph for a newline."""
        if binding.key == "enter" and not binding.key_display:
            return "enter"
        return super().get_key_display(binding)

    def action_command_palette(self) -> None:
        """Every action by name."""
        from tui_lookups.tui.screens.leaving import Palette

        if not isinstance(self.screen, Palette):
            self.push_screen(Palette(id="--command-palette"))

    def action_help(self) -> None:
        """The keys that work where the focus is."""
        from tui_lookups.tui.screens.help import HelpScreen

        self.push_screen(HelpScreen(self.screen.active_bindings))

    def action_help_quit(self) -> None:
        """ctrl+c: people expect it to leave; say how instead of leaving by accident."""
        leave = self.key_of("line.leave")
        self.say(f"{self.key_of('app.quit')} quits. If you are typing, {leave} ends that first.")

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Every action that has a key on `screen`, for the palette."""
        from tui_lookups.tui.palette_commands import palette_commands

        return palette_commands(self, screen)

    def copy_to_clipboard(self, text: str) -> None:
        """Copy through tmux, or by OSC 52; says what was done or why not."""
        self._clipboard = text
        self.run_worker(self._copy(text), group="copy", exclusive=True)

    async def _copy(self, text: str) -> None:
        from tui_lookups.tui.terminal.clipboard import load_tmux_buffer, osc52

        tmux, count = bool(os.environ.get("TMUX")), f"{len(text):,} characters"
        if tmux and (where := await load_tmux_buffer(text)):
            self.say(f"Copied {count} {where}.")
            return
        try:
            sequence = osc52(text, tmux=tmux)
        except LookupsError as error:
            self.say(str(error))
            return
        if self._driver is not None:
            self._driver.write(sequence)
        self.say(f"Sent {count} to the terminal's clipboard (OSC 52).")

    def say(self, text: str) -> None:
        """A short message on the bottom line of the screen that has one; never parsed as markup."""
        for screen in reversed(self.screen_stack):
            for hints in screen.query(Hints):
                hints.say(text)
                return
