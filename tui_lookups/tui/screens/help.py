"""The help screen: made from the bindings of the pane that had the focus."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from rich.segment import Segment
from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from tui_lookups.tui.text_layout import fit
from tui_lookups.tui.widgets.row_list import RowList

_WHERE = {
    "neurons": "Neurons",
    "prompts": "Prompts",
    "heads": "Heads",
    "detail": "Head",
    "head": "The chosen head",
    "atlas": "Atlas",
    "playground": "Playground",
    "explained": "Explanations",
    "token": "Token box",
    "list": "Lists",
    "walk": "Anywhere on the walk",
    "app": "Anywhere",
}


class KeyRows(RowList):
    """Keys, what they do, grouped by where they work."""

    def __init__(self, rows: tuple[tuple[str, str], ...], *, id: str) -> None:
        super().__init__(id=id)
        self._rows = rows

    def on_mount(self) -> None:
        self.rows_changed(0)

    def row_count(self) -> int:
        return len(self._rows)

    def row(self, index: int, width: int) -> list[Segment]:
        keys, what = self._rows[index]
        if not keys:
            return [Segment(fit(what, width), self.palette.accent)]
        return [
            Segment(fit("  " + keys, 20), self.palette.strong),
            Segment(fit(what, max(0, width - 20)), self.palette.plain),
        ]


class HelpScreen(ModalScreen[None]):
    """Every key that works where the focus was."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark", "dismiss", "close", id="help.close", tooltip="Back to the walk"),
    ]

    def __init__(self, bindings: list[ActiveBinding]) -> None:
        super().__init__()
        self._bindings_shown = bindings

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog -list") as dialog:
            dialog.border_title = "Keys"
            dialog.border_subtitle = "escape closes"
            yield KeyRows(self.rows(), id="keys")

    def rows(self) -> tuple[tuple[str, str], ...]:
        """(keys, what they do); a row without keys begins a group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for active in self._bindings_shown:
            binding = active.binding
            if not binding.id or not binding.tooltip:
                continue
            where = binding.id.partition(".")[0]
            keys = self._keys(active)
            groups.setdefault(_WHERE.get(where, where), []).append((keys, binding.tooltip))
        rows: list[tuple[str, str]] = []
        for title, entries in groups.items():
            rows.append(("", title))
            rows.extend(entries)
        return tuple(rows)

    def _keys(self, active: ActiveBinding) -> str:
        """Every key of the binding, as the node that holds it has them."""
        same = [
            self.app.get_key_display(replace(binding, key_display=None))
            for _, binding in active.node._bindings
            if binding.id == active.binding.id
        ]
        return " ".join(dict.fromkeys(same)) or self.app.get_key_display(active.binding)
