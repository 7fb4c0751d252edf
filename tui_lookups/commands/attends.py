"""Subcommands about what a head reads: carries, attends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import click

from tui_lookups.commands.invocation import Invocation, check_place, command, top_option
from tui_lookups.ids import HeadId

if TYPE_CHECKING:
    from tui_lookups.commands.narration import Narrator
    from tui_lookups.commands.tables_sums import SideOf
    from tui_lookups.explorer import Explorer
    from tui_lookups.results import Attends

F = TypeVar("F", bound=Callable[..., Any])
Side = Literal["key", "query", "pairs"]


class Place(click.ParamType):  # type: ignore[type-arg]
    """A position, or the text of a token."""

    name = "position or token"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def _with_text_flags(function: F) -> F:
    """Where a head is looked at: one of a neuron's prompts, or a text."""
    for option in (
        click.option("--trimmed/--full", default=None, help="Run the trimmed prompt."),
        click.option("--text", help="A text instead of a prompt."),
        click.option(
            "--prompt", type=click.IntRange(min=1), metavar="RANK", help="Rank of the prompt, 1 by default."
        ),
    ):
        function = option(function)
    return function


@command()
@click.argument("head")
@click.argument("neuron", required=False)
@click.option(
    "--source",
    required=True,
    type=Place(),
    metavar="TOKEN",
    help="The token that the head reads: a position, or its text exactly.",
)
@click.option("--token", help="In place of a neuron: a token's logit at the end of a text.")
@click.option("--position", type=Place(), metavar="TOKEN", help="Where NEURON is, in place of its peak.")
@top_option(20, "How many neurons are named.")
@_with_text_flags
def carries(
    invocation: Invocation,
    head: str,
    neuron: str | None,
    source: int | str,
    token: str | None,
    position: int | str | None,
    top: int,
    prompt: int | None,
    text: str | None,
    trimmed: bool | None,
) -> None:
    """What HEAD carries from a token to NEURON.

    On one of the neuron's prompts or on a text: the heads, neurons and embedding below it there, whose sum is
    the head's attribution from that token."""
    _check_text_flags(neuron, prompt, text, trimmed)
    if (neuron is None) == (token is None):
        raise click.UsageError("Give NEURON or --token.")
    if token is not None and text is None:
        raise click.UsageError("--token needs --text.")
    name, reader = HeadId.parse(head), None if neuron is None else invocation.neuron(neuron)
    invocation.answer(
        lambda explorer, _: explorer.carries(
            reader, name, source, token=token, prompt=prompt, text=text, position=position, trimmed=trimmed,
            top=top,
        )
    )  # fmt: skip


@command()
@click.argument("head")
@click.argument("neuron", required=False)
@click.option("--query", type=Place(), metavar="TOKEN", help="The token that attends; the last by default.")
@click.option("--key", type=Place(), metavar="TOKEN", help="The token attended to; default: the most.")
@click.option(
    "--side",
    type=click.Choice(get_args(Side)),
    default="key",
    show_default=True,
    help="Whose parts the table has; --json has all.",
)
@top_option(20, "How many neurons are named on either side.")
@_with_text_flags
def attends(
    invocation: Invocation,
    head: str,
    neuron: str | None,
    query: int | str | None,
    key: int | str | None,
    side: Side,
    top: int,
    prompt: int | None,
    text: str | None,
    trimmed: bool | None,
) -> None:
    """Why HEAD attends to a token.

    On a text, or on one of NEURON's prompts: by how much the token's score is above the mean of all scores,
    as a sum over what is at the key, over what is at the query, and over pairs of both."""
    _check_text_flags(neuron, prompt, text, trimmed)
    if neuron is None and text is None:
        raise click.UsageError("Give NEURON or --text.")
    name, reader = HeadId.parse(head), None if neuron is None else invocation.neuron(neuron)

    def question(explorer: Explorer, narrator: Narrator) -> Attends | SideOf:
        answer = explorer.attends(
            name, text=text, neuron=reader, prompt=prompt, query=query, key=key, trimmed=trimmed, top=top
        )
        if invocation.json:
            return answer
        from tui_lookups.commands.tables_sums import SideOf

        return SideOf(answer, side)

    invocation.answer(question)


def _check_text_flags(neuron: str | None, prompt: int | None, text: str | None, trimmed: bool | None) -> None:
    check_place(prompt, text, trimmed)
    if neuron is None and (prompt is not None or trimmed):
        raise click.UsageError("--prompt and --trimmed need NEURON.")
