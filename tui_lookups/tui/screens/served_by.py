"""The head's side: the neurons that a head serves (method.md, section 12), and what it reads for each.

1. Of the survey's neurons those that the head reaches are worked out, each kept as soon as it is there; what
   a survey has left in the cache is there at once. The list grows meanwhile.
2. What the head reads for a neuron is asked once the cursor rests on it, or for all of them by a key.
3. Enter goes on with the neuron, the head behind it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.timer import Timer

from tui_lookups.results import SurveyedPair, SurveyProgress
from tui_lookups.tui.screens.query_screen import QueryScreen
from tui_lookups.tui.state.queries import explain_error
from tui_lookups.tui.text.continuing import continued_survey
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.text.survey import pair_paragraphs, progress_words, served_title
from tui_lookups.tui.widgets.bindings import COPY_AS_KEYS
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.pair_rows import ServedRows
from tui_lookups.tui.widgets.paragraphs import Paragraphs
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.tui.widgets.text import PackedText, TextLines
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.await_complete import AwaitComplete

    from tui_lookups.explorer import Explorer
    from tui_lookups.ids import NeuronId
    from tui_lookups.results import HeadReads, ServedNeurons
    from tui_lookups.tui.state.left_screens import ServedByPlace
    from tui_lookups.tui.text.explanation import Paragraph

_REST_SECONDS = 0.2
_SCAN_SECONDS = 1.0
"""How often is looked how far the scan is that the work waits for."""


class ServedByScreen(QueryScreen[SurveyedPair]):
    """Returns the pair that was opened, None on escape; `place` is where it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "r", "read_all", "read all", id="served-by.read-all", tooltip="What it reads for each neuron"
        ),
        Binding("c", "stop", "stop", id="served-by.stop", tooltip="Stop; what is worked out is kept"),
        Binding("escape,q", "close", "back", id="served-by.close", tooltip="Back as it was; stops the work"),
        *COPY_AS_KEYS,
    ]
    AUTO_FOCUS = "#served"

    def __init__(self, explorer: Explorer, place: ServedByPlace) -> None:
        super().__init__(explorer)
        self.place = place
        self.served: ServedNeurons | None = place.served
        self.reads: dict[NeuronId, HeadReads] = {reads.neuron: reads for reads in place.reads}
        self._whole = place.served is not None
        self._progress: SurveyProgress | None = None
        self._error = ""
        self._read_of = 0
        self._rest: Timer | None = None

    def compose(self) -> ComposeResult:
        yield TextLines(id="served-title", classes="title")
        yield PackedText(id="served-progress")
        yield ServedRows(self.place.order, id="served")
        yield Paragraphs(id="served-words")
        yield Hints(id="hints")

    def on_mount(self) -> None:
        if not self._whole:
            self._ask()
            self.set_interval(_SCAN_SECONDS, self._show_progress)
        self._show()
        self._rows.go_to(self.place.pair)

    @property
    def _rows(self) -> ServedRows:
        return self.query_one(ServedRows)

    # --- the neurons ---

    def _ask(self) -> None:
        place = self.place

        def question(tell: Callable[[ServedNeurons | SurveyProgress], None]) -> ServedNeurons:
            return self.explorer.served_by(
                place.head, per_layer=place.per_layer, layers=place.layers, progress=tell, so_far=tell
            )

        self.queries.ask_telling("served-by", question, self._heard, self._done, self._failed)

    def _heard(self, news: ServedNeurons | SurveyProgress) -> None:
        if isinstance(news, SurveyProgress):
            self._progress = news
            self._show_progress()
        else:
            self.served = news
            self._show()

    def _done(self, served: ServedNeurons) -> None:
        self.served, self._whole = served, True
        self._show()

    def _failed(self, error: BaseException) -> None:
        message, hint = explain_error(error)
        self._error = f"{visible(message)}\n{visible(hint)}"
        self._show()

    def _show(self) -> None:
        """The list as far as it is known."""
        served, rows = self.served, self._rows
        title = (Segment(f" {served_title(self.place.head, served)}"),)
        self.query_one("#served-title", TextLines).show_lines(title)
        working = f"Working out the heads of the neurons it reaches…\n{self._key('stop')} stops it"
        rows.show_empty(
            self._error
            or (working if self.queries.waiting("served-by") else "It is worth explaining for none of them.")
        )
        rows.show_reads(self.reads)
        rows.show_pairs(() if served is None else served.pairs)
        self._show_progress()
        self._show_words()
        self._look_when_at_rest()

    def _show_progress(self) -> None:
        parts: tuple[str, ...] = ()
        if self.queries.waiting("served-by"):
            parts = (
                progress_words(self._progress, self.explorer.status().scan),
                f"{self._key('stop')} stops it",
            )
        elif self.queries.waiting("all-reads"):
            parts = (
                f"reading: {self._read_of:,} of {len(self._rows.pairs):,}",
                f"{self._key('stop')} stops it",
            )
        elif not self._whole and self.served is not None:
            parts = (
                self._error.replace("\n", " ") or "Stopped: these are of the neurons worked out so far.",
            )
        self.query_one("#served-progress", PackedText).show_parts(parts)
        self.refresh_bindings()

    def _key(self, action: str) -> str:
        return key_of(self.app, f"served-by.{action}")

    # --- what it reads ---

    def _look_when_at_rest(self) -> None:
        if self._rest is not None:
            self._rest.stop()
        self._rest = self.set_timer(_REST_SECONDS, self._look)

    def _look(self) -> None:
        """Ask what the head reads for the neuron under the cursor."""
        pair = self._rows.current
        if pair is None or pair.neuron in self.reads or self.queries.waiting("all-reads"):
            return
        question = partial(self.explorer.head_reads, pair.neuron, pair.head)
        self.queries.ask("reads", question, self._read, self._not_read)
        self._show_words()

    def _read(self, reads: HeadReads) -> None:
        self.reads[reads.neuron] = reads
        self._rows.show_reads(self.reads)
        self._show_words()

    def _not_read(self, error: BaseException) -> None:
        self.show_message(" ".join(explain_error(error)))
        self._show_words()
        self._show_progress()

    def _show_words(self) -> None:
        pair = self._rows.current
        said: tuple[Paragraph, ...] = ()
        if pair is not None:
            said = pair_paragraphs(pair, self.reads.get(pair.neuron), asked=self.queries.waiting("reads"))
        self.query_one("#served-words", Paragraphs).show_paragraphs(said)

    def action_read_all(self) -> None:
        """What the head reads for every neuron of the list, in its order."""
        pairs = [pair for pair in self._rows.pairs if pair.neuron not in self.reads]
        self.queries.cancel("reads")

        def question(tell: Callable[[HeadReads], None]) -> None:
            for pair in pairs:
                tell(self.explorer.head_reads(pair.neuron, pair.head))

        def heard(reads: HeadReads) -> None:
            self._read_of += 1
            self._read(reads)
            self._show_progress()

        def done(_: None) -> None:
            self._show_progress()

        self._read_of = len(self._rows.pairs) - len(pairs)
        self.queries.ask_telling("all-reads", question, heard, done, self._not_read)
        self._show_progress()

    @on(RowList.Moved, "#served")
    def _moved(self) -> None:
        self.queries.cancel("reads")
        self._show_words()
        self._look_when_at_rest()

    # --- keys ---

    @on(RowList.Opened, "#served")
    def _opened(self) -> None:
        self.dismiss(self._rows.current)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What there is nothing of to stop, or to read, is not offered."""
        if action == "stop":
            return self._working
        if action == "read_all":
            return not self._working and any(pair.neuron not in self.reads for pair in self._rows.pairs)
        return True

    @property
    def _working(self) -> bool:
        return self.queries.waiting("served-by") or self.queries.waiting("all-reads")

    def action_stop(self) -> None:
        self.queries.cancel("served-by", "all-reads")
        self._show()

    def action_copy_as(self, what: str) -> None:
        place = self.place
        text = continued_survey(what, place.head, place.per_layer, place.layers, self.explorer.settings)
        self.app.copy_to_clipboard(text)

    def dismiss(self, result: SurveyedPair | None = None) -> AwaitComplete:
        """Close it, keeping where it is left."""
        if self.is_current:
            rows = self._rows
            self.place = replace(
                self.place,
                served=self.served if self._whole else None,
                reads=tuple(self.reads.values()),
                order=rows.order,
                pair=rows.current,
            )
        return super().dismiss(result)

    def action_close(self) -> None:
        self.dismiss(None)
