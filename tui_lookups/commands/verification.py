"""`lookups-tui verify EXPORT.json`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tui_lookups.commands.invocation import FilePath, Invocation, command
from tui_lookups.errors import LookupsError
from tui_lookups.exports.verification import Verification

if TYPE_CHECKING:
    from tui_lookups.commands.narration import Narrator
    from tui_lookups.explorer import Explorer

_EXPORTS = ("bos", "dtype", "layers", "preset", "raw_weights", "sign", "window")
"""Flags that would recompute another thing than was exported."""


@command()
@click.argument("export", type=FilePath())
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0.0),
    default=1e-5,
    show_default=True,
    help="Relative difference at which two numbers count as equal.",
)
def verify(invocation: Invocation, export: Path, tolerance: float) -> None:
    """Recompute an export, and report what differs.

    With the model, corpus, basis, dtype and parameters that the export names; --model and --corpus say where
    they lie now. Scans the corpus again; nothing cached is believed. Exits 1 when something differs."""
    for name in _EXPORTS:
        if name in invocation.flags:
            flag = "--" + name.replace("_", "-")
            raise click.UsageError(f"{flag} does not go with verify: the export says what was computed.")
    results: list[Verification] = []

    def question(explorer: Explorer, narrator: Narrator) -> Verification:
        from tui_lookups.exports import verifying

        flags = invocation.flags
        results.append(
            verifying.verify(
                explorer,
                export,
                tolerance=tolerance,
                model=flags.get("model"),
                corpus=flags.get("corpus"),
                progress=narrator.hear,
            )
        )
        return results[0]

    invocation.answer(question)
    if not results[0].agrees:
        raise LookupsError(
            f"{len(results[0].differing):,} of {results[0].checked:,} values differ from the export.",
            "The report says which, and by how much.",
        )
