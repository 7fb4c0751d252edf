"""The neurons of a token: ranked by congruence, or in another order."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.message import Message

from tui_lookups.errors import BadIdError
from tui_lookups.results import SelectedNeuron
from tui_lookups.tui.paint.text_layout import fit, quoted
from tui_lookups.tui.state.orders import NEURONS, following, neurons_in
from tui_lookups.tui.state.token_sets import looked_for, members_of
from tui_lookups.tui.widgets.bindings import SORT_KEY, hidden
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.visible import visible_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tui_lookups.ids import NeuronId
    from tui_lookups.results import NeuronScore, Token
    from tui_lookups.tui.state.orders import NeuronOrder
    from tui_lookups.tui.text.tsv import Table


class NeuronsTable(RowList):
    """Rows: mark, neuron, congruence with a bar, cosine, the token's rank, the neuron's top token."""

    THING = "neuron"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open", id="neurons.open", tooltip="Open the neuron: what fires it"),
        hidden("right,l", "open", "onwards", "neurons.right", "On to the prompts of the neuron"),
        Binding("f", "layer(1)", "layer", id="neurons.layer", tooltip="Only the next layer's neurons"),
        hidden("F", "layer(-1)", "layer back", "neurons.layer-back", "Only the layer before"),
        Binding(
            "o",
            "own",
            "own token",
            id="neurons.own",
            tooltip="Only neurons whose own top token is this token (next-token neurons)",
        ),
        replace(
            SORT_KEY, tooltip="By congruence, cosine, the token's rank, layer, or how often it is active"
        ),
    ]

    class Sorted(Message):
        """The rows are in another order."""

    class Filter(Message):
        """Another filter is wanted: a step through the layers, or the own-token filter toggled."""

        def __init__(self, layer_step: int = 0, toggle_own: bool = False) -> None:
            super().__init__()
            self.layer_step = layer_step
            self.toggle_own = toggle_own

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._all: tuple[NeuronScore, ...] = ()
        self._rows: tuple[NeuronScore, ...] = ()
        self._needle = ""
        self._token: Token | None = None
        self._open: NeuronId | None = None
        self.order: NeuronOrder = "congruence"
        self._activity: Mapping[NeuronId, float] = MappingProxyType({})

    def show_neurons(
        self,
        neurons: tuple[NeuronScore, ...],
        token: Token | None,
        activity: Mapping[NeuronId, float] = MappingProxyType({}),
    ) -> None:
        """Show a ranking, cursor on the open neuron where it is in it, else on the first.

        `activity`: the share of tokens on which a neuron is above zero, where that is known.
        """
        same = neurons == self._all
        keep = self.under_cursor.neuron if same and self.under_cursor else self._open
        self._all, self._token, self._activity = neurons, token, activity
        self._sift(keep)

    def action_sort(self) -> None:
        self.order = following(NEURONS, self.order)
        self._sift(self.under_cursor.neuron if self.under_cursor else None)
        self.post_message(self.Sorted())

    def set_open(self, neuron: NeuronId | None) -> None:
        """Which neuron the other panes show; the cursor goes to it where it is in the list."""
        self._open = neuron
        self.forget()
        index = next((i for i, score in enumerate(self._rows) if score.neuron == neuron), None)
        if index is not None:
            self.cursor = index

    def sift(self, needle: str) -> None:
        """Keep the rows whose neuron or top token holds `needle`."""
        if needle != self._needle:
            self._needle = needle
            self._sift(self.under_cursor.neuron if self.under_cursor else None)

    @property
    def needle(self) -> str:
        """The text filter that is on."""
        return self._needle

    def unlisted(self, neuron_id: type[NeuronId]) -> NeuronId | None:
        """The neuron whose whole name is the text filter, where no row passes it; of this kind if bare."""
        if self._rows or not self._needle:
            return None
        try:
            return neuron_id.parse(self._needle)
        except BadIdError:
            return None  # most texts are no such name

    @property
    def total(self) -> int:
        """Rows before the text filter."""
        return len(self._all)

    def _sift(self, keep: NeuronId | None) -> None:
        needle = self._needle.casefold()
        self._rows = tuple(
            score
            for score in neurons_in(self.order, self._all, self._activity)
            if needle in str(score.neuron).casefold()
            or needle in score.top_token.text.casefold()
            or needle in visible_token(score.top_token.text).casefold()
        )
        self.rows_changed(next((i for i, score in enumerate(self._rows) if score.neuron == keep), 0))

    @property
    def under_cursor(self) -> NeuronScore | None:
        """The neuron under the cursor."""
        return self._rows[self.cursor] if self._rows else None

    def marked_item(self) -> SelectedNeuron | None:
        """What space marks here."""
        score = self.under_cursor
        return None if score is None else SelectedNeuron(score.neuron, looked_for(self._token, score))

    def copy_text(self) -> str | None:
        """What `y` copies here."""
        score = self.under_cursor
        return None if score is None else str(score.neuron)

    def table(self) -> Table:
        if not self._rows:
            return ()
        names = ("neuron", "congruence", "cosine", "token_rank", "top_token", "top_congruence", "above_zero")
        rows = (
            (
                str(row.neuron), row.congruence, row.cosine, row.token_rank,
                row.top_token.text, row.top_congruence, self._activity.get(row.neuron),
            )
            for row in self._rows
        )  # fmt: skip
        return (names, *rows)

    def row_count(self) -> int:
        return len(self._rows)

    def heading(self, width: int) -> list[Segment]:
        third = "act." if self.order == "activity" else "cos"
        kind = self._rows[0].neuron.kind if self._rows else self.THING
        text = f"   {kind:<9} {'congr.':>6} {'':<{_bar_width(width)}} {third:>5} {'rank':>5} top token"
        return [Segment(fit(text, width), self.palette.heading)]

    def row(self, index: int, width: int) -> list[Segment]:
        score, palette = self._rows[index], self.palette
        best = max((abs(s.congruence) for s in self._rows), default=0.0)
        mark = "●" if score.neuron in self._marked else " "
        here = "▸" if score.neuron == self._open else " "
        name_style = palette.accent if score.neuron == self._open else palette.plain
        wide = _bar_width(width)
        own = score.top_token in members_of(self._token)
        top = visible_token(score.top_token.text)
        left = f" {score.congruence:6.2f} "
        third = self._active(score) if self.order == "activity" else f"{score.cosine:.2f}"
        right = f" {third:>5} {score.token_rank:5d} "
        used = 3 + 9 + len(left) + wide + len(right)
        return [
            Segment(f"{mark}{here} ", palette.accent),
            Segment(fit(str(score.neuron), 9), name_style),
            Segment(left, palette.plain),
            Segment(palette.bar_text(abs(score.congruence), best, wide), palette.bar),
            Segment(right, palette.plain),
            Segment(fit(top, max(0, width - used)), palette.strong if own else palette.dim),
        ]

    def plain_row(self, index: int) -> str:
        score = self._rows[index]
        marked = ", marked" if score.neuron in self._marked else ""
        opened = ", open" if score.neuron == self._open else ""
        active = f", active on {self._active(score)} of the tokens" if self.order == "activity" else ""
        return (
            f"{score.neuron}, congruence {score.congruence:.2f}, cosine {score.cosine:.2f},"
            f" rank {score.token_rank}, top token {quoted(score.top_token.text)}{active}{opened}{marked}"
        )

    def _active(self, score: NeuronScore) -> str:
        share = self._activity.get(score.neuron)
        return "–" if share is None else f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"

    def action_layer(self, step: int) -> None:
        self.post_message(self.Filter(layer_step=step))

    def action_own(self) -> None:
        self.post_message(self.Filter(toggle_own=True))


def _bar_width(width: int) -> int:
    return 3 if width < 56 else 12
