"""What a sum is made of: a list of components (or groups of them), and a waterfall over the layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType

from tui_lookups.tui.paint.head_rows import percent, plain, signed
from tui_lookups.tui.paint.shading import level
from tui_lookups.tui.paint.text_layout import fit, quoted
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.visible import visible_token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tui_lookups.tui.state.contribution_rows import LayerRow, Row

_LEFT, _NAME, _FIGURES, _GROUP = 16, 11, 20, 33
_LEAST_BAR, _MOST_BAR, _LONGEST_STEP = 3, 48, 60
_SHARES_FROM = 1e-6
"""Of a target below it no shares are said: all would be huge."""


class ContributionRows(RowList):
    """One row a component or a group: what it adds, its share, a bar, and what is known of a neuron."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter,g",
            "open",
            "open",
            id="components.open",
            tooltip="Go on with this neuron or head on this text",
        ),
    ]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.rows: tuple[Row, ...] = ()
        self._target = 0.0

    def show_rows(self, rows: tuple[Row, ...], target: float, cursor: int = 0) -> None:
        """Show these, largest first; `target` is what shares are of, 0 where there are none."""
        self.rows, self._target = rows, target
        self.rows_changed(cursor)

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self.rows[self.cursor] if self.rows else None

    def row_count(self) -> int:
        return len(self.rows)

    def table(self) -> Sequence[Sequence[str | float | None]]:
        """Every row with all its figures, the names of the columns first."""
        names = ("component", "contribution", "activation", "congruence", "next_token", "active_fraction")
        rows = (
            (row.name, row.value, row.activation, row.congruence, "own" if row.own else None, row.active)
            for row in self.rows
        )
        return (names, *rows) if self.rows else ()

    @property
    def _maximum(self) -> float:
        return max((abs(row.value) for row in self.rows), default=0.0)

    @property
    def _has_figures(self) -> bool:
        return any(row.activation is not None or row.active is not None for row in self.rows)

    def _share(self, row: Row) -> str:
        return percent(row.value / self._target) if abs(self._target) > _SHARES_FROM else ""

    def _bar(self, width: int) -> int:
        grouped = bool(self.rows) and self.rows[0].first is not None
        room = width - _LEFT - (_GROUP if grouped else _NAME + (_FIGURES if self._has_figures else 0))
        return max(_LEAST_BAR, min(_MOST_BAR, room))

    def heading(self, width: int) -> list[Segment]:
        first = self.rows[0] if self.rows else None
        name = "group" if first is not None and first.first is not None else "component"
        figures = ""
        if any(row.active is not None for row in self.rows):
            figures = f"{'active on':>10}"
        elif self._has_figures:
            says = any(row.congruence is not None for row in self.rows)
            figures = f"{'act.':>7}" + (f" {'congr.':>7} own" if says else "")
        share = "share" if self._target else ""
        text = f"{'adds':>8}{share:>6} {'':<{self._bar(width)}} {fit(name, _NAME)}{figures}"
        return [Segment(fit(text, width), self.palette.heading)]

    def row(self, index: int, width: int) -> list[Segment]:
        row, palette, top = self.rows[index], self.palette, self._maximum
        bar, style = self._bar(width), palette.plain + palette.shade(level(row.value, top))
        figures, room = _figures(row), max(0, width - _LEFT - bar)
        name = fit(row.name, _NAME) + figures if figures else row.name
        return [  # few segments: each costs bytes
            Segment(f"{signed(row.value):>8}", style),
            Segment(f"{self._share(row):>6} ", palette.plain),
            Segment(palette.bar_text(abs(row.value), top, bar), palette.bar),
            Segment(fit(f" {name}", room + 1), palette.plain),
        ]

    def plain_row(self, index: int) -> str:
        row = self.rows[index]
        kind = "" if row.component is None else f"{row.component.kind} "
        share = self._share(row)
        said = [f"{kind}{row.name}, adds {signed(row.value)}", *([f"share {share}"] if share else [])]
        if row.active is not None:
            said.append(f"active on {row.active:.0%} of the prompts")
        if row.activation is not None:
            said.append(f"activation {plain(row.activation)}")
        if row.congruence is not None:
            said.append(f"congruence {signed(row.congruence)}")
        if row.own:
            said.append(f"next-token {kind.strip()}")
        return ", ".join(said)


def _figures(row: Row) -> str:
    if row.active is not None:
        return f"{row.active:>10.0%}"
    if row.activation is None:
        return ""
    congruence = "" if row.congruence is None else signed(row.congruence)
    return f"{plain(row.activation):>7} {congruence:>7} {'own' if row.own else ''}"


_FIGURE = 8
_LENS, _SHORT_LENS = 14, 10
_WITH_LOGIT = 66
"""Cells from which the figure of the logit lens stands before its token."""


class LayerRows(RowList):
    """One row a layer: what heads and neurons add, the sum so far as a waterfall, the logit lens."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter",
            "open",
            "its largest",
            id="layers.open",
            tooltip="The layer's largest component, in the list",
        ),
    ]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.rows: tuple[LayerRow, ...] = ()

    def show_rows(self, rows: tuple[LayerRow, ...], cursor: int = 0) -> None:
        """Show these, first layer first."""
        self.rows = rows
        self.rows_changed(cursor)

    @property
    def current(self) -> LayerRow | None:
        """The row under the cursor."""
        return self.rows[self.cursor] if self.rows else None

    def row_count(self) -> int:
        return len(self.rows)

    def table(self) -> Sequence[Sequence[str | float | None]]:
        """Every row with all its figures, the names of the columns first."""
        names = ("layer", "heads", "neurons", "biases", "added", "total", "lens_logit", "lens_token")
        rows = (
            (
                row.name, row.heads, row.neurons, row.biases, row.added, row.total, row.lens_logit,
                None if row.lens is None else row.lens.text,
            )
            for row in self.rows
        )  # fmt: skip
        return (names, *rows) if self.rows else ()

    def _has(self, part: str) -> bool:
        return any(getattr(row, part) is not None for row in self.rows)

    @property
    def _label(self) -> int:
        return max((len(row.name) for row in self.rows), default=0) + 2

    def _columns(self, width: int) -> tuple[list[str], int, int]:
        """The figures that are shown, the cells of the bar and those of the lens."""
        parts = [part for part in ("heads", "neurons") if self._has(part)]
        if any(row.biases for row in self.rows):  # many models have none
            parts.append("biases")
        lens = 0
        if self._has("lens"):
            lens = _LENS + _FIGURE if width >= _WITH_LOGIT else _LENS if len(parts) < 3 else _SHORT_LENS
        bar = width - self._label - _FIGURE * (len(parts) + 1) - lens - 1
        return parts, max(_LEAST_BAR, min(_LONGEST_STEP, bar)), lens

    def heading(self, width: int) -> list[Segment]:
        parts, bar, lens = self._columns(width)
        figures = "".join(f"{part:>{_FIGURE}}" for part in (*parts, "so far"))
        said = " logit lens" if lens > _SHORT_LENS else " lens" if lens else ""
        return [Segment(fit(f"{'':<{self._label}}{figures} {'':<{bar}}{said}", width), self.palette.heading)]

    def row(self, index: int, width: int) -> list[Segment]:
        row, palette = self.rows[index], self.palette
        parts, bar, lens = self._columns(width)
        values = [getattr(row, part) for part in parts]
        figures = "".join(f"{'' if value is None else signed(value):>{_FIGURE}}" for value in values)
        if all(value is None for value in values):  # no layer: its one figure stands under none of them
            figures = fit(f"  {signed(row.added)}", _FIGURE * len(parts))
        logit = f"{'' if row.lens_logit is None else plain(row.lens_logit):>{_FIGURE}}"
        lens_room = lens - (_FIGURE if lens > _LENS else 0)
        label = fit(f" {row.name}", self._label)
        lens_token = fit(f" {visible_token(row.lens.text)}" if row.lens else "", lens_room)
        return [  # few segments: each costs bytes
            Segment(f"{label}{figures}{plain(row.total):>{_FIGURE}} ", palette.plain),
            Segment(self._step(row, bar), palette.bar),
            Segment((logit if lens > _LENS else "") + lens_token, palette.plain),
        ]

    def _step(self, row: LayerRow, width: int) -> str:
        """From the sum before to the sum behind, on one scale for all rows; full blocks go up."""
        if self.palette.few_bytes:
            return " " * width
        ends = [0.0, *(row.total for row in self.rows)]
        low, high = min(ends), max(ends)
        if high == low:
            return " " * width

        def cell(value: float) -> int:
            return min(width - 1, int((value - low) / (high - low) * width))

        first, last = sorted((cell(row.total - row.added), cell(row.total)))
        return " " * first + ("█" if row.added >= 0 else "░") * (last - first + 1) + " " * (width - last - 1)

    def plain_row(self, index: int) -> str:
        row = self.rows[index]
        parts = (("heads", row.heads), ("neurons", row.neurons), ("biases", row.biases))
        values = [f"{name} {signed(value)}" for name, value in parts if value is not None]
        said = [row.name, *(values or [signed(row.added)]), f"so far {plain(row.total)}"]
        if row.lens is not None:
            logit = "" if row.lens_logit is None else f" {plain(row.lens_logit)}"
            said.append(f"logit lens{logit}, most probable {quoted(row.lens.text)}")
        return ", ".join(said)
