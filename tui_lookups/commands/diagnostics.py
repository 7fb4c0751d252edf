"""Subcommands that look after the tool itself: doctor, cache verify."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from tui_lookups.commands.cache_and_config import cache
from tui_lookups.commands.invocation import Invocation, Rows, command
from tui_lookups.errors import LookupsError
from tui_lookups.results import Checkup

if TYPE_CHECKING:
    from tui_lookups.commands.narration import Narrator
    from tui_lookups.explorer import Explorer


@dataclass(frozen=True, slots=True)
class Verified:
    """What `cache verify` found; damaged entries are dropped and made again when they are needed."""

    entries: int
    problems: tuple[str, ...]


def doctor_rows(checkup: Checkup) -> Rows:
    """A line a finding, a further one for what to do; then what of the model's files is not applied."""
    rows: Rows = []
    for finding in checkup.findings:
        state = "PROBLEM" if finding.state == "problem" else finding.state
        rows.append((state, f"{finding.name}: {finding.message}"))
        if finding.hint:
            rows.append(("", f"-> {finding.hint}"))
    for fate in ("refused", "harmless"):
        of_it = (entry for entry in checkup.inventory if entry.fate == fate)
        rows += [(fate, f"{entry.kind} {entry.name}: {entry.note}") for entry in of_it]
    return rows


@command()
@click.option("--no-model", is_flag=True, help="Do not load the model.")
def doctor(invocation: Invocation, no_model: bool) -> None:
    """What this machine, terminal, cache and model allow; what is wrong, what to do.

    Exits 1 when something is a problem."""
    checks: list[Checkup] = []

    def question(explorer: Explorer, narrator: Narrator) -> Checkup:
        from tui_lookups.doctor import examine

        checks.append(examine(explorer, model=not no_model))
        return checks[0]

    invocation.answer(question, rows=doctor_rows)
    if checks[0].problems:
        raise LookupsError(f"Problems found: {checks[0].problems}.", "See the lines marked PROBLEM.")


@command(cache)
def verify(invocation: Invocation) -> None:
    """Hold every entry to its checksum; damaged ones are dropped."""

    def question(explorer: Explorer, narrator: Narrator) -> Verified:
        problems = explorer.cache_verify()
        return Verified(explorer.cache_info().entries, problems)

    invocation.answer(
        question,
        rows=lambda done: [
            ("entries", f"{done.entries}"),
            ("problems", "none" if not done.problems else f"{len(done.problems)}"),
            *(("", problem) for problem in done.problems),
        ],
    )
