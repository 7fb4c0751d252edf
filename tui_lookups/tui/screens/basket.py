"""The basket: what is marked, to look through and to take out."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen

from tui_lookups.results import SelectedAblation, SelectedHead, SelectedNeuron, Selection
from tui_lookups.tui.paint.text_layout import fit
from tui_lookups.tui.screens.leaving import LeavesOnce
from tui_lookups.tui.state import basket
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.visible import visible_token

if TYPE_CHECKING:
    from tui_lookups.tui.state.basket import Item


class BasketRows(RowList):
    """One row a marked thing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open", id="basket.open", tooltip="Go to it on the walk"),
    ]

    def __init__(self, selection: Selection, *, id: str) -> None:
        super().__init__(id=id)
        self.items = basket.items(selection)

    def on_mount(self) -> None:
        self.say_empty(f"Nothing is marked.\n{key_of(self.app, 'walk.mark')} marks what is under the cursor.")
        self.rows_changed(0)

    def take(self, selection: Selection) -> None:
        """Show another basket."""
        self.items = basket.items(selection)
        self.rows_changed()

    def row_count(self) -> int:
        return len(self.items)

    def row(self, index: int, width: int) -> list[Segment]:
        kind, text = describe(self.items[index])
        return [Segment(f" {kind:<9}", self.palette.dim), Segment(fit(text, width - 10), self.palette.plain)]


def describe(item: Item) -> tuple[str, str]:
    """The kind of a marked thing and what it is, as visible text."""
    if isinstance(item, SelectedNeuron):
        token = f" for {visible_token(item.token.text)}" if item.token is not None else ""
        return "neuron", f"{item.neuron}{token}"
    if isinstance(item, SelectedHead):
        where = "over all prompts" if item.prompt_id is None else f"on corpus prompt {item.prompt_id}"
        where += ", trimmed" if item.context == "trimmed" else ""
        return "head", f"{item.head} of {item.neuron} {where}"
    if isinstance(item, SelectedAblation):
        where = "at the peak" if item.positions == "peak" else "at all positions"
        where += ", trimmed" if item.context == "trimmed" else ""
        return "ablation", f"{item.neuron} without {item.head}, {item.method} {where}"
    return "prompt", f"corpus prompt {item.prompt_id} of {item.neuron}"


class BasketScreen(LeavesOnce, ModalScreen[Selection]):
    """Returns the basket as it is left; `opened` is what is to be opened then."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,b,q", "close", "close", id="basket.close", tooltip="Back to the walk"),
        Binding("d,delete,space", "remove", "remove", id="basket.remove", tooltip="Take the row out"),
        Binding("x", "export", "export", id="basket.export", tooltip="Write the marked things as JSON"),
    ]

    def __init__(self, selection: Selection) -> None:
        super().__init__()
        self._selection = selection
        self.opened: Item | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog -list") as dialog:
            dialog.border_title = "Marked"
            dialog.border_subtitle = Content(
                "   ".join(
                    f"{key_of(self.app, f'basket.{what}')} {what}"
                    for what in ("open", "remove", "export", "close")
                )
            )
            yield BasketRows(self._selection, id="basket-rows")

    @on(RowList.Opened, "#basket-rows")
    def _opened(self, event: RowList.Opened) -> None:
        self.opened = self.query_one(BasketRows).items[event.index]
        self.dismiss(self._selection)

    def action_close(self) -> None:
        self.dismiss(self._selection)

    def action_remove(self) -> None:
        rows = self.query_one(BasketRows)
        if rows.row_count():
            self._selection = basket.remove(self._selection, rows.items[rows.cursor])
            rows.take(self._selection)

    def action_export(self) -> None:
        self.dismiss(self._selection)
        self.app.call_later(self.app.run_action, "app.export")
