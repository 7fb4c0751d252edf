"""The application: the walk, what is opened over it, the basket, and the keys that work anywhere."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.screen import Screen

from tui_lookups.errors import LookupsError
from tui_lookups.results import Selection
from tui_lookups.tui.base_app import BaseApp
from tui_lookups.tui.screens.walk import WalkScreen
from tui_lookups.tui.state import basket
from tui_lookups.tui.state.options import Options
from tui_lookups.tui.state.undo import BasketSteps
from tui_lookups.tui.terminal import textual_private
from tui_lookups.tui.text.marked import what_was_done
from tui_lookups.tui.widgets.bindings import hidden
from tui_lookups.tui.widgets.paragraphs import WORD_KEYS
from tui_lookups.visible import visible_token

if TYPE_CHECKING:
    from pathlib import Path

    from tui_lookups.explorer import Explorer
    from tui_lookups.results import Item
    from tui_lookups.tui.screens.load_problem import Choice
    from tui_lookups.tui.state.opening import Opening
    from tui_lookups.tui.state.reopened import Reopened
    from tui_lookups.tui.state.undo import Step

_PATIENCE_SECONDS = 5.0
_PAINTED_SECONDS = 0.2


class LookupsApp(BaseApp):
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
        hidden("u", "undo", "undo", "app.undo", "Take the last step of the basket back"),
        hidden("asterisk", "redo", "redo", "app.redo", "Do again what was taken back", "*"),
        hidden("O", "open_export", "open export", "app.open", "Mark what an export holds"),
        hidden("C", "next_theme", "colours", "app.theme", "Dark, light, the terminal's"),
        hidden("L", "sessions", "sessions", "app.sessions", "Sessions by name: open, save, delete"),
        hidden("J", "tasks", "under way", "app.tasks", "What is under way, how far, and how to stop it"),
        *WORD_KEYS,
        Binding("ctrl+l", "redraw", "redraw", id="app.redraw", tooltip="Paint the screen anew", show=False),
        hidden(
            "V",
            "plain",
            "plain text",
            "app.plain",
            "Panes as lines of plain text, for a screen reader, and back",
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

    def __init__(
        self,
        explorer: Explorer,
        *,
        token: str | None = None,
        theme: str | None = None,
        options: Options | None = None,
        opening: Opening | None = None,
    ) -> None:
        super().__init__(Options() if options is None else options, theme, opening)
        self.explorer = explorer
        self._loading: Explorer | None = None
        self._token = token
        self._compares = bool(self.options.against)
        self._last_export: Path | None = None
        self._steps, self._stepping = BasketSteps(), False
        if self.options.keys:
            from tui_lookups.tui.keymap import checked_keymap

            self.set_keymap(checked_keymap(self.options.keys, type(self)))

    def get_default_screen(self) -> Screen[None]:
        """The walk is the only screen that is always there: one layout, one paint."""
        return WalkScreen(self.explorer, self._token, self.size, self.options.session)

    def on_mount(self) -> None:
        if self.plain:
            self.show_terminal_cursor()
        self.set_timer(_PATIENCE_SECONDS, self.begin_loading)

    # --- the model ---

    def on_walk_screen_first_answer(self) -> None:
        """The first answer, or why there is none, is about to be painted."""
        if self._compares:
            self._compares = False
            self.walk_screen.other_screens.open("diff")
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
                self.walk_screen.session.offer()

    def on_walk_screen_load_failed(self, event: WalkScreen.LoadFailed) -> None:
        """Offer a way on where nothing could be loaded."""
        if self.opening is not None:
            self._ask_what_to_open(self.opening, event.message)

    def open_another(self) -> None:
        """Ask for another model or corpus."""
        if self.opening is not None:
            self._ask_what_to_open(self.opening, "")

    def _ask_what_to_open(self, opening: Opening, problem: str) -> None:
        from tui_lookups.tui.screens.load_problem import LoadProblemScreen

        def chosen(choice: Choice | None) -> None:
            if choice is None and problem:
                self.show_message(f"To continue: {self.key_of('app.palette')}, then “Open another model”.")
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
        textual_private.allow_change(walk, self)
        await self.switch_screen(WalkScreen(explorer, self._token, self.size))
        self.selection = Selection()  # what was marked is of the other model
        self._steps.forget()
        # a scan's last checkpoint may take most of a second
        threading.Thread(target=old.close, name="lookups-close", daemon=True).start()
        self.set_timer(_PATIENCE_SECONDS, self.begin_loading)

    def watch_plain(self, plain: bool) -> None:
        super().watch_plain(plain)
        self.walk_screen.plain_changed()

    @property
    def walk_screen(self) -> WalkScreen:
        """The main screen."""
        screen = self.screen_stack[0]
        assert isinstance(screen, WalkScreen)
        return screen

    def action_tasks(self) -> None:
        """List what is under way."""
        from tui_lookups.tui.screens.tasks import TasksScreen

        self.push_screen(TasksScreen(self.explorer))

    def action_sessions(self) -> None:
        """List the sessions of the open model."""
        from tui_lookups.tui.screens.sessions import SessionsScreen

        session = self.walk_screen.session

        def chosen(name: str | None) -> None:
            if name is not None:
                session.open(name)

        self.push_screen(SessionsScreen(self.explorer, session), chosen)

    # --- the basket ---

    def validate_selection(self, selection: Selection) -> Selection:
        """What is marked again comes with the note that was written on it once."""
        notes = self.walk_screen.marking.notes
        return selection if self._stepping else notes.come_with(self.selection, selection)

    def watch_selection(self, before: Selection, after: Selection) -> None:
        self.walk_screen.panes.show_marks()
        self.walk_screen.marking.notes.follow(before, after)
        if not self._stepping:
            self._steps.take(before, after)

    def action_undo(self) -> None:
        """Take the last step of the basket back."""
        self._take_step(self._steps.undo(), back=True)

    def action_redo(self) -> None:
        """Do the step again that was taken back last."""
        self._take_step(self._steps.redo(), back=False)

    def _take_step(self, step: Step | None, *, back: bool) -> None:
        if step is None:
            self.show_message(f"Nothing to {'undo' if back else 'do again'} in the basket.")
            return
        self._stepping = True
        self.selection = step.before if back else step.after
        self._stepping = False
        how, other = ("Undone", "app.redo") if back else ("Done again", "app.undo")
        self.show_message(f"{how}: {what_was_done(*step)}; {self.key_of(other)} goes the other way.")

    def note_on(self, item: Item) -> None:
        self.walk_screen.marking.note_on(item)

    def action_basket(self) -> None:
        """List what is marked."""
        from tui_lookups.tui.screens.basket import BasketScreen

        def closed(opened: Item | None) -> None:
            if opened is not None:
                self.call_later(self._open_marked, opened)

        self.push_screen(BasketScreen(), closed)

    def _open_marked(self, item: Item) -> None:
        """Go to a marked thing, whatever screens lie over the walk."""
        for screen in reversed(self.screen_stack[1:]):
            screen.dismiss(None)
        self.walk_screen.open_marked(item)

    def action_export(self) -> None:
        """Ask where to, then write the basket."""
        if not len(self.selection):
            self.show_message(
                f"Nothing is marked yet: {self.key_of('walk.mark')} marks what is under the cursor."
            )
            return
        from tui_lookups.tui.screens.export import ExportScreen, default_name

        token = self.walk_screen.walk.token
        name = default_name("selection" if token is None else visible_token(token.text))
        screen = ExportScreen(self.explorer, self.selection, name)

        def exported(message: str | None) -> None:
            if message:
                self.show_message(message)
                self._last_export = screen.written

        self.push_screen(screen, exported)

    def action_open_export(self) -> None:
        """Ask for an export and mark what it holds."""
        from tui_lookups.tui.screens.open_export import OpenExportScreen, newest_export

        def opened(found: Reopened | None) -> None:
            if found is not None:
                self.selection = basket.merge(self.selection, found.selection)
                count = len(found.selection)
                marked = f"{count} thing{'s' * (count != 1)} marked from the export"
                if notes := len(found.selection.notes):
                    marked += f", with {notes} note{'s' * (notes != 1)}"
                listed = f"{self.key_of('app.basket')} lists {'it' if count == 1 else 'them'}"
                self.show_message(f"{found.note} {marked}; {listed}.".lstrip())

        path = self._last_export or newest_export()
        self.push_screen(OpenExportScreen(self.explorer, "" if path is None else str(path)), opened)

    # --- help ---

    def action_command_palette(self) -> None:
        """Every action by name."""
        from tui_lookups.tui.palette_commands import Actions
        from tui_lookups.tui.screens.leaving import Palette

        if not isinstance(self.screen, Palette):
            what = "what to do: words, or a key"
            self.push_screen(Palette([Actions], placeholder=what, id="--command-palette"))

    def binding_of(self, action: str) -> Binding:
        """The binding of an action that is not open. Raises KeyError for one that does not exist."""
        from tui_lookups.tui.keymap import binding_of

        return binding_of(action, LookupsApp)

    def action_help(self) -> None:
        """The keys that work where the focus is."""
        from tui_lookups.tui.screens.help import HelpScreen

        self.push_screen(HelpScreen(self.screen.active_bindings))
