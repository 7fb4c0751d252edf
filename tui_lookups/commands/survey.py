"""Subcommands over many neurons at once: survey, served-by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tui_lookups.commands.invocation import FilePath, Invocation, command, with_ablation_flags
from tui_lookups.commands.sending import planned
from tui_lookups.ids import HeadId
from tui_lookups.results import (
    AblationMethod,
    AblationPositions,
    Plan,
    ServedNeurons,
    Survey,
    SurveyPlan,
)

if TYPE_CHECKING:
    from tui_lookups.commands.narration import Narrator
    from tui_lookups.commands.tables_survey import ServedPicture
    from tui_lookups.explorer import Explorer


_per_layer = click.option(
    "--per-layer",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    metavar="K",
    help="Next-token neurons of each layer.",
)


@command()
@_per_layer
@with_ablation_flags
@click.option("--ablate", is_flag=True, help="Ablate the head of each pair (--method, --positions).")
@click.option("--control/--no-control", default=True, help="Also score an explanation of something else.")
@click.option("--score", is_flag=True, help="Explain each pair and score it; see `score`.")
@click.option("--explain", is_flag=True, help="Have each pair explained by a language model; see `explain`.")
@click.option("--yes", is_flag=True, help="Do not ask before sending.")
@click.option("--plan", is_flag=True, help="Say what it would cost, and do nothing.")
@click.option(
    "--output", "-o", type=FilePath(), metavar="FOLDER",
    help="Write a report and the tables there (--format; parquet by default).",
)  # fmt: skip
def survey(
    invocation: Invocation,
    per_layer: int,
    trimmed: bool | None,
    method: AblationMethod,
    positions: AblationPositions | None,
    ablate: bool,
    control: bool,
    score: bool,
    explain: bool,
    yes: bool,
    plan: bool,
    output: Path | None,
) -> None:
    """The heads of every next-token neuron of the layers (--layers).

    Every head over the prompts of each neuron, the pairs that are worth explaining, and which neurons each
    head serves; on request explanations, scores and ablations of the pairs. Goes on where it was ended. Where
    the scan runs on Ray (--engine), the passes over prompts and the ablations do, too."""
    if plan and output is not None:
        raise click.UsageError("--plan writes nothing; leave --output out.")

    def look(explorer: Explorer, narrator: Narrator) -> Survey:
        ablated = explorer.survey(per_layer=per_layer, trimmed=trimmed, progress=narrator.hear_survey)
        if ablate:
            ablated = explorer.ablate_survey(
                ablated, method=method, positions=positions, progress=narrator.hear_survey
            )
        return ablated

    def written(explorer: Explorer, narrator: Narrator, found: Survey) -> Survey:
        if output is not None:
            from tui_lookups.exports.report import of_survey
            from tui_lookups.exports.survey_folder import write_folder

            report = of_survey(explorer, found, narrator.hear_gathering)
            write_folder(report, output, invocation.record_format or "parquet")
        return found

    def question(explorer: Explorer, narrator: Narrator) -> SurveyPlan | Survey:
        from tui_lookups.commands import tables_pairs, tables_survey  # noqa: F401 - register renderers

        if plan:
            return explorer.survey_plan(
                per_layer=per_layer,
                trimmed=trimmed,
                explain=explain,
                score=score,
                control=control,
                ablate=ablate,
            )
        return written(explorer, narrator, look(explorer, narrator))

    if plan or not (explain or score):
        invocation.answer(question)
        return
    seen: list[Survey] = []

    def plan_of(explorer: Explorer, narrator: Narrator) -> Plan:
        seen.append(look(explorer, narrator))
        return explorer.plan_survey_requests(
            seen[0], score=score, control=control, progress=narrator.hear_survey
        )

    def send(explorer: Explorer, narrator: Narrator) -> Survey:
        from tui_lookups.commands import tables_pairs, tables_survey  # noqa: F401 - register renderers

        explained = explorer.explain_survey(seen[0], score=score, control=control, progress=narrator.hear)
        return written(explorer, narrator, explained)

    planned(invocation, plan_of, send, fresh=False, dry_run=False, yes=yes)


@command(name="served-by")
@click.argument("head")
@_per_layer
@click.option("--trimmed/--full", default=None, help="Run the trimmed prompts.")
@click.option("--picture", is_flag=True, help="Also draw layers x heads, of a survey of all the layers.")
def served_by(invocation: Invocation, head: str, per_layer: int, trimmed: bool | None, picture: bool) -> None:
    """The neurons that HEAD serves.

    Those for which it is worth explaining, of the neurons of `survey`. What was not surveyed yet is first.
    The picture says of every head how many neurons it serves, and which share of what fires those that it
    reaches it carries; it is no part of --json."""
    name = HeadId.parse(head)

    def question(explorer: Explorer, narrator: Narrator) -> ServedNeurons | ServedPicture:
        from tui_lookups.commands.tables_survey import ServedPicture

        hear = narrator.hear_survey
        if not picture or invocation.format != "table":
            return explorer.served_by(name, per_layer=per_layer, trimmed=trimmed, progress=hear)
        grown = explorer.survey(per_layer=per_layer, trimmed=trimmed, progress=hear)
        served = explorer.served_by(name, per_layer=per_layer, trimmed=trimmed, progress=hear)
        return ServedPicture(served, grown.heads, grown.provenance.model.n_heads)

    invocation.answer(question)
