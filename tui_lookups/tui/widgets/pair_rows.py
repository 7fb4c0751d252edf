"""Pairs of a neuron and a head that is worth explaining for it, in the order of any column."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType

from tui_lookups.tui.paint.head_rows import signed
from tui_lookups.tui.paint.text_layout import fit, quoted
from tui_lookups.tui.state.orders import following, pairs_in
from tui_lookups.tui.text.survey import reads_words, share_text
from tui_lookups.tui.widgets.bindings import SORT_KEY
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.visible import visible_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tui_lookups.ids import NeuronId
    from tui_lookups.results import HeadReads, SurveyedPair
    from tui_lookups.tui.state.orders import PairOrder
    from tui_lookups.tui.text.tsv import Table

_NEURON, _HEAD, _FIGURE, _SHARE = 11, 8, 9, 8
_SHORT_TOKEN, _TOKEN, _LONG_TOKEN = 10, 15, 24
_MOST_BAR = 16
_NARROW, _WIDE = 72, 110
_TITLES = {
    "neuron": "neuron", "token": "its token", "head": "head", "attribution": "attrib.", "share": "share",
    "active": "active",
}  # fmt: skip


class _Pairs(RowList):
    """What both lists share: the rows, their order, the cursor that stays on its pair as rows come."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open", id="pairs.open", tooltip="Go to the neuron, and the head behind it"),
        replace(SORT_KEY, tooltip="The list by its next column"),
    ]
    ORDERS: ClassVar[tuple[PairOrder, ...]]

    def __init__(self, order: PairOrder, *, id: str) -> None:
        super().__init__(id=id)
        self.order: PairOrder = order
        self._given: tuple[SurveyedPair, ...] = ()
        self.pairs: tuple[SurveyedPair, ...] = ()
        self._largest = 0.0

    def show_pairs(self, pairs: tuple[SurveyedPair, ...], cursor: int | None = None) -> None:
        """Show these; the cursor goes to a row, or stays on its pair, or on top of the list."""
        here = self.current if cursor is None and self.cursor else None
        self._given, self.pairs = pairs, pairs_in(self.order, pairs)
        self._largest = max((abs(pair.mean_attribution) for pair in pairs), default=0.0)
        self.rows_changed(self.pairs.index(here) if here in self.pairs else cursor)

    @property
    def current(self) -> SurveyedPair | None:
        """The pair under the cursor."""
        return self.pairs[self.cursor] if self.pairs else None

    def go_to(self, pair: SurveyedPair | None) -> None:
        """Put the cursor on a pair, where it is in the list."""
        if pair in self.pairs:
            self.rows_changed(self.pairs.index(pair))

    def action_sort(self) -> None:
        here, self.order = self.current, following(self.ORDERS, self.order)
        self.show_pairs(self._given)
        self.go_to(here)

    def row_count(self) -> int:
        return len(self.pairs)

    def _title(self, column: PairOrder) -> str:
        """A column's name, marked where the rows go by it."""
        is_neuron = column == "neuron" and self.pairs
        title = self.pairs[0].neuron.kind if is_neuron else _TITLES[column]
        return title + ("▾" if column == self.order else "")

    def _token_width(self, width: int) -> int:
        return _LONG_TOKEN if width >= _WIDE else _TOKEN if width >= _NARROW else _SHORT_TOKEN

    def _figures(self, pair: SurveyedPair) -> str:
        return f"{share_text(pair.share):>{_SHARE}}{pair.active_fraction:>{_SHARE}.0%}"

    def _figures_heading(self) -> str:
        return f"{self._title('share'):>{_SHARE}}{self._title('active'):>{_SHARE}}"

    def _bar(self, pair: SurveyedPair, width: int) -> Segment:
        text = self.palette.bar_text(abs(pair.mean_attribution), self._largest, width)
        return Segment(text, self.palette.bar)


class SurveyRows(_Pairs):
    """Every pair of a survey: neuron, its token, head, mean attribution with a bar, share, active on."""

    ORDERS = ("neuron", "attribution", "share", "active", "head", "token")

    def copy_text(self) -> str | None:
        """What `y` copies here."""
        return None if self.current is None else f"{self.current.neuron} {self.current.head}"

    def table(self) -> Table:
        names = (
            "neuron", "token", "congruence", "head", "mean_attribution", "active_fraction", "share",
        )  # fmt: skip
        rows = (
            (
                str(pair.neuron), pair.token.text, pair.congruence, str(pair.head), pair.mean_attribution,
                pair.active_fraction, pair.share,
            )
            for pair in self.pairs
        )  # fmt: skip
        return (names, *rows) if self.pairs else ()

    def _bar_width(self, width: int) -> int:
        left = width - 1 - _NEURON - self._token_width(width) - _HEAD - 2 * _FIGURE - 2 * _SHARE - 2
        return max(0, min(_MOST_BAR, left))

    def heading(self, width: int) -> list[Segment]:
        text = (
            f" {self._title('neuron'):<{_NEURON}}{self._title('token'):<{self._token_width(width)}}"
            f"{self._title('head'):<{_HEAD}}{self._title('attribution'):>{_FIGURE}} "
            f"{'':<{self._bar_width(width)}}{self._figures_heading()}"
            f"{'congr.' if width >= _NARROW else '':>{_FIGURE}}"
        )
        return [Segment(fit(text, width), self.palette.heading)]

    def row(self, index: int, width: int) -> list[Segment]:
        pair, palette = self.pairs[index], self.palette
        token = fit(visible_token(pair.token.text), self._token_width(width) - 1)
        return [
            Segment(f" {pair.neuron!s:<{_NEURON}}", palette.plain),
            Segment(f"{token} ", palette.strong),
            Segment(
                f"{pair.head!s:<{_HEAD}}{signed(pair.mean_attribution):>{_FIGURE}} ",
                palette.plain,
            ),
            self._bar(pair, self._bar_width(width)),
            Segment(self._figures(pair), palette.plain),
            Segment(f"{pair.congruence:>{_FIGURE}.2f}" if width >= _NARROW else "", palette.plain),
        ]

    def plain_row(self, index: int) -> str:
        pair = self.pairs[index]
        return (
            f"{pair.neuron} {quoted(pair.token.text)}, {pair.head}, {_said(pair)},"
            f" congruence {pair.congruence:.2f}"
        )


class ServedRows(_Pairs):
    """The neurons that one head serves: neuron, token, mean attribution, share, active on, what it reads."""

    ORDERS = ("attribution", "share", "active", "neuron", "token")

    def __init__(self, order: PairOrder, *, id: str) -> None:
        super().__init__(order, id=id)
        self._reads: Mapping[NeuronId, HeadReads] = MappingProxyType({})

    def show_reads(self, reads: Mapping[NeuronId, HeadReads]) -> None:
        """What the head reads for the neurons of which that is known."""
        self._reads = reads
        self.forget()

    def copy_text(self) -> str | None:
        """What `y` copies here."""
        return None if self.current is None else str(self.current.neuron)

    def table(self) -> Table:
        names = (
            "neuron", "token", "congruence", "mean_attribution", "active_fraction", "share", "reads",
        )  # fmt: skip
        rows = (
            (
                str(pair.neuron), pair.token.text, pair.congruence, pair.mean_attribution,
                pair.active_fraction, pair.share, reads_words(self._reads.get(pair.neuron)),
            )
            for pair in self.pairs
        )  # fmt: skip
        return (names, *rows) if self.pairs else ()

    def _bar_width(self, width: int) -> int:
        return 4 if width < _WIDE else _MOST_BAR

    def heading(self, width: int) -> list[Segment]:
        text = (
            f" {self._title('neuron'):<{_NEURON}}{self._title('token'):<{self._token_width(width)}}"
            f"{self._title('attribution'):>{_FIGURE}} {'':<{self._bar_width(width)}}"
            f"{self._figures_heading()}  reads most"
        )
        return [Segment(fit(text, width), self.palette.heading)]

    def row(self, index: int, width: int) -> list[Segment]:
        pair, palette, bar = self.pairs[index], self.palette, self._bar_width(width)
        token = fit(visible_token(pair.token.text), self._token_width(width) - 1)
        used = 1 + _NEURON + self._token_width(width) + _FIGURE + 1 + bar + 2 * _SHARE + 2
        return [
            Segment(f" {pair.neuron!s:<{_NEURON}}", palette.plain),
            Segment(f"{token} ", palette.strong),
            Segment(f"{signed(pair.mean_attribution):>{_FIGURE}} ", palette.plain),
            self._bar(pair, bar),
            Segment(f"{self._figures(pair)}  ", palette.plain),
            Segment(fit(reads_words(self._reads.get(pair.neuron)), max(0, width - used)), palette.dim),
        ]

    def plain_row(self, index: int) -> str:
        pair = self.pairs[index]
        reads = reads_words(self._reads.get(pair.neuron))
        said = f"{pair.neuron} {quoted(pair.token.text)}, {_said(pair)}"
        return f"{said}, reads most {reads}" if reads else said


def _said(pair: SurveyedPair) -> str:
    return (
        f"mean attribution {signed(pair.mean_attribution)}, share {share_text(pair.share)},"
        f" active on {pair.active_fraction:.0%}"
    )
