"""The subcommand that compares two models of one architecture (method.md, section 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui_lookups.commands.invocation import Invocation, command, top_option

if TYPE_CHECKING:
    from tui_lookups.commands.narration import Narrator
    from tui_lookups.explorer import Explorer
    from tui_lookups.results import WeightDiff


@command()
@click.argument("before", metavar="MODEL_A")
@click.argument("after", metavar="MODEL_B")
@top_option(20, "How many neurons, heads and tensors.")
def diff(invocation: Invocation, before: str, after: str, top: int) -> None:
    """What moved from MODEL_A to MODEL_B.

    Two models of one architecture, such as a base model and a tuned one: which neurons' and heads' weights
    moved most, and which tensors. From the files alone where their family is known."""
    invocation.flags["model"] = before

    def question(explorer: Explorer, narrator: Narrator) -> WeightDiff:
        from tui_lookups.commands import tables_diff  # noqa: F401 - registers its renderers

        return explorer.diff(after, top=top)

    invocation.answer(question)
