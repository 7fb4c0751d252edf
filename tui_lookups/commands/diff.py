"""The subcommand that compares two models of one architecture (method.md, section 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tui_lookups.commands.invocation import Invocation, command, top_option

if TYPE_CHECKING:
    from tui_lookups.commands.narration import Narrator
    from tui_lookups.explorer import Explorer
    from tui_lookups.results import ActivationDiff, HeadsDiff, NeuronDiff, NeuronMatches, WeightDiff

    Compared = WeightDiff | ActivationDiff | NeuronMatches | NeuronDiff | HeadsDiff


@command()
@click.argument("before", metavar="MODEL_A")
@click.argument("after", metavar="MODEL_B")
@click.option("--activations", is_flag=True, help="Whose activations over the corpus changed instead.")
@click.option("--match", is_flag=True, help="Which neuron is which, by correlation: for two seeds.")
@click.option("--neuron", metavar="NEURON", help="One neuron in both, and the prompts on which it changed.")
@click.option("--heads", is_flag=True, help="With --neuron: the heads behind it in both.")
@top_option(None, "How many neurons, heads and tensors (20 by default); prompts of a kind (5).")
def diff(
    invocation: Invocation,
    before: str,
    after: str,
    activations: bool,
    match: bool,
    neuron: str | None,
    heads: bool,
    top: int | None,
) -> None:
    """What moved from MODEL_A to MODEL_B.

    Two models of one architecture, such as a base model and a tuned one: which neurons' and heads' weights
    moved most, and which tensors. From the files alone where their family is known. With --activations,
    --match or --neuron both run over the corpus, once."""
    if activations + match + (neuron is not None) > 1:
        raise click.UsageError("Of --activations, --match and --neuron only one can be asked for.")
    if "model" in invocation.flags:
        raise click.UsageError("diff names both models itself; leave out --model.")
    if heads and neuron is None:
        raise click.UsageError("--heads needs a --neuron.")
    invocation.flags["model"] = before
    name = None if neuron is None else invocation.neuron(neuron)

    def question(explorer: Explorer, narrator: Narrator) -> Compared:
        from tui_lookups.commands import tables_diff  # noqa: F401 - registers its renderers

        if name is not None and heads:
            return explorer.diff_heads(after, name, top=top or 20)
        if name is not None:
            return explorer.diff_neuron(after, name, top=top or 5)
        if match:
            return explorer.diff_matches(after, top=top or 20)
        return (explorer.diff_activations if activations else explorer.diff)(after, top=top or 20)

    invocation.answer(question)
