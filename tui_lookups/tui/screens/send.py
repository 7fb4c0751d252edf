"""Before anything is sent: how many calls, how many tokens, how much money; then yes or no."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from tui_lookups.tui.screens.query_screen import QueryDialog
from tui_lookups.tui.state.queries import explain_error
from tui_lookups.tui.text.explanation import Paragraph, plan_paragraphs
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.widgets.paragraphs import Paragraphs
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer
    from tui_lookups.results import Plan


class SendScreen(QueryDialog[bool]):
    """Returns whether to send. Where the cache answers everything there is nothing to ask about.

    Where nothing can be sent (no key) it says what to set, and enter sends nothing.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "send", "send", id="send.send", tooltip="Send it"),
        Binding("escape,q", "give_up", "close", id="send.close", tooltip="Send nothing"),
    ]

    def __init__(self, explorer: Explorer, title: str, question: Callable[[], Plan]) -> None:
        super().__init__(explorer)
        self._title = title
        self._question = question
        self.plan: Plan | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = self._title
            send = key_of(self.app, "send.send")
            dialog.border_subtitle = Content(f"{send} send   {key_of(self.app, 'send.close')} close")
            yield Paragraphs(id="plan")

    def on_mount(self) -> None:
        waiting = "Working out what would be sent… nothing is sent yet."
        self._show(Paragraph(waiting, "dim"))
        self.queries.ask("plan", self._question, self._planned, self._failed)

    def _show(self, *paragraphs: Paragraph) -> None:
        self.query_one(Paragraphs).show_paragraphs(paragraphs)

    def _planned(self, plan: Plan) -> None:
        self.plan = plan
        if plan.calls == 0:
            self.dismiss(True)
        else:
            if plan.problem:
                self._only_close()
            self._show(*plan_paragraphs(plan))

    def _only_close(self) -> None:
        """There is nothing to send: no key says so."""
        self.query_one(".dialog").border_subtitle = Content(f"{key_of(self.app, 'send.close')} close")

    def _failed(self, error: BaseException) -> None:
        self._only_close()
        message, hint = explain_error(error)
        self._show(Paragraph(visible(message), "error"), Paragraph(visible(hint), "dim"))

    def action_send(self) -> None:
        if self.plan is not None and not self.plan.problem:
            self.dismiss(True)

    def action_give_up(self) -> None:
        self.dismiss(False)
