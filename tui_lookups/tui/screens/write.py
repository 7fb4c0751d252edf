"""Writing an explanation of a head by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input

from tui_lookups.results import Explanation
from tui_lookups.tui.screens.query_screen import QueryDialog
from tui_lookups.tui.state.queries import explain_error
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.widgets.text import WrappedText
from tui_lookups.tui.widgets.typed_line import TypedLine
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer
    from tui_lookups.ids import HeadId, NeuronId


class WriteScreen(QueryDialog[Explanation]):
    """Returns the explanation once it is kept; None when nothing was written."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "give_up", "close", id="write.close", tooltip="Keep nothing"),
    ]
    AUTO_FOCUS = "#words"

    def __init__(self, explorer: Explorer, neuron: NeuronId, head: HeadId, text: str) -> None:
        super().__init__(explorer)
        self._neuron, self._head, self._text = neuron, head, visible(text)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = f"When is {self._head} of {self._neuron} active?"
            dialog.border_subtitle = Content(f"enter keep   {key_of(self.app, 'write.close')} close")
            yield TypedLine(self._text, id="words", compact=True, select_on_focus=False)
            yield WrappedText(id="problem", classes="problem")

    @on(Input.Changed, "#words")
    def _words_changed(self) -> None:
        self.query_one("#problem", WrappedText).show_text("")

    @on(Input.Submitted, "#words")
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        text = event.value
        self.query_one("#problem", WrappedText).show_text("Keeping it…")
        self.query_one(TypedLine).hold()
        self.queries.ask(
            "write",
            lambda: self.explorer.explaining.write(self._neuron, self._head, text),
            self._kept,
            self._failed,
        )

    def _kept(self, explanation: Explanation) -> None:
        self.dismiss(explanation)

    def _failed(self, error: BaseException) -> None:
        self.query_one("#problem", WrappedText).show_text(visible(" ".join(explain_error(error))))
        self.query_one(TypedLine).give_back()

    def action_give_up(self) -> None:
        self.dismiss(None)
