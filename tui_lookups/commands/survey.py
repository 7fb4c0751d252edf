"""Subcommands over many neurons at once: survey, served-by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tui_lookups.commands.invocation import FilePath, Invocation, command
from tui_lookups.ids import HeadId
from tui_lookups.results import ServedNeurons, Survey, SurveyPlan

if TYPE_CHECKING:
    from tui_lookups.commands.narration import Narrator
    from tui_lookups.explorer import Explorer


def _options(function: Any) -> Any:
    """How many neurons, and on which texts."""
    for option in (
        click.option("--trimmed/--full", default=None, help="Run the trimmed prompts."),
        click.option(
            "--per-layer",
            type=click.IntRange(min=1),
            default=20,
            show_default=True,
            metavar="K",
            help="Next-token neurons of each layer.",
        ),
    ):
        function = option(function)
    return function


@command()
@_options
@click.option("--plan", is_flag=True, help="Say what it would cost, and do nothing.")
@click.option(
    "--output", "-o", type=FilePath(), metavar="FOLDER",
    help="Write a report and the tables there (--format; parquet by default).",
)  # fmt: skip
def survey(
    invocation: Invocation, per_layer: int, trimmed: bool | None, plan: bool, output: Path | None
) -> None:
    """The heads of every next-token neuron of the layers (--layers).

    Every head over the prompts of each neuron, the pairs that are worth explaining, and which neurons each
    head serves. Goes on where it was ended."""
    if plan and output is not None:
        raise click.UsageError("--plan writes nothing; leave --output out.")

    def ask(explorer: Explorer, narrator: Narrator) -> SurveyPlan | Survey:
        from tui_lookups.commands import tables_survey  # noqa: F401 - registers its renderers

        if plan:
            return explorer.survey_plan(per_layer=per_layer, trimmed=trimmed)
        found = explorer.survey(per_layer=per_layer, trimmed=trimmed, progress=narrator.hear_survey)
        if output is not None:
            from tui_lookups.exports.report import of_survey
            from tui_lookups.exports.survey_folder import write_folder

            report = of_survey(explorer, found, narrator.hear_gathering)
            write_folder(report, output, invocation.record_format or "parquet")
        return found

    invocation.answer(ask)


@command(name="served-by")
@click.argument("head")
@_options
def served_by(invocation: Invocation, head: str, per_layer: int, trimmed: bool | None) -> None:
    """The neurons that HEAD serves.

    Those for which it is worth explaining, of the neurons of `survey`. What was not surveyed yet is first."""
    name = HeadId.parse(head)

    def ask(explorer: Explorer, narrator: Narrator) -> ServedNeurons:
        from tui_lookups.commands import tables_survey  # noqa: F401 - registers its renderers

        return explorer.served_by(name, per_layer=per_layer, trimmed=trimmed, progress=narrator.hear_survey)

    invocation.answer(ask)
