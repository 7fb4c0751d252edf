"""A table as tab-separated lines, for a spreadsheet or a script. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TypeAlias

Cell: TypeAlias = str | int | float | None
Table: TypeAlias = Sequence[Sequence[Cell]]
"""Rows of cells, the first of them the names of the columns."""


def tsv(rows: Iterable[Sequence[Cell]]) -> str:
    """One line a row. A text that would leave its cell, or that a terminal would obey, is a JSON string."""
    return "\n".join("\t".join(_cell(cell) for cell in row) for row in rows)


def _cell(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:.6g}"
    text = str(cell)
    return text if text.isprintable() and '"' not in text else json.dumps(text)
