"""The folder of a survey: its tables, the report as a page, and the report's data.

The data, `report.json`, is last: where it is, the folder is whole, and the others can be made from it again.
"""

from __future__ import annotations

import json
from pathlib import Path

from tui_lookups.exports.formats import RecordFormat
from tui_lookups.exports.long_form import write_tables
from tui_lookups.exports.report import Report
from tui_lookups.exports.report_page import page
from tui_lookups.exports.writing import refusing
from tui_lookups.home import expanded
from tui_lookups.storage import codec
from tui_lookups.storage.files import write_atomically


def write_folder(report: Report, folder: Path, form: RecordFormat) -> None:
    """Write them into a folder, which may exist: files of these names are replaced, others stay.

    Raises ExportError where they cannot be written, NumericalError for a NaN or infinity.
    """
    folder = expanded(folder)
    write_tables(report, folder, form)
    data = json.dumps(codec.to_plain(report), allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    problem = f"The report cannot be written to {folder}"
    with refusing(problem, "Name another folder; what was surveyed is in the cache."):
        write_atomically(folder / "report.html", page(report).encode("utf-8"))
        write_atomically(folder / "report.json", data.encode("ascii") + b"\n")
