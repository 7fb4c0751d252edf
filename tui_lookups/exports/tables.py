"""Records as csv, tsv, Markdown, LaTeX and parquet, and as a data frame.

1. csv and tsv are quoted as Python's csv module does and Excel reads. On a terminal control characters are
   made visible; in a file or a pipe texts are what they are.
2. Markdown and LaTeX are read by another program: what means something to it is escaped in every text, and
   control characters are made visible. A LaTeX table is one `tabular` with the rules of booktabs.
3. Parquet and data frames keep numbers as numbers, and what is missing missing.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui_lookups.errors import FlagError, LookupsError
from tui_lookups.exports.records import Record, records_of
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from pandas import DataFrame

    from tui_lookups.exports.formats import RecordFormat

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%",
    "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}", "-": "{-}", "!": "{!}", "?": "{?}", ",": "{,}",
    "[": "{[}", "*": "{*}",
}  # fmt: skip
"""What LaTeX reads as a command, alone, doubled or after the end of a row, or draws as another character."""

_LATEX |= {
    "\u23ce": r"\ensuremath{\hookleftarrow}", "\u21e5": r"\ensuremath{\rightarrow}",
    "\u237d": r"\textbackslash{}u00a0", "\u2421": r"\textasciicircum{}{?}",
    **{
        chr(0x2400 + code): r"\textasciicircum{}" + _LATEX.get(chr(64 + code), chr(64 + code))
        for code in range(32)
    },
}  # fmt: skip
"""The pictures of control characters (visible.py), which no font of LaTeX's own has: ESC as ^[."""

_LATEX_NEEDS = (
    "% \\usepackage{booktabs} and \\usepackage[T1]{fontenc}; LuaLaTeX or XeLaTeX for texts beyond Latin\n"
)

_MARKDOWN = re.compile(r"[\\`*_\[\]<>|~$&]")


def encode(result: object, form: RecordFormat, *, terminal: bool = False) -> bytes:
    """The records of a result, or of a sequence of results, in one of the formats, as UTF-8.

    Args:
        terminal: it is written to one.
    Raises:
        FlagError: parquet to a terminal.
    """
    if form == "parquet" and terminal:
        raise FlagError("A parquet file is not for a terminal.", "Send it to a file: `> FILE.parquet`.")
    records = records_of(result)
    return encode_records(records, list(records[0]) if records else [], form, terminal=terminal)


def encode_records(
    records: list[Record], names: Sequence[str], form: RecordFormat, *, terminal: bool = False
) -> bytes:
    """Records in one of the formats, with columns of these names; of a table without rows, these alone."""
    if form == "parquet":
        return _parquet(records, names)
    text = ""
    if names and form == "markdown":
        text = _markdown(records, names)
    elif names and form == "latex":
        text = _latex(records, names)
    elif names:
        text = _separated(records, names, "," if form == "csv" else "\t", terminal)
    return _utf8(text)


def to_frame(result: object) -> DataFrame:
    """The records of a result, or of a sequence of results, as a pandas data frame.

    Its columns are those of `--format csv`: `to_frame(explorer.neurons(" time"))`. A list that is not a
    result's own is given by itself: `to_frame(explorer.survey().heads)`.

    Raises:
        LookupsError: pandas is not installed.
    """
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise LookupsError(
            "A data frame needs pandas, which is not installed.",
            "Install pandas, or take tui_lookups.exports.records.records_of(result): a list of dictionaries.",
        ) from error
    return DataFrame(records_of(result))


def _cell(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _separated(records: list[Record], names: Sequence[str], delimiter: str, terminal: bool) -> str:
    shown = visible if terminal else str
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([shown(_cell(value)) for value in record.values()] for record in records)
    return out.getvalue()


def _markdown(records: list[Record], names: Sequence[str]) -> str:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cells) + " |\n"

    rows = [
        [_MARKDOWN.sub(r"\\\g<0>", visible(_cell(value))) for value in record.values()] for record in records
    ]
    return "".join(map(line, [list(names), ["---"] * len(names), *rows]))


def _latex(records: list[Record], names: Sequence[str]) -> str:
    def line(cells: list[str]) -> str:
        return " & ".join(cells) + " \\\\\n"

    columns = "".join(
        "r" if all(_is_number(row[name], none=True) for row in records) else "l" for name in names
    )
    body = [
        [f"${value}$" if _is_number(value) else as_latex(_cell(value)) for value in record.values()]
        for record in records
    ]
    top = line([as_latex(name) for name in names])
    return (
        f"{_LATEX_NEEDS}\\begin{{tabular}}{{{columns}}}\n\\toprule\n{top}"
        f"\\midrule\n{''.join(map(line, body))}\\bottomrule\n\\end{{tabular}}\n"
    )


def _is_number(value: object, *, none: bool = False) -> bool:
    if value is None:
        return none
    return isinstance(value, int | float) and not isinstance(value, bool)


def as_latex(text: str) -> str:
    """A text as LaTeX sets it unchanged; spaces at its ends, which LaTeX drops, are made visible."""
    shown = visible(text)
    inner = shown.strip(" ")
    before, after = shown.split(inner, 1) if inner else (shown, "")
    space = r"\textvisiblespace{}"
    escaped = "".join(_LATEX.get(character, character) for character in inner)
    return space * len(before) + escaped + space * len(after)


def _parquet(records: list[Record], names: Sequence[str]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    out = io.BytesIO()
    columns = {name: [_encodable(row[name]) for row in records] for name in names}
    parquet.write_table(pyarrow.table(columns), out)
    return out.getvalue()


def _encodable(value: object) -> object:
    """Texts are UTF-8: half of a character, which an answer of an explainer may hold, is written out."""
    return _utf8(value).decode("utf-8") if isinstance(value, str) else value


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
