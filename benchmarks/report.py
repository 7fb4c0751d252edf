"""The table for people, the same figures as JSON, and the exit status."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from benchmarks.registry import Figure, RowResult

HEADINGS = ("", "what", "against", "measured", "bar", "ours", "theirs")


def marks(results: Sequence[RowResult]) -> int:
    """Exit status: 1 when a row falls short or could not be measured, else 0."""
    return int(any(result.falls_short for result in results))


def table(results: Sequence[RowResult], about: Mapping[str, object]) -> str:
    """Lines of text; rows that fall short begin with an exclamation mark."""
    lines = [f"{name}: {_plain(value)}" for name, value in about.items()]
    cells = [HEADINGS, *(_cells(figure) for result in results for figure in result.figures)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    lines += ["", *("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)]
    notes = [f"- {figure.what}: {figure.note}" for r in results for figure in r.figures if figure.note]
    lines += ["", *notes] if notes else []
    lines += [f"! {result.name} could not be measured: {result.error}" for result in results if result.error]
    lines += [f"- {result.name} skipped: {result.skipped}" for result in results if result.skipped]
    return "\n".join(lines) + "\n"


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {entry}" for key, entry in value.items())
    return str(value)


def _cells(figure: Figure) -> tuple[str, ...]:
    bar = "" if figure.bar is None else f"{figure.bar.kind} {_number(figure.bar.limit)}{_unit(figure.unit)}"
    spread = "" if figure.spread is None else " ({}..{})".format(*map(_number, figure.spread))
    mark = "!" if figure.falls_short else "" if figure.bar is None else "ok"
    theirs = "" if figure.theirs is None else f"{_number(figure.theirs)} {figure.absolute_unit}"
    return (
        mark,
        figure.what,
        figure.against,
        f"{_number(figure.value)}{_unit(figure.unit)}{spread}",
        bar,
        f"{_number(figure.ours)} {figure.absolute_unit}",
        theirs,
    )


def _unit(unit: str) -> str:
    return f" {unit}" if unit in ("ms", "%") else unit


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value else "0"


def document(results: Sequence[RowResult], about: Mapping[str, object]) -> str:
    """The JSON document: about, exit status, and every row with its figures."""
    rows = [
        {
            "name": result.name,
            "error": result.error,
            "skipped": result.skipped,
            "falls_short": result.falls_short,
            "figures": [asdict(figure) | {"falls_short": figure.falls_short} for figure in result.figures],
        }
        for result in results
    ]
    return json.dumps({"about": dict(about), "status": marks(results), "rows": rows}, indent=2) + "\n"
