"""An answer as records, for --format csv, tsv, markdown and parquet.

1. The records of a result are the objects of one of its lists (`_LISTS`); a result without one is one record.
2. What all of them share and do not say themselves, such as the neuron asked about, stands in front.
3. An object within a record gets dotted names (`top_token.text`), a list of tokens is the text that they
   spell, any other list is JSON. Numbers have all their digits, as in --json.
4. csv and tsv are quoted as Python's csv module does and Excel reads. On a terminal control characters are
   made visible; in a file or a pipe texts are what they are.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tui_lookups.errors import FlagError
from tui_lookups.storage.codec import to_plain
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from tui_lookups.commands.flags import RecordFormat

Record = dict[str, Any]

_LISTS = {
    "Activations": ("tokens", "activations"),
    "Atlas": ("layers",),
    "Carried": ("contributions",),
    "ExplainedList": ("explained",),
    "HeadAblation": ("prompts",),
    "HeadAttributions": ("heads",),
    "HeadOverview": ("heads",),
    "InputsOverview": ("neurons",),
    "NeuronExamples": ("examples",),
    "NeuronInputs": ("contributions",),
    "NeuronPrompts": ("prompts",),
    "NearestNeurons": ("neurons",),
    "NeuronTokens": ("tokens",),
    "NeuronsOfTokens": ("tokens",),
    "PairComparison": ("pairs",),
    "PeakFigures": ("prompts",),
    "PromptsWithFigures": ("prompts", "figures"),
    "ScoreReport": ("scores",),
    "ServedNeurons": ("pairs",),
    "Survey": ("pairs",),
    "TokenNeurons": ("neurons",),
    "Trace": ("nodes",),
    "Why": ("contributions",),
    "WhyByLayer": ("layers",),
}
"""By a result's class, the list that holds its records; of several, equally long, each gives its part."""

_SIDES = {"key": "key_side", "query": "query_side", "pairs": "pairs"}

_WITHIN = {"Atlas": "neurons", "NeuronsOfTokens": "neurons"}
"""Where a list's objects have a list of their own, which is it."""

_SHARED = ("token", "foil", "neuron", "head", "layer", "method", "context")
_NAME_OF_NUMBER = {"activations": "activation"}


def records_of(result: object) -> list[Record]:
    """The records of a result, all with the same names. Raises NumericalError as `to_plain` does."""
    plain, kind = to_plain(result), type(result).__name__
    lists = _LISTS.get(kind)
    if kind == "SideOf":  # one side of why a head attends, or its pairs
        lists, plain = (_SIDES[plain["side"]],), plain["found"]
    if lists is None:
        plain.pop("provenance", None)
        return [_flat(plain)]
    parts = [_objects(name, plain[name]) for name in lists if plain[name]]
    rows = [{name: value for part in row for name, value in part.items()} for row in zip(*parts, strict=True)]
    shared = _shared(plain)
    within = _WITHIN.get(kind)
    if within is None:
        rows = [{**shared, **row} for row in rows]
    else:
        rows = [{**shared, **_shared(row), **inner} for row in rows for inner in row[within]]
    if kind == "Activations":
        rows = [{"position": position, **row} for position, row in enumerate(rows)]
    flat = [_flat(row) for row in rows]
    names = dict.fromkeys(name for row in flat for name in row)
    return [{name: row.get(name) for name in names} for row in flat]


def encode(result: object, form: RecordFormat, *, terminal: bool) -> bytes:
    """The records of a result in one of the formats, as UTF-8.

    Args:
        terminal: it is written to one.
    Raises:
        FlagError: parquet to a terminal.
    """
    if form == "parquet" and terminal:
        raise FlagError("A parquet file is not for a terminal.", "Send it to a file: `> FILE.parquet`.")
    return _encoded(records_of(result), form, terminal=terminal)


def encode_list(objects: Iterable[object], form: RecordFormat) -> bytes:
    """Dataclasses of one kind, a record each, for a file; see `encode`."""
    return _encoded([_flat(to_plain(each)) for each in objects], form, terminal=False)


def _encoded(records: list[Record], form: RecordFormat, *, terminal: bool) -> bytes:
    names = list(records[0]) if records else []
    if form == "parquet":
        return _parquet(records)
    rows = [[_cell(record[name]) for name in names] for record in records]
    if form == "markdown":
        text = _markdown(names, rows)
    else:
        if terminal:
            rows = [[visible(cell) for cell in row] for row in rows]
        out = io.StringIO(newline="")
        writer = csv.writer(out, delimiter="," if form == "csv" else "\t", lineterminator="\n")
        if names:
            writer.writerows([names, *rows])
        text = out.getvalue()
    return text.encode("utf-8", "backslashreplace")


def _objects(name: str, values: Any) -> list[Record]:
    if isinstance(values, dict):  # contributions: heads and neurons in one list
        return [
            {"component": row[kind], **{key: value for key, value in row.items() if key != kind}}
            for kind in ("head", "neuron")
            for row in values[f"{kind}s"]
        ]
    return [
        value if isinstance(value, dict) else {_NAME_OF_NUMBER.get(name, name): value} for value in values
    ]


def _shared(plain: Record) -> Record:
    return {name: plain[name] for name in _SHARED if plain.get(name) is not None}


def _flat(plain: Record, before: str = "") -> Record:
    flat: Record = {}
    for name, value in plain.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{before}{name}.")
        elif isinstance(value, list) and value and all(_is_token(part) for part in value):
            flat[f"{before}{name}"] = "".join(part["text"] for part in value)
        elif isinstance(value, list):
            flat[f"{before}{name}"] = json.dumps(value, ensure_ascii=False)
        else:
            flat[f"{before}{name}"] = value
    return flat


def _is_token(value: object) -> bool:
    return isinstance(value, dict) and set(value) == {"id", "text"}


def _cell(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _markdown(names: list[str], rows: list[list[str]]) -> str:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(visible(cell).replace("|", "\\|") for cell in cells) + " |\n"

    return "".join(map(line, [names, ["---"] * len(names), *rows])) if names else ""


def _parquet(records: list[Record]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    out = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(records), out)
    return out.getvalue()
