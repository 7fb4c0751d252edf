"""Rows of the table: each is one function, registered by name, that gives the figures it measured.

To add a row, write a function of a `Bench` that returns figures, decorate it with `row`, and import its
module in `benchmarks.__main__`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from benchmarks.workbench import Bench


@dataclass(frozen=True, slots=True)
class Bar:
    """What a figure must reach."""

    kind: Literal["at least", "at most"]
    limit: float

    def holds(self, value: float) -> bool:
        return value >= self.limit if self.kind == "at least" else value <= self.limit


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Attributes:
        what, against: what was measured, and beside what ("" where the figure is absolute).
        value, unit: held to the bar: a ratio ("x"), milliseconds ("ms") or percent ("%").
        bar: None for a figure that is only reported.
        ours, theirs, absolute_unit: the two absolute figures; theirs is None where there is no other side.
        spread: the smallest and the largest of the repetitions of `value`.
        note: what else a reader must know.
    """

    what: str
    against: str
    value: float
    unit: Literal["x", "ms", "%", ""]
    bar: Bar | None
    ours: float
    theirs: float | None
    absolute_unit: str
    spread: tuple[float, float] | None = None
    note: str = ""

    @property
    def falls_short(self) -> bool:
        return self.bar is not None and not self.bar.holds(self.value)


@dataclass(frozen=True, slots=True)
class RowResult:
    """What a row gave: figures, or why it could not be measured (`error`) or does not apply (`skipped`)."""

    name: str
    figures: tuple[Figure, ...] = ()
    error: str = ""
    skipped: str = ""

    @property
    def falls_short(self) -> bool:
        return bool(self.error) or any(figure.falls_short for figure in self.figures)


class NotHere(Exception):
    """Raised by a row that this machine cannot measure, such as one of a GPU: says why, is no failure."""


Measure = Callable[["Bench"], Sequence[Figure]]


@dataclass
class Registry:
    """Rows in the order they were added."""

    rows: dict[str, Measure] = field(default_factory=dict)

    def row(self, name: str) -> Callable[[Measure], Measure]:
        """Decorator: register a row. Raises ValueError for a name that is taken."""

        def add(measure: Measure) -> Measure:
            if name in self.rows:
                raise ValueError(f"there is a row {name} already")
            self.rows[name] = measure
            return measure

        return add

    def run(self, name: str, bench: Bench) -> RowResult:
        """Measure one row; an error becomes its result, so that the others are measured all the same."""
        try:
            return RowResult(name, tuple(self.rows[name](bench)))
        except NotHere as reason:
            return RowResult(name, skipped=str(reason))
        except Exception as error:  # noqa: BLE001 - reported in the table, and in the exit status
            return RowResult(name, error=f"{type(error).__name__}: {error}")


REGISTRY = Registry()
row = REGISTRY.row
