"""Every head worth explaining for a neuron: words and scores in a table, and the run that fills it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from tui_lookups.ids import HeadId
from tui_lookups.results.conventions import LEAST_PERCENT, MOST_PERCENT
from tui_lookups.tui.paint.text_layout import fit
from tui_lookups.tui.screens.leaving import LeavesOnce
from tui_lookups.tui.screens.send import SendScreen
from tui_lookups.tui.text.explanation import Paragraph, explained_paragraphs, figure, run_paragraphs
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.paragraphs import Paragraphs
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.tui.widgets.text import TextLines
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer
    from tui_lookups.results import ExplainedHead, ExplanationScore
    from tui_lookups.tui.state.head_run import HeadRun, RunTask

_LEFT = 52
"""Cells of a row before the words."""


class HeadRunRows(RowList):
    """One row a head worth explaining: how often it is active, its score and baselines, the words."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "to the head", id="all-heads.open", tooltip="Go to the head"),
        Binding(
            "e", "screen.run('explain')", "explain all", id="all-heads.explain", tooltip="Explain them all"
        ),
        Binding(
            "s",
            "screen.run('score')",
            "score all",
            id="all-heads.score",
            tooltip="Explain and score them all",
        ),
        # Before what may not fit: the way back is always on the bottom line.
        Binding(
            "escape,q",
            "screen.close",
            "back",
            id="all-heads.close",
            tooltip="Back to the walk; a run goes on",
        ),
        Binding("c", "screen.stop", "stop", id="all-heads.stop", tooltip="Stop the run; answers are kept"),
        Binding("y", "copy", "copy", id="all-heads.copy", tooltip="Copy the explanation", show=False),
    ]

    def __init__(self, run: HeadRun, *, id: str) -> None:
        super().__init__(id=id)
        self._run = run
        self.heads: tuple[ExplainedHead, ...] = ()

    def show_heads(self, heads: tuple[ExplainedHead, ...]) -> None:
        """Show these, the cursor where it is."""
        if heads != self.heads:
            self.heads = heads
            self.rows_changed()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is a head to go to, and an explanation to copy, only where there is a row."""
        return action not in ("open", "copy") or bool(self.heads)

    @property
    def under_cursor(self) -> ExplainedHead | None:
        """The head under the cursor."""
        return self.heads[self.cursor] if self.heads else None

    def row_count(self) -> int:
        return len(self.heads)

    def heading(self, width: int) -> list[Segment]:
        text = f" {'head':<8}{'active':>7}  score    F1   AUC  control unans  words"
        return [Segment(fit(text, width), self.palette.heading)]

    def row(self, index: int, width: int) -> list[Segment]:
        palette, entry = self.palette, self.heads[index]
        explained = entry.explained
        score = None if explained is None else explained.score
        active = self._run.active(entry.head)
        if explained is not None and explained.explanation.active + explained.explanation.inactive:
            active = (
                explained.explanation.active,
                explained.explanation.active + explained.explanation.inactive,
            )
        words = self._run.reason(entry.head)
        if explained is not None and not (score is not None and score.single_class):
            words = explained.explanation.explanation
        style = palette.dim if explained is None else palette.plain
        return [
            Segment(f" {entry.head!s:<8}", palette.strong),
            Segment(f"{'' if active is None else '{}/{}'.format(*active):>7}  ", palette.plain),
            Segment(f"{_main_figure(score):>5}", palette.strong),
            Segment(fit(_figures(score), _LEFT - 23), palette.plain),
            Segment(fit(visible(words), max(0, width - _LEFT)), style),
        ]

    def action_copy(self) -> None:
        entry = self.under_cursor
        if entry is not None and entry.explained is not None:
            self.app.copy_to_clipboard(entry.explained.explanation.explanation)


def _main_figure(score: ExplanationScore | None) -> str:
    return "" if score is None or score.single_class else figure(score.score.head_explanation_score)


def _figures(score: ExplanationScore | None) -> str:
    """F1, AUC, the control's score and how many prompts are unanswered."""
    if score is None or score.single_class:
        return ""
    figures = score.score
    control = "" if score.control is None else figure(score.control.score.head_explanation_score)
    return f"  {figure(figures.f1):>4}  {figure(figures.roc_auc):>4} {control:>8} {figures.unanswered:>5}  "


class HeadRunScreen(LeavesOnce, Screen[HeadId]):
    """Returns the head that was opened. A run goes on when the screen is closed; `c` stops it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "back", id="all-heads.close", tooltip="Back to the walk; a run goes on"),
    ]
    AUTO_FOCUS = "#all-heads"

    def __init__(self, explorer: Explorer, run: HeadRun) -> None:
        super().__init__()
        self._explorer = explorer
        self._run = run

    def compose(self) -> ComposeResult:
        yield TextLines(id="all-heads-title", classes="title")
        yield HeadRunRows(self._run, id="all-heads")
        yield Paragraphs(id="all-heads-words")
        yield Paragraphs(id="all-heads-summary")
        yield Hints(id="hints")

    def on_mount(self) -> None:
        self._run.listener = self._show
        self._show()

    def on_unmount(self) -> None:
        self._run.silence(self._show)

    def _show(self) -> None:
        run, rows = self._run, self.query_one(HeadRunRows)
        table = run.table
        title = f" Heads worth explaining for {run.neuron}, on its trimmed prompts"
        if table is None:
            rows.show_empty(
                "No table."
                if run.error
                else f"Looking for the heads active on {LEAST_PERCENT} to {MOST_PERCENT} % of them…"
            )
        else:
            explain = key_of(self.app, "head.explain")
            rows.show_empty(
                "No head is worth explaining: none is active\n"
                f"on {LEAST_PERCENT} to {MOST_PERCENT} % of its trimmed prompts.\n"
                f"Any head can still be explained: {explain} on it."
            )
            rows.show_heads(table.heads)
            title += f": {len(table.heads)}"
        self.query_one("#all-heads-title", TextLines).show_lines((Segment(title),))
        self.query_one("#all-heads-summary", Paragraphs).show_paragraphs(
            run_paragraphs(run, partial(key_of, self.app))
        )
        self._show_words()

        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nothing can be run or stopped where no head is worth explaining: such keys are not offered."""
        table = self._run.table
        dead_end = table is not None and not table.heads and not self._run.running
        return not (dead_end and action in ("run", "stop"))

    def _show_words(self) -> None:
        entry = self.query_one(HeadRunRows).under_cursor
        lines: tuple[Paragraph, ...] = ()
        if entry is not None and entry.explained is not None:
            lines = explained_paragraphs(entry.explained)
        elif entry is not None:
            reason = self._run.reason(entry.head)
            lines = (Paragraph(visible(reason) or f"{entry.head} is not explained yet.", "dim"),)
        self.query_one("#all-heads-words", Paragraphs).show_paragraphs(lines)

    @on(RowList.Moved, "#all-heads")
    def _moved(self) -> None:
        self._show_words()

    @on(RowList.Opened, "#all-heads")
    def _opened(self) -> None:
        entry = self.query_one(HeadRunRows).under_cursor
        if entry is not None:
            self.dismiss(entry.head)

    def action_run(self, task: RunTask) -> None:
        run = self._run
        if run.running:
            self._show_message(f"One run at a time: {key_of(self.app, 'all-heads.stop')} stops this one.")
            return
        if run.table is None or not run.table.heads:
            self._show_message("There is no head to ask about.")
            return

        def agreed(send: bool | None) -> None:
            if send:
                run.start(task)

        what = "Explain" if task == "explain" else "Explain and score"
        title = f"{what} {len(run.table.heads)} heads of {run.neuron}"
        self.app.push_screen(SendScreen(self._explorer, title, lambda: run.plan(task)), agreed)

    def action_stop(self) -> None:
        stopped = self._run.stop()
        explain, score = key_of(self.app, "all-heads.explain"), key_of(self.app, "all-heads.score")
        went_on = f"Stopped; {explain} or {score} resumes."
        self._show_message(went_on if stopped else "No run is in progress.")

    def _show_message(self, text: str) -> None:
        self.query_one(Hints).show_message(text)

    def action_close(self) -> None:
        self.dismiss(None)
