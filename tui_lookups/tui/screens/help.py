"""The help screen: made from the bindings of the pane that had the focus."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen

from tui_lookups.tui.screens.leaving import LeavesOnce
from tui_lookups.tui.shown_keys import key_of
from tui_lookups.tui.text_layout import fit
from tui_lookups.tui.widgets.hints import unique
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
    "all-heads": "All heads in words",
    "token": "Token box",
    "list": "Lists",
    "walk": "Anywhere on the walk",
    "app": "Anywhere",
}


_NAME = 20  # cells of the widest action's name, and one
_MOST_KEYS = 20


class KeyRows(RowList):
    """Keys, what they do and the name of the action, grouped by where they work."""

    def __init__(self, rows: tuple[tuple[str, str], ...], names: tuple[str, ...], *, id: str) -> None:
        super().__init__(id=id)
        self._rows = rows
        self._names = names
        widest = max((cell_len(keys) for keys, _ in rows), default=0)
        self._keys_width = min(_MOST_KEYS, widest + 3)  # two cells of indentation, and one between

    def on_mount(self) -> None:
        self.rows_changed(0)

    def row_count(self) -> int:
        return len(self._rows)

    def row(self, index: int, width: int) -> list[Segment]:
        keys, what = self._rows[index]
        if not keys:
            return [Segment(fit(what, width), self.palette.accent)]
        name = self._names[index]
        return [
            Segment(fit("  " + keys, self._keys_width), self.palette.strong),
            Segment(fit(what, max(0, width - self._keys_width - _NAME)), self.palette.plain),
            Segment(fit(name, _NAME), self.palette.dim),
        ]


class HelpScreen(LeavesOnce, ModalScreen[None]):
    """Every key that works where the focus was."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark", "dismiss", "close", id="help.close", tooltip="Back to the walk"),
    ]

    def __init__(self, bindings: dict[str, ActiveBinding]) -> None:
        super().__init__()
        self._active = bindings

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog -list") as dialog:
            dialog.border_title = "Keys"
            close = key_of(self.app, "help.close")
            dialog.border_subtitle = Content(
                f"{close} closes; names on the right are for [keys] in config.toml"
            )
            rows = self._named_rows()
            yield KeyRows(self.rows(), tuple(name for _, _, name in rows), id="keys")

    def rows(self) -> tuple[tuple[str, str], ...]:
        """(keys, what they do); a row without keys begins a group."""
        return tuple((keys, what) for keys, what, _ in self._named_rows())

    def _named_rows(self) -> tuple[tuple[str, str, str], ...]:
        groups: dict[str, list[tuple[str, str, str]]] = {}
        for active in unique(self._active):
            binding = active.binding
            if not binding.id or not binding.tooltip:
                continue
            where = binding.id.partition(".")[0]
            row = (self._keys(active), binding.tooltip, binding.id)
            groups.setdefault(_WHERE.get(where, where), []).append(row)
        rows: list[tuple[str, str, str]] = []
        for title, entries in groups.items():
            rows.append(("", title, ""))
            rows.extend(entries)
        return tuple(rows)

    def _keys(self, active: ActiveBinding) -> str:
        """Every key that leads to the binding where the focus was."""
        same = [
            self.app.get_key_display(replace(other.binding, key_display=None))
            for other in self._active.values()
            if other.binding.id == active.binding.id
        ]
        return " ".join(dict.fromkeys(same))
