"""The table of a verified export, registered with `tables.render`."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from tui_lookups.commands.tables import cells_of, facts, render, source_of, table_of, title_of
from tui_lookups.exports.verification import Difference, Scalar, Verification
from tui_lookups.visible import visible

DIFFERENCES_SHOWN = 50


@render.register
def _(result: Verification) -> RenderableType:
    verdict = "agrees" if result.agrees else f"{len(result.differing):,} differ"
    rows = [
        ("values checked", f"{result.checked:,}"),
        ("equal", f"{result.equal:,} (largest relative difference {result.largest_relative:.1e})"),
        ("differing", f"{len(result.differing):,} (tolerance {result.tolerance:g})"),
        ("exported by", ", ".join(filter(None, (result.exported_by, result.exported)))),
        ("model", f"{result.provenance.model.name} {result.fingerprints.model}"),
        *(
            [("corpus", f"{result.provenance.corpus.name} {result.fingerprints.corpus}".strip())]
            if result.provenance.corpus is not None
            else []
        ),
        ("on", f"{result.provenance.device}, {result.provenance.dtype}"),
        *(("note", note) for note in result.notes),
        *(("not recomputed", f"{each.where}: {each.reason}") for each in result.not_recomputed),
    ]
    parts: list[RenderableType] = [title_of(f"{result.path}: {verdict}", source_of(result.provenance))]
    if result.differing:
        parts += [_differences(result.differing), Text("")]
    return Group(*parts, facts(rows))


def _differences(differing: tuple[Difference, ...]) -> RenderableType:
    table = table_of(
        "where", "exported", "recomputed", "absolute", "relative", "",
        numbers=("exported", "recomputed", "absolute", "relative"),
    )  # fmt: skip
    for difference in differing[:DIFFERENCES_SHOWN]:
        sizes = ("" if size is None else f"{size:.2e}" for size in (difference.absolute, difference.relative))
        cells = (
            difference.where,
            _value(difference.exported),
            _value(difference.recomputed),
            *sizes,
            difference.note,
        )
        table.add_row(*(Text(visible(cell), overflow="fold") for cell in cells))
    if len(differing) > DIFFERENCES_SHOWN:
        more = f"{len(differing) - DIFFERENCES_SHOWN:,} more; --json has them all."
        table.add_row(*cells_of(more))
    return table


def _value(value: Scalar) -> str:
    if value is None:
        return "–"
    return f"{value:.9g}" if isinstance(value, float) else str(value)
