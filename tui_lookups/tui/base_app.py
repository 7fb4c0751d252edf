"""The app without its screens: options, theme and palette, plain text, keys, copying, and what is written.

Panes and screens know the app as this; `app.py` adds the walk and what is opened over it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

from textual import events
from textual.app import App
from textual.binding import Binding
from textual.reactive import reactive
from textual.screen import Screen
from textual.widgets import Input

from tui_lookups.errors import LookupsError, SettingsError
from tui_lookups.results import Selection
from tui_lookups.tui.paint import themes
from tui_lookups.tui.paint.shading import ansi_palette
from tui_lookups.tui.state.layouts import MIN_HEIGHT, MIN_WIDTH, layout_for
from tui_lookups.tui.state.tasks import Tasks
from tui_lookups.tui.terminal import textual_private
from tui_lookups.tui.terminal.diff_output import DiffUpdate, TerminalContents
from tui_lookups.tui.terminal.key_queue import KeyQueue
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.paragraphs import Paragraphs

if TYPE_CHECKING:
    from rich.console import RenderableType
    from textual.await_complete import AwaitComplete
    from textual.dom import DOMNode

    from tui_lookups.results import Item
    from tui_lookups.tui.paint.shading import Palette
    from tui_lookups.tui.state.opening import Opening
    from tui_lookups.tui.state.options import Options


def app_of(node: DOMNode) -> BaseApp:
    """The app that a pane or a screen is in."""
    return cast("BaseApp", node.app)


class BaseApp(App[None]):
    """What panes and screens may use of the app they are in."""

    selection: reactive[Selection] = reactive(Selection(), init=False)
    """What is marked."""
    plain: reactive[bool] = reactive(False, init=False)
    """Whether panes are lines of plain text, for a screen reader."""

    def __init__(self, options: Options, theme: str | None, opening: Opening | None) -> None:
        """`opening`: the way to open another model. Raises SettingsError for a theme that does not exist."""
        no_color = "NO_COLOR" in os.environ
        # with NO_COLOR Textual's filter for ANSI apps is the one that writes no colour at all
        super().__init__(ansi_color=True if no_color else None)
        self.options = options
        self.opening = opening
        self.palette: Palette = ansi_palette()
        self.tasks = Tasks()
        self.key_queue = KeyQueue(self, super().on_event)
        self._sent = TerminalContents()
        self._shown_keys: dict[str, str] = {}
        self.animation_level = "none"
        self.register_theme(themes.DARK)
        self.register_theme(themes.LIGHT)
        few_colors = self.console.color_system in (None, "standard", "windows")
        theme = theme or options.theme
        if theme is not None and theme not in self.available_themes:
            raise SettingsError(
                f"There is no theme {theme!r}.", f"Themes are {', '.join(sorted(self.available_themes))}."
            )
        calm = options.low_bandwidth or no_color or few_colors
        textual_private.begin_theme(self, theme or (themes.TERMINAL if calm else themes.DARK.name))
        self.set_reactive(BaseApp.plain, options.plain)
        self.set_class(options.plain, "-plain")
        self.set_class(options.low_bandwidth, "-low")
        self._set_palette()

    # --- theme ---

    def _set_palette(self) -> None:
        self.palette = themes.palette_for(
            self.current_theme,
            ansi=self.native_ansi_color,
            no_color=self.no_color,
            low=self.options.low_bandwidth,
            words=self.plain,
        )

    def get_css_variables(self) -> dict[str, str]:
        """Those of the theme, and the colour of frames."""
        self.theme_variables = self.get_theme_variable_defaults() | themes.css_variables(self.current_theme)
        return self.theme_variables

    def watch_theme(self) -> None:
        self._set_palette()

    def action_next_theme(self) -> None:
        """The next of dark, light and the terminal's own colours."""
        at = themes.CYCLE.index(self.theme) if self.theme in themes.CYCLE else -1
        self.theme = themes.CYCLE[(at + 1) % len(themes.CYCLE)]
        self.show_message(f"Theme {self.theme}.")

    # --- what is written ---

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        """Send only what the terminal does not show already."""
        if textual_private.is_update(renderable):
            super()._display(screen, DiffUpdate(renderable, self._sent))  # type: ignore[arg-type]
        else:
            super()._display(screen, renderable)

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, (events.Key, events.Paste)) and not event.is_forwarded:
            # an enter from before the terminal was the app's arrives as a line feed
            if self._too_small_for(event):
                return
            enter = isinstance(event, events.Key) and event.key == "ctrl+j"
            await self.key_queue.take(events.Key("enter", "\r") if enter else event)
        elif not (isinstance(event, events.Key) and self.key_queue.closing):
            await super().on_event(event)

    def _too_small_for(self, event: events.Key | events.Paste) -> bool:
        """Whether a key is not taken: below the least size nobody sees what it does, but for the way out."""
        if layout_for(*self.size) != "small":
            return False
        way, usual = ("line.leave", "escape") if isinstance(self.focused, Input) else ("app.quit", "q,ctrl+q")
        keys = textual_private.own_key(self, way) or usual
        if isinstance(event, events.Key) and event.key in keys.split(","):
            return False
        leads = f"{self.key_of(way)} {'quits' if way == 'app.quit' else 'leaves the line'}"
        self.show_message(f"Too small: {MIN_WIDTH} x {MIN_HEIGHT} cells are needed; {leads}.")
        return True

    def on_resize(self) -> None:
        self._sent.forget()

    def on_paste(self) -> None:
        """What no line has taken."""
        self.show_message("Nothing here takes a pasted text: open a line first.")

    def pop_screen(self) -> AwaitComplete:
        """Close the screen on top, and hold nothing of it."""
        textual_private.let_go_of_closed()
        return super().pop_screen()

    def settle_size(self) -> None:
        """Take over a new size that is still waiting to be."""
        textual_private.settle_size(self)

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
            self.show_message("All of the text is on screen." if by > 0 else "This is where the text begins.")

    def read_styles(self, sheet: Path) -> None:
        """Read a style sheet, unless it is: the first screen that has it would style all there is anew."""
        if not self.stylesheet.has_source(str(sheet)):
            self.stylesheet.add_source(sheet.read_text("utf-8"), (str(sheet), ""))

    @property
    def few_updates(self) -> bool:
        """Whether every byte counts, or a screen reader reads each of them out."""
        return self.options.low_bandwidth or self.plain

    # --- plain text ---

    def watch_plain(self, plain: bool) -> None:
        self.set_class(plain, "-plain")
        self._set_palette()
        self.show_terminal_cursor()

    def show_terminal_cursor(self) -> None:
        """Plain text: the terminal's own cursor is on the line of ours, for a screen reader follows it."""
        textual_private.write(self, "\x1b[?25h" if self.plain else "\x1b[?25l")

    def action_plain(self) -> None:
        """Panes as lines of plain text, or as they were."""
        self.plain = not self.plain
        self.show_message(
            f"Plain text; {self.key_of('app.plain')} goes back." if self.plain else "Back to panes."
        )

    # --- keys, copying, messages ---

    def get_key_display(self, binding: Binding) -> str:
        """Enter by its name: the arrow Textual shows for it is this app's glyph for a newline."""
        if binding.key == "enter" and not binding.key_display:
            return "enter"
        return super().get_key_display(binding)

    def action_help_quit(self) -> None:
        """ctrl+c: people expect it to leave; say how instead of leaving by accident."""
        leave = self.key_of("line.leave")
        self.show_message(f"{self.key_of('app.quit')} quits. If you are typing, {leave} ends that first.")

    def copy_to_clipboard(self, text: str) -> None:
        """Copy through tmux, or by OSC 52; says what was done or why not."""
        textual_private.remember_copied(self, text)
        self.run_worker(self._copy(text), group="copy", exclusive=True)

    async def _copy(self, text: str) -> None:
        from tui_lookups.tui.terminal.clipboard import load_tmux_buffer, osc52

        tmux, count = bool(os.environ.get("TMUX")), f"{len(text):,} characters"
        if tmux and (where := await load_tmux_buffer(text)):
            self.show_message(f"Copied {count} {where}.")
            return
        try:
            sequence = osc52(text, tmux=tmux)
        except LookupsError as error:
            self.show_message(str(error))
            return
        if not textual_private.write(self, sequence):
            super().copy_to_clipboard(text)
        self.show_message(f"Sent {count} to the terminal's clipboard (OSC 52).")

    def note_on(self, item: Item) -> None:
        """Ask for a note on something, which is marked with it."""
        raise NotImplementedError

    def show_message(self, text: str) -> None:
        """A short message on the bottom line of the screen that has one; never parsed as markup."""
        for screen in reversed(self.screen_stack):
            for hints in screen.query(Hints):
                hints.show_message(text)
                return
