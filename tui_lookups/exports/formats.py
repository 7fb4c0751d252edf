"""The formats that answers and exports are written in. Light: the command line needs them for its help."""

from __future__ import annotations

from typing import Literal

RecordFormat = Literal["csv", "tsv", "markdown", "latex", "parquet"]
"""Rows and columns (tables.py)."""

ExportFormat = Literal["json", "html", "neuronpedia", RecordFormat]
"""One document, one page, or a folder of files."""

ENDINGS: dict[RecordFormat, str] = {
    "csv": "csv", "tsv": "tsv", "markdown": "md", "latex": "tex", "parquet": "parquet"
}  # fmt: skip
"""What the name of a file of rows ends in."""
