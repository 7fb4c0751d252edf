"""Subcommands about explanations.

1. What would be sent is worked out first and said on stderr; `--dry-run` ends there, with the plan as the
   answer.
2. Where something was asked for and nothing could be explained or scored, the answer says why, and the
   command fails.
3. The command itself is the request: a script is not asked again. A person at a terminal is, before more
   than one request is sent, unless there is `--yes`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from tui_lookups.commands.invocation import Invocation, command
from tui_lookups.errors import LookupsError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import ExplanationScore, NeuronExplanations, Plan, ScoreReport
from tui_lookups.results.conventions import LEAST_PERCENT, MOST_PERCENT

if TYPE_CHECKING:
    from tui_lookups.commands.narration import Narrator
    from tui_lookups.explorer import Explorer

C = TypeVar("C", bound=Callable[..., None])


def plan_sentence(plan: Plan) -> str:
    """What a plan would send, in one line."""
    if not plan.calls:
        return f"Nothing to send: all {plan.cached} answers are in the cache."
    requests = f"{plan.calls} request{'s' if plan.calls > 1 else ''}"
    cached = f" ({plan.cached} more answers are in the cache)" if plan.cached else ""
    cost = "" if plan.cost is None else f", at most {plan.cost:.4f} at the prices set"
    return (
        f"{requests} to {plan.model} at {plan.endpoint}{cached}: {plan.input_tokens:,} tokens "
        f"({plan.counting}) and at most {plan.output_tokens:,} back{cost}."
    )


def planned(
    invocation: Invocation,
    plan_of: Callable[[Explorer, Narrator], Plan],
    ask: Callable[[Explorer, Narrator], object],
    *,
    fresh: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Say what would be sent, ask a person whether to, then ask the question and print its answer.

    What stands in the way of sending is said before the scan that a plan may need, not after it.
    """
    from tui_lookups.commands.narration import Narrator
    from tui_lookups.visible import visible

    with invocation.exploring() as explorer:
        problem, hint = explorer.explaining.obstacle()
        if problem and not dry_run:
            if fresh:
                raise LookupsError(problem, hint)
            print(visible(f"{problem} Only what is in the cache can be answered."), file=sys.stderr)
        with Narrator(explorer.status, sys.stderr) as narrator:
            plan = plan_of(explorer, narrator)
        if dry_run:
            invocation.emit(plan)
            return
        if plan.calls:
            for line in (plan_sentence(plan), *plan.notes):
                print(visible(line), file=sys.stderr)
            if plan.problem:
                raise LookupsError(plan.problem, plan.hint)
        at_a_terminal = sys.stdin.isatty() and sys.stderr.isatty()
        if plan.calls > 1 and at_a_terminal and not yes and not click.confirm("Send them?", err=True):
            raise LookupsError("Nothing was sent.", "Confirm with y, or give --yes.")
        with Narrator(explorer.status, sys.stderr) as narrator:
            result = ask(explorer, narrator)
        invocation.emit(result)
        _require_something(result)


def _require_something(result: object) -> None:
    """Raise LookupsError where something was asked for and nothing came of it (exit status 1)."""
    if isinstance(result, NeuronExplanations):
        if result.usage.failed and not result.explanations:
            raise LookupsError("Nothing was explained.", "Each head that is left out says why.")
        return
    scores = result.scores if isinstance(result, ScoreReport) else (result,)
    asked = [each for each in scores if isinstance(each, ExplanationScore) and each.answers]
    if asked and not any(each.answered for each in asked):
        answers = [answer for each in asked for answer in each.answers]
        why = next((answer.problem for answer in answers if answer.problem), "")
        raise LookupsError(
            f"Nothing was scored, since none of {len(answers)} prompts was answered with Yes or No: {why}",
            "Choose another --explainer-model.",
        )
    if isinstance(result, ScoreReport) and not scores and result.usage.failed:
        raise LookupsError("Nothing was scored.", "Each head that is left out says why.")


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
    neuron: str | None, head: str | None, worth_explaining: str | None
) -> tuple[NeuronId, HeadId | None]:
    """The neuron, and the head or None for all worth explaining. Raises UsageError, BadIdError."""
    if worth_explaining is not None:
        if neuron is not None:
            raise click.UsageError("--worth-explaining already names the neuron; leave out NEURON and HEAD.")
        return NeuronId.parse(worth_explaining), None
    if neuron is None or head is None:
        raise click.UsageError("Name a NEURON and a HEAD, or --worth-explaining NEURON.")
    return NeuronId.parse(neuron), HeadId.parse(head)


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
    name, chosen = _subject(neuron, head, worth_explaining)

    def plan(explorer: Explorer, _: Narrator) -> Plan:
        if chosen is None:
            return explorer.explaining.plan_all(name, fresh=fresh)
        return explorer.explaining.plan(name, chosen, fresh=fresh)

    def ask(explorer: Explorer, narrator: Narrator) -> object:
        if chosen is None:
            return explorer.explaining.explain_all(name, fresh=fresh, progress=narrator.hear_asking)
        return explorer.explain(name, chosen, fresh=fresh)

    planned(invocation, plan, ask, fresh=fresh, dry_run=dry_run, yes=yes)


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
    name, chosen = _subject(neuron, head, worth_explaining)
    if chosen is None and explanation is not None:
        raise click.UsageError("--explanation is about one head.")

    def plan(explorer: Explorer, _: Narrator) -> Plan:
        if chosen is None:
            return explorer.head_scores.plan_all(name, control=control, fresh=fresh)
        return explorer.head_scores.plan(name, chosen, explanation=explanation, control=control, fresh=fresh)

    def ask(explorer: Explorer, narrator: Narrator) -> object:
        hear = narrator.hear_asking
        if chosen is None:
            return explorer.head_scores.score_all(name, control=control, fresh=fresh, progress=hear)
        return explorer.score_explanation(
            name, chosen, explanation=explanation, control=control, fresh=fresh, progress=hear
        )

    planned(invocation, plan, ask, fresh=fresh, dry_run=dry_run, yes=yes)


@command()
@click.argument("neurons", nargs=-1, metavar="[NEURON...]")
def report(invocation: Invocation, neurons: tuple[str, ...]) -> None:
    """Scores so far, with mean and standard deviation.

    Of the explainer that the settings name, for these neurons or for all; asks nobody anything."""
    names = [NeuronId.parse(neuron) for neuron in neurons]

    def ask(explorer: Explorer, narrator: Narrator) -> ScoreReport:
        return explorer.head_scores.report(names)

    invocation.answer(ask)


@command()
@click.argument("query", default="")
def explanations(invocation: Invocation, query: str) -> None:
    """Everything explained so far.

    Of any model and corpus in the cache; with QUERY only what all its words are found in."""
    invocation.answer(lambda explorer, _: explorer.explanations(query))
