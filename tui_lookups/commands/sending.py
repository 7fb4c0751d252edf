"""What every command does that may send something to a language model.

1. What would be sent is worked out first and said on stderr; a dry run ends there, with the plan as the
   answer.
2. Where something was asked for and nothing could be explained or scored, the answer says why, and the
   command fails.
3. The command itself is the request: a script is not asked again. A person at a terminal is, before more
   than one request is sent, unless there is `--yes`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from tui_lookups.commands.invocation import Invocation
from tui_lookups.errors import LookupsError
from tui_lookups.results import ExplanationScore, NeuronExplanations, Plan, ScoreReport

if TYPE_CHECKING:
    from tui_lookups.commands.narration import Narrator
    from tui_lookups.explorer import Explorer


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
    asked = [score for score in scores if isinstance(score, ExplanationScore) and score.answers]
    if asked and not any(score.answered for score in asked):
        answers = [answer for score in asked for answer in score.answers]
        why = next((answer.problem for answer in answers if answer.problem), "")
        raise LookupsError(
            f"Nothing was scored, since none of {len(answers)} prompts was answered with Yes or No: {why}",
            "Choose another --explainer-model.",
        )
    if isinstance(result, ScoreReport) and not scores and result.usage.failed:
        raise LookupsError("Nothing was scored.", "Each head that is left out says why.")
