"""The subcommand about several neurons as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui_lookups.commands.invocation import Invocation, command

if TYPE_CHECKING:
    from tui_lookups.commands.narration import Narrator
    from tui_lookups.explorer import Explorer
    from tui_lookups.results import SharedHeads, SummedHeads


@command(name="shared-heads")
@click.argument("neurons", nargs=-1, required=True, metavar="NEURON...")
@click.option("--text", help="On this text instead: attribution to the sum of the neurons.")
@click.option(
    "--position",
    type=click.IntRange(min=0),
    metavar="N",
    help="With --text: where, instead of where the neurons' activations sum to most.",
)
@click.option("--trimmed/--full", default=None, help="Run the trimmed prompts.")
def shared_heads(
    invocation: Invocation,
    neurons: tuple[str, ...],
    text: str | None,
    position: int | None,
    trimmed: bool | None,
) -> None:
    """The heads that several NEURONs share.

    Each neuron over its own prompts: for how many of them a head is active, for how many it is worth
    explaining, and what it adds to all of them. With --text what it adds to their sum at one position."""
    if text is None and position is not None:
        raise click.UsageError("--position goes with --text.")
    if text is not None and trimmed is not None:
        raise click.UsageError("--trimmed and --full are about prompts: leave --text out.")
    names = [invocation.neuron(neuron) for neuron in neurons]

    def question(explorer: Explorer, narrator: Narrator) -> SharedHeads | SummedHeads:
        from tui_lookups.commands import tables_groups  # noqa: F401 - registers its renderers

        if text is None:
            return explorer.shared_heads(names, trimmed=trimmed)
        return explorer.summed_heads(names, text, position=position)

    invocation.answer(question)
