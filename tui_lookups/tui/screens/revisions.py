"""The neuron of the walk over revisions of the model, such as the steps of its training.

1. What it writes is asked at once: of each revision that takes the files' weights alone where they are known.
2. Its peak and the heads that fire it need each revision loaded and the corpus scanned with it: when that is
   asked for. Leaving the screen stops it; what was scanned is kept.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tui_lookups.explorer.revisions import revisions_named
from tui_lookups.tui.screens.one_line import OneLineScreen
from tui_lookups.tui.screens.query_screen import QueryScreen
from tui_lookups.tui.screens.records_export import RecordsScreen
from tui_lookups.tui.state.left_screens import DiffPlace
from tui_lookups.tui.state.queries import explain_error
from tui_lookups.tui.text.continuing import continued_revisions
from tui_lookups.tui.text.diff import course_parts, revisions_title
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.text.waiting import wait_words
from tui_lookups.tui.widgets.bindings import COPY_AS_KEYS
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.revision_rows import RevisionRows
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.tui.widgets.text import PackedText, TextLines
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from textual.await_complete import AwaitComplete

    from tui_lookups.explorer import Explorer
    from tui_lookups.results import NeuronOverRevisions
    from tui_lookups.tui.state.left_screens import RevisionsPlace

_KIND = "revisions"


class RevisionsScreen(QueryScreen[DiffPlace]):
    """Returns the comparison to go over to; None on escape. `place` is how it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "r", "run", "peaks and heads", id="revisions.run", tooltip="Scan the corpus at each revision"
        ),
        Binding("c", "stop", "stop", id="revisions.stop", tooltip="Stop; what was scanned is kept"),
        Binding(
            "escape,q", "close", "back", id="revisions.close", tooltip="Back to the walk; stops the work"
        ),
        Binding("e", "choose", "others", id="revisions.choose", tooltip="Name other revisions"),
        Binding("x", "export", "export", id="revisions.export", tooltip="Write the table to a file"),
        *COPY_AS_KEYS,
    ]
    AUTO_FOCUS = "#revisions"

    def __init__(self, explorer: Explorer, place: RevisionsPlace) -> None:
        super().__init__(explorer)
        self.place = place
        self._model = explorer.settings.model.partition("@")[0]

    def compose(self) -> ComposeResult:
        yield TextLines(id="revisions-title", classes="title")
        yield RevisionRows(id="revisions")
        yield PackedText(id="revisions-courses")
        yield Hints(id="hints")

    def on_mount(self) -> None:
        self._rows.show_revisions(self.place.found, self.place.row)
        self._show()
        if not self.place.names:
            self.action_choose()
        elif self.place.found is None:
            self._ask(prompts=False)

    @property
    def _rows(self) -> RevisionRows:
        return self.query_one(RevisionRows)

    def _show(self) -> None:
        found = self.place.found
        title = revisions_title(self.place, self._model)
        self.query_one("#revisions-title", TextLines).show_words(title)
        parts = () if found is None else course_parts(found, drawn=not self._rows.plain)
        self.query_one("#revisions-courses", PackedText).show_parts(parts)
        self.refresh_bindings()

    # --- the question ---

    def _ask(self, *, prompts: bool) -> None:
        place = self.place
        question = partial(
            self.explorer.over_revisions, place.neuron, place.names, token=place.asked_token, prompts=prompts
        )
        self._show()
        self.queries.ask(_KIND, question, self._done, self._failed)
        self.wait_for(_KIND, self._show_wait)
        self.refresh_bindings()

    def _show_wait(self, how_far: str) -> None:
        """In place of the table, or below the one that there is already."""
        doing, stop = "Asking each revision in turn…", key_of(self.app, "revisions.stop")
        if self.place.found is None:
            self._rows.show_empty(wait_words(doing, how_far, stop))
        else:
            parts = (doing, how_far, f"{stop} stops it")
            self.query_one("#revisions-courses", PackedText).show_parts(parts)

    def _done(self, found: NeuronOverRevisions) -> None:
        self.place = replace(self.place, found=found)
        self._rows.show_revisions(found)
        self._show()

    def _failed(self, error: BaseException) -> None:
        said = explain_error(error)
        self._rows.show_empty("\n".join(map(visible, said)))
        if self.place.found is not None:
            self.show_message(" ".join(said))
        self._show()

    # --- keys ---

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What is under way can be stopped; the scan is offered where it was not made."""
        if action == "stop":
            return self.queries.busy
        found = self.place.found
        return action != "run" or (found is not None and found.firing is None)

    def action_run(self) -> None:
        self._ask(prompts=True)

    def action_stop(self) -> None:
        self.queries.cancel_all()
        choose = key_of(self.app, "revisions.choose")
        self._rows.show_empty(f"Stopped.\n{choose} names the revisions to ask again.")
        self._show()

    def action_choose(self) -> None:
        """Ask for the revisions; without any there is nothing to show."""

        def chosen(text: str | None) -> None:
            if text:
                self.queries.cancel_all()
                self.place = replace(self.place, names=revisions_named(text), found=None)
                self._rows.show_revisions(None)
                self._ask(prompts=False)
            elif not self.place.names:
                self.dismiss(None)

        names = ",".join(self.place.names)
        self.app.push_screen(OneLineScreen("Revisions, with commas between", names, "follow"), chosen)

    @on(RowList.Opened)
    def _opened(self) -> None:
        row = self._rows.current
        if row is not None:
            self.dismiss(DiffPlace(f"{self._model}@{row.revision}"))

    def action_export(self) -> None:
        name = f"lookups-revisions-{self.place.neuron}"
        RecordsScreen.open_over(self, self.explorer, self.place.found, name)

    def action_copy_as(self, what: str) -> None:
        self.app.copy_to_clipboard(continued_revisions(what, self.place, self.explorer.settings))

    def dismiss(self, result: DiffPlace | None = None) -> AwaitComplete:
        """Close it, keeping where it is left."""
        if self.is_current:
            self.place = replace(self.place, row=self._rows.cursor)
        return super().dismiss(result)

    def action_close(self) -> None:
        self.dismiss(None)
