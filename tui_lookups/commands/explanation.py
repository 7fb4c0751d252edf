"""Subcommands about explanations; how they send is in sending.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from tui_lookups.commands.invocation import Invocation, command
from tui_lookups.commands.sending import planned
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import Plan, ScoreReport
from tui_lookups.results.conventions import LEAST_PERCENT, MOST_PERCENT

if TYPE_CHECKING:
    from tui_lookups.commands.narration import Narrator
    from tui_lookups.explorer import Explorer

C = TypeVar("C", bound=Callable[..., None])


def _asking_options(function: C) -> C:
    """The options of every command that may send something."""
    for option in (
        click.option("--yes", is_flag=True, help="Do not ask before sending."),
        click.option("--dry-run", is_flag=True, help="Only say what would be sent."),
        click.option("--fresh", is_flag=True, help="Ask anew; older answers are kept."),
        click.option(
            "--worth-explaining",
            metavar="NEURON",
            help=f"All heads active on {LEAST_PERCENT}-{MOST_PERCENT} % of its prompts.",
        ),
    ):
        function = option(function)
    return function


def _subject(
    invocation: Invocation, neuron: str | None, head: str | None, worth_explaining: str | None
) -> tuple[NeuronId, HeadId | None]:
    """The neuron, and the head or None for all worth explaining. Raises UsageError, BadIdError."""
    if worth_explaining is not None:
        if neuron is not None:
            raise click.UsageError("--worth-explaining already names the neuron; leave out NEURON and HEAD.")
        return invocation.neuron(worth_explaining), None
    if neuron is None or head is None:
        raise click.UsageError("Name a NEURON and a HEAD, or --worth-explaining NEURON.")
    return invocation.neuron(neuron), HeadId.parse(head)


@command()
@click.argument("neuron", required=False)
@click.argument("head", required=False)
@_asking_options
def explain(
    invocation: Invocation,
    neuron: str | None,
    head: str | None,
    worth_explaining: str | None,
    fresh: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """In what contexts HEAD is active for NEURON, in words.

    Asks a language model (OPENAI_API_KEY, or a server of your own with --base-url) about prompts on which
    the head is active and on which it is not. What was asked before is answered from the cache."""
    name, chosen = _subject(invocation, neuron, head, worth_explaining)

    def plan(explorer: Explorer, _: Narrator) -> Plan:
        if chosen is None:
            return explorer.explaining.plan_all(name, fresh=fresh)
        return explorer.explaining.plan(name, chosen, fresh=fresh)

    def question(explorer: Explorer, narrator: Narrator) -> object:
        if chosen is None:
            return explorer.explaining.explain_all(name, fresh=fresh, progress=narrator.hear)
        return explorer.explain(name, chosen, fresh=fresh)

    planned(invocation, plan, question, fresh=fresh, dry_run=dry_run, yes=yes)


@command()
@click.argument("neuron", required=False)
@click.argument("head", required=False)
@click.option("--explanation", metavar="TEXT", help="Score these words instead of the explainer's.")
@click.option("--control/--no-control", default=True, help="Also score an explanation of something else.")
@_asking_options
def score(
    invocation: Invocation,
    neuron: str | None,
    head: str | None,
    explanation: str | None,
    control: bool,
    worth_explaining: str | None,
    fresh: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """How well an explanation predicts HEAD's activity.

    A language model says Yes or No of prompts that the explainer never saw. Explains first where needed."""
    name, chosen = _subject(invocation, neuron, head, worth_explaining)
    if chosen is None and explanation is not None:
        raise click.UsageError("--explanation is about one head.")

    def plan(explorer: Explorer, _: Narrator) -> Plan:
        if chosen is None:
            return explorer.head_scores.plan_all(name, control=control, fresh=fresh)
        return explorer.head_scores.plan(name, chosen, explanation=explanation, control=control, fresh=fresh)

    def question(explorer: Explorer, narrator: Narrator) -> object:
        hear = narrator.hear
        if chosen is None:
            return explorer.head_scores.score_all(name, control=control, fresh=fresh, progress=hear)
        return explorer.score_explanation(
            name, chosen, explanation=explanation, control=control, fresh=fresh, progress=hear
        )

    planned(invocation, plan, question, fresh=fresh, dry_run=dry_run, yes=yes)


@command()
@click.argument("neurons", nargs=-1, metavar="[NEURON...]")
def report(invocation: Invocation, neurons: tuple[str, ...]) -> None:
    """Scores so far, with mean and standard deviation.

    Of the explainer that the settings name, for these neurons or for all; asks nobody anything."""
    names = [invocation.neuron(neuron) for neuron in neurons]

    def question(explorer: Explorer, narrator: Narrator) -> ScoreReport:
        return explorer.head_scores.report(names)

    invocation.answer(question)


@command()
@click.argument("query", default="")
def explanations(invocation: Invocation, query: str) -> None:
    """Everything explained so far.

    Of any model and corpus in the cache; with QUERY only what all its words are found in."""
    invocation.answer(lambda explorer, _: explorer.explanations(query))
