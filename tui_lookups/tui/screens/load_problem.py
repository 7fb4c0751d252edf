"""A model that could not be loaded: what went wrong, and the ways on. Also how another model is opened.

The list offers what needs no typing; the two lines below it take any model and corpus.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from rich.segment import Segment
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input

from tui_lookups.tui.paint.text_layout import fit
from tui_lookups.tui.screens.leaving import LeavesOnce
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.tui.widgets.text import WrappedText
from tui_lookups.tui.widgets.typed_line import TypedLine
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from tui_lookups.tui.state.opening import Opening

_KNOWN = (
    ("demo", "the small GPT-2 inside this package"),
    ("smollm2", "135M parameters, fetched once (93 MB)"),
)
_PACKAGED = "demo"
"""The corpus that is always there."""


class Choice(NamedTuple):
    """What the person wants: to open this model on this corpus, or to leave."""

    what: Literal["open", "quit"]
    model: str = ""
    corpus: str = ""


class Ways(RowList):
    """One row a way on."""

    def __init__(self, rows: tuple[tuple[str, str, Choice], ...], *, id: str) -> None:
        super().__init__(id=id)
        self.rows = rows

    def on_mount(self) -> None:
        self.rows_changed(0)

    def row_count(self) -> int:
        return len(self.rows)

    def row(self, index: int, width: int) -> list[Segment]:
        title, note, _ = self.rows[index]
        first = fit(f" {title}", min(width, 30))
        return [
            Segment(first, self.palette.plain),
            Segment(fit(f" {note}", max(0, width - len(first))), self.palette.dim),
        ]


class LoadProblemScreen(LeavesOnce, ModalScreen[Choice]):
    """Returns the choice; None when the person stays where they are.

    `problem` is empty where nothing went wrong and the person wants another model.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "stay", "close", id="problem.stay", tooltip="Close without changing anything"),
        Binding("tab", "app.focus_next", "next", id="problem.next", tooltip="The next line"),
        Binding("shift+tab", "app.focus_previous", "before", id="problem.before", tooltip="The line before"),
    ]
    AUTO_FOCUS = "#ways"

    def __init__(self, opening: Opening, problem: str) -> None:
        super().__init__()
        self._opening, self._problem = opening, problem

    def compose(self) -> ComposeResult:
        model, corpus = self._opening.model, self._opening.corpus
        rows = [("Try again", f"{model} on {corpus}", Choice("open", model, corpus))] if self._problem else []
        rows += [
            (f"Open {name}", note, Choice("open", name, corpus)) for name, note in _KNOWN if name != model
        ]
        if self._problem and corpus != _PACKAGED:
            rows.append(
                ("Take the packaged passages", f"{model} on {_PACKAGED}", Choice("open", model, _PACKAGED))
            )
        rows += [("Quit", "", Choice("quit"))] if self._problem else []
        with Vertical(classes="dialog") as dialog:
            failed = bool(self._problem)
            dialog.border_title = "This could not be opened" if failed else "Open another model"
            yield WrappedText(id="problem", classes="problem")
            yield Ways(
                tuple((visible(title), visible(note), choice) for title, note, choice in rows), id="ways"
            )
            yield WrappedText(id="model-note", classes="note")
            yield TypedLine(model, id="model", compact=True)
            yield WrappedText(id="corpus-note", classes="note")
            yield TypedLine(corpus, id="corpus", compact=True)

    def on_mount(self) -> None:
        self.show_problem(self._problem)
        keys = (("list.open", "choose"), ("problem.next", "the lines below"), ("problem.stay", "close"))
        shown = (f"{key_of(self.app, action)} {what}" for action, what in keys)
        self.query_one(".dialog").border_subtitle = Content("   ".join(shown))
        ways = self.query_one(Ways)
        ways.styles.height = ways.row_count()
        model_note = "Another model: a hub name, a folder with config.json, or a .gguf file; enter opens it"
        self.query_one("#model-note", WrappedText).show_text(model_note)
        corpus_note = "Corpus: demo, a .txt, .jsonl or .parquet file, a folder, or hub:NAME"
        self.query_one("#corpus-note", WrappedText).show_text(corpus_note)

    def show_problem(self, problem: str) -> None:
        """Show what is wrong."""
        line = self.query_one("#problem", WrappedText)
        line.show_text(visible(problem))
        line.display = bool(problem)

    @on(RowList.Opened, "#ways")
    def _way_chosen(self, event: RowList.Opened) -> None:
        self.dismiss(self.query_one(Ways).rows[event.index][2])

    @on(Input.Submitted)
    def _typed(self, event: Input.Submitted) -> None:
        event.stop()
        model, corpus = (self.query_one(name, Input).value.strip() for name in ("#model", "#corpus"))
        if model and corpus:
            self.dismiss(Choice("open", model, corpus))

    def action_stay(self) -> None:
        self.dismiss(None)
