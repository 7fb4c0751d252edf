"""Subcommands that take apart what is read at one position: why a token, what fires a neuron."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal

import click

from tui_lookups.commands.invocation import Invocation, check_place, command, top_option
from tui_lookups.ids import parse_component
from tui_lookups.results import Why, WhyByLayer

if TYPE_CHECKING:
    from tui_lookups.commands.narration import Narrator
    from tui_lookups.explorer import Explorer
    from tui_lookups.results import InputsOverview, NeuronInputs, Removed

_FROM_ZERO = click.IntRange(min=0)


@command()
@click.argument("text", required=False)
@click.option("--prompt-id", type=_FROM_ZERO, metavar="N", help="A prompt of the corpus instead of TEXT.")
@click.option("--position", type=_FROM_ZERO, metavar="P", help="Of the token read last; the last one.")
@click.option("--token", metavar="TOKEN", help="The token asked about; the most probable one.")
@click.option("--foil", metavar="TOKEN", help="Count its logit against this token's.")
@top_option(50, "How many neurons are named.")
@click.option(
    "--by",
    type=click.Choice(["list", "layer"]),
    default="list",
    show_default=True,
    help="The largest components, or what each layer adds and would predict.",
)
@click.option("--remove", metavar="NAME", help="The token's probability without this head or neuron.")
@click.option(
    "--method",
    type=click.Choice(["zero", "mean"]),
    default="zero",
    show_default=True,
    help="With --remove: what is put in its place.",
)
def why(
    invocation: Invocation,
    text: str | None,
    prompt_id: int | None,
    position: int | None,
    token: str | None,
    foil: str | None,
    top: int,
    by: Literal["list", "layer"],
    remove: str | None,
    method: Literal["zero", "mean"],
) -> None:
    """Why the model expects a token after TEXT.

    Its logit, counted from the mean over the vocabulary or from a foil's, as an exact sum over every neuron,
    head, embedding and bias; layer by layer with --by layer."""
    if (text is None) is (prompt_id is None):
        raise click.UsageError("Give a TEXT, or a prompt of the corpus with --prompt-id.")
    removed = None if remove is None else parse_component(remove)
    where: dict[str, Any] = {"prompt_id": prompt_id, "position": position, "token": token, "foil": foil}

    def question(explorer: Explorer, narrator: Narrator) -> Why | Removed:
        if removed is not None:
            return explorer.removed(removed, text, method=method, **where)
        answer = explorer.why(text, top=top, **where)
        if by == "list":
            return answer
        return WhyByLayer(**{field.name: getattr(answer, field.name) for field in fields(answer)})

    invocation.answer(question)


@command()
@click.argument("neuron")
@click.option(
    "--prompt", type=click.IntRange(min=1), metavar="RANK", help="Rank of the prompt, 1 by default."
)
@click.option("--text", help="A text instead of a prompt.")
@click.option("--position", type=_FROM_ZERO, metavar="P", help="With --text: a position instead of the peak.")
@click.option("--trimmed/--full", default=None, help="On the trimmed prompt.")
@click.option("--all-prompts", is_flag=True, help="Over all prompts of the neuron.")
@top_option(50, "How many neurons are named.")
def inputs(
    invocation: Invocation,
    neuron: str,
    prompt: int | None,
    text: str | None,
    position: int | None,
    trimmed: bool | None,
    all_prompts: bool,
    top: int,
) -> None:
    """What fires NEURON, down to earlier neurons.

    On one prompt or text, with everything else that adds up to its activation, or over all prompts."""
    check_place(prompt, text, trimmed)
    if all_prompts and any(given is not None for given in (prompt, text)):
        raise click.UsageError("--all-prompts cannot be combined with --prompt and --text.")
    if position is not None and text is None:
        raise click.UsageError("--position goes with --text.")
    name = invocation.neuron(neuron)

    def question(explorer: Explorer, narrator: Narrator) -> NeuronInputs | InputsOverview:
        if all_prompts:
            return explorer.inputs_overview(name, trimmed=trimmed, top=top)
        return explorer.inputs(name, prompt=prompt, text=text, position=position, trimmed=trimmed, top=top)

    invocation.answer(question)
