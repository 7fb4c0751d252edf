"""The atlas: the model's next-token neurons, layer by layer, and where tokens' best neurons live."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal

from tui_lookups.results import AtlasNeuron
from tui_lookups.tui.paint.text_layout import fit
from tui_lookups.tui.screens.query_screen import QueryScreen
from tui_lookups.tui.state.orders import (
    ATLAS_LAYERS,
    ATLAS_NEURONS,
    atlas_layers_in,
    atlas_neurons_in,
    following,
)
from tui_lookups.tui.state.queries import explain_error
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.widgets.bindings import SORT_KEY
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.tui.widgets.text import TextLines
from tui_lookups.visible import visible, visible_token

if TYPE_CHECKING:
    from textual.await_complete import AwaitComplete

    from tui_lookups.explorer import Explorer
    from tui_lookups.results import Atlas, AtlasLayer
    from tui_lookups.tui.state.orders import (
        AtlasLayerOrder,
        AtlasNeuronOrder,
    )
    from tui_lookups.tui.text.tsv import Table

PER_LAYER = 100


@dataclass(frozen=True, slots=True)
class AtlasPlace:
    """Where the atlas was left: the rows under the cursors, the list with the focus, and both orders."""

    layer: int = 0
    neuron: int = 0
    in_neurons: bool = False
    layers_by: AtlasLayerOrder = "layer"
    neurons_by: AtlasNeuronOrder = "congruence"


def _mark(orders: bool) -> str:
    """Behind the heading of the column that the rows go by."""
    return "▾" if orders else " "


class LayerRows(RowList):
    """One row a layer: how many tokens have their best neuron in it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,right,l", "open", "its neurons", id="atlas.layer", tooltip="To the layer's neurons"),
        replace(
            SORT_KEY, tooltip="Layers in their order, or by how many tokens have their best neuron there"
        ),
    ]

    def __init__(self, order: AtlasLayerOrder = "layer", *, id: str) -> None:
        super().__init__(id=id)
        self.order: AtlasLayerOrder = order
        self.found: tuple[AtlasLayer, ...] = ()

    def show_layers(self, layers: tuple[AtlasLayer, ...], cursor: int) -> None:
        """Show the layers of the model, the cursor on a row."""
        self.found = atlas_layers_in(self.order, layers)
        self.rows_changed(cursor)

    def table(self) -> Table:
        rows = ((row.layer, row.best_of_tokens) for row in self.found)
        return (("layer", "best_of_tokens"), *rows) if self.found else ()

    def action_sort(self) -> None:
        if self.found:
            self.order, here = following(ATLAS_LAYERS, self.order), self.found[self.cursor]
            self.found = atlas_layers_in(self.order, tuple(sorted(self.found, key=lambda row: row.layer)))
            self.rows_changed(self.found.index(here))

    def row_count(self) -> int:
        return len(self.found)

    def heading(self, width: int) -> list[Segment]:
        layer, tokens = (_mark(name == self.order) for name in ATLAS_LAYERS)
        return [Segment(fit(f" layer{layer} best for tokens{tokens}", width), self.palette.heading)]

    def row(self, index: int, width: int) -> list[Segment]:
        palette, layer = self.palette, self.found[index]
        top = max(layer.best_of_tokens for layer in self.found)
        count = f"{layer.best_of_tokens:>9,} "
        return [
            Segment(f" L{layer.layer:<4}", palette.strong),
            Segment(count, palette.plain),
            Segment(palette.bar_text(layer.best_of_tokens, top, max(0, width - 6 - len(count))), palette.bar),
        ]


class AtlasRows(RowList):
    """One row a next-token neuron of the layer, best first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open", id="atlas.open", tooltip="Open the neuron and its token"),
        Binding("left,h", "screen.layers", "layers", id="atlas.layers", tooltip="Back to the layers"),
        replace(SORT_KEY, tooltip="By the top token's congruence, by neuron, or by token"),
    ]

    def __init__(self, order: AtlasNeuronOrder = "congruence", *, id: str) -> None:
        super().__init__(id=id)
        self.order: AtlasNeuronOrder = order
        self._ranked: tuple[AtlasNeuron, ...] = ()
        self.neurons: tuple[AtlasNeuron, ...] = ()

    def show_neurons(self, neurons: tuple[AtlasNeuron, ...], cursor: int) -> None:
        """Show a layer's neurons, best first as given, the cursor on a row."""
        self._ranked = neurons
        self.neurons = atlas_neurons_in(self.order, neurons)
        self.rows_changed(cursor)

    def table(self) -> Table:
        rows = ((str(row.neuron), row.top_congruence, row.top_token.text) for row in self.neurons)
        return (("neuron", "top_congruence", "top_token"), *rows) if self.neurons else ()

    def action_sort(self) -> None:
        here = self.neurons[self.cursor] if self.neurons else None
        self.order = following(ATLAS_NEURONS, self.order)
        self.show_neurons(self._ranked, 0)
        if here is not None:
            self.rows_changed(self.neurons.index(here))

    def row_count(self) -> int:
        return len(self.neurons)

    def heading(self, width: int) -> list[Segment]:
        score, neuron, token = (_mark(name == self.order) for name in ATLAS_NEURONS)
        kind = self.neurons[0].neuron.kind if self.neurons else "neuron"
        text = f"    #  {kind}{neuron}  top congr.{score} token{token}"
        return [Segment(fit(text, width), self.palette.heading)]

    def row(self, index: int, width: int) -> list[Segment]:
        palette, neuron = self.palette, self.neurons[index]
        best = max(abs(n.top_congruence) for n in self.neurons)
        bar_width = max(0, min(14, width - 50))
        left = f"{index + 1:5d}  {neuron.neuron!s:<11} {neuron.top_congruence:6.2f} "
        used = len(left) + bar_width + 1
        return [
            Segment(left, palette.plain),
            Segment(palette.bar_text(abs(neuron.top_congruence), best, bar_width) + " ", palette.bar),
            Segment(fit(visible_token(neuron.top_token.text), max(0, width - used)), palette.strong),
        ]


class AtlasScreen(QueryScreen[AtlasNeuron]):
    """Returns the neuron that was opened, None on escape; `place` is where it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "close", "back", id="atlas.close", tooltip="Back to the walk as it was"),
        Binding("tab", "swap", "other list", id="atlas.swap", tooltip="The other list", show=False),
    ]
    AUTO_FOCUS = "#layers"

    def __init__(self, explorer: Explorer, place: AtlasPlace) -> None:
        super().__init__(explorer)
        self.place = place
        self.atlas: Atlas | None = None

    def compose(self) -> ComposeResult:
        yield TextLines(id="atlas-title", classes="title")
        with Horizontal(id="atlas-lists"):
            yield LayerRows(self.place.layers_by, id="layers")
            yield AtlasRows(self.place.neurons_by, id="atlas-neurons")
        yield Hints(id="hints")

    def on_mount(self) -> None:
        self._title("Atlas")
        self._heard("every layer")

        def question(tell: Callable[[str], None]) -> Atlas:
            return self.explorer.atlas(
                per_layer=PER_LAYER, read=lambda done, layers: tell(f"layer {done + 1} of {layers}")
            )

        self.queries.ask_telling("atlas", question, self._heard, self._done, self._failed)

    def _heard(self, what: str) -> None:
        stop = key_of(self.app, "atlas.close")
        self.query_one(LayerRows).show_empty(f"Reading {what}\nagainst the vocabulary…\n{stop} stops it")

    def _title(self, *parts: str) -> None:
        palette_line = [Segment(" " + "   ".join(parts))]
        self.query_one("#atlas-title", TextLines).show_lines(tuple(palette_line))

    def _failed(self, error: BaseException) -> None:
        message, hint = explain_error(error)
        self.query_one(LayerRows).show_empty("No atlas.")
        self.query_one(AtlasRows).show_empty(visible(message) + "\n" + visible(hint))

    def _done(self, atlas: Atlas) -> None:
        self.atlas = atlas
        sign = "" if atlas.sign == "+" else f"sign {atlas.sign}"
        self._title(
            f"Atlas: next-token {atlas.provenance.model.kind}s by layer",
            f"{atlas.tokens:,} tokens",
            f"basis {atlas.basis}",
            *([sign] if sign else []),
        )
        self.query_one(AtlasRows).show_empty(f"No next-token {atlas.provenance.model.kind} here.")
        place = self.place
        self.query_one(LayerRows).show_layers(atlas.layers, place.layer)
        self._show_layer(place.neuron)
        if place.in_neurons:
            self.query_one(AtlasRows).focus()

    def _show_layer(self, cursor: int) -> None:
        layers = self.query_one(LayerRows)
        if layers.found:
            self.query_one(AtlasRows).show_neurons(layers.found[layers.cursor].neurons, cursor)

    @on(RowList.Moved, "#layers")
    def _layer_moved(self) -> None:
        self._show_layer(0)

    @on(RowList.Opened, "#layers")
    def _layer_opened(self) -> None:
        self.query_one(AtlasRows).focus()

    @on(RowList.Opened, "#atlas-neurons")
    def _neuron_opened(self) -> None:
        rows = self.query_one(AtlasRows)
        self.dismiss(rows.neurons[rows.cursor])

    def dismiss(self, result: AtlasNeuron | None = None) -> AwaitComplete:
        """Close it, keeping where it is left."""
        if self.atlas is not None and self.is_current:
            layers, rows = self.query_one(LayerRows), self.query_one(AtlasRows)
            self.place = AtlasPlace(layers.cursor, rows.cursor, rows.has_focus, layers.order, rows.order)
        return super().dismiss(result)

    def action_layers(self) -> None:
        self.query_one(LayerRows).focus()

    def action_swap(self) -> None:
        rows = self.query_one(AtlasRows)
        (self.query_one(LayerRows) if rows.has_focus else rows).focus()

    def action_close(self) -> None:
        self.dismiss(None)
