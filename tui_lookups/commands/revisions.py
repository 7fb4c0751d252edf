"""The subcommand about one neuron at several revisions of a model."""

from __future__ import annotations

import click

from tui_lookups.commands.each_revision import answer_over, revisions_option
from tui_lookups.commands.invocation import Invocation, check_place, command


@command()
@click.argument("neuron")
@revisions_option(required=True)
@click.option("--token", help="The token that is followed; by default the one it promotes most at the last.")
@click.option(
    "--prompts", is_flag=True, help="Also its peak over the corpus, and its heads over its prompts."
)
@click.option("--text", help="Also its peak on this text, and its heads there.")
@click.option("--trimmed/--full", default=None, help="With --prompts: heads over the trimmed prompts.")
def revisions(
    invocation: Invocation,
    neuron: str,
    revisions: str,
    token: str | None,
    prompts: bool,
    text: str | None,
    trimmed: bool | None,
) -> None:
    """NEURON over the revisions of a model.

    At each what it writes: congruence, rank and top token; with --prompts or --text also how high it fires
    and the heads that fire it. A corpus is scanned once for each revision. One model is open at a time."""
    name = invocation.neuron(neuron)
    if prompts and text is not None:
        raise click.UsageError("--prompts and --text cannot be combined.")
    check_place(None, text, trimmed)
    if trimmed is not None and not prompts:
        raise click.UsageError("--trimmed and --full go with --prompts.")
    answer_over(
        invocation,
        revisions,
        lambda every: every.neuron(name, token=token, prompts=prompts, text=text, trimmed=trimmed),
    )
