"""`lookups-tui export`: tokens and neurons, or an earlier export, to a document, a page or tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

import click

from tui_lookups.commands.invocation import FilePath, Invocation, command, top_option
from tui_lookups.errors import BadIdError
from tui_lookups.exports import writing
from tui_lookups.exports.formats import ExportFormat
from tui_lookups.ids import NeuronId
from tui_lookups.results.selection import SelectedHead, SelectedNeuron, SelectedPrompt, Selection

if TYPE_CHECKING:
    from tui_lookups.commands.narration import Narrator
    from tui_lookups.explorer import Explorer
    from tui_lookups.exports.report import Report

EXPORT_NEURONS, EXPORT_PROMPTS, EXPORT_HEADS = 5, 3, 3


@dataclass(frozen=True, slots=True)
class Exported:
    """What `export` wrote, and where."""

    path: str
    neurons: int
    prompts: int
    heads: int


def _neuron(explorer: Explorer, text: str) -> NeuronId | None:
    try:
        return explorer.settings.neuron_id.parse(text)
    except BadIdError:
        return None


def gather_selection(explorer: Explorer, names: tuple[str, ...], top: int) -> Selection:
    """The basket for tokens and neurons by name, each thing once, in the order it is met.

    A token brings its `top` neurons; every neuron brings its first prompts, as far as they are kept, and of
    the first prompt the heads of largest absolute attribution.
    """
    most = min(EXPORT_PROMPTS, explorer.settings.top)
    chosen: dict[NeuronId, SelectedNeuron] = {}
    for name in names:
        if (neuron := _neuron(explorer, name)) is not None:
            chosen.setdefault(neuron, SelectedNeuron(neuron))
            continue
        ranking = explorer.neurons(name, top=top)
        for row in ranking.neurons:
            chosen.setdefault(row.neuron, SelectedNeuron(row.neuron, ranking.token))
    prompts: list[SelectedPrompt] = []
    heads: list[SelectedHead] = []
    for neuron in chosen:
        listed = explorer.prompts(neuron, top=most).prompts
        prompts += (SelectedPrompt(neuron, prompt.prompt_id) for prompt in listed)
        if listed:
            scores = explorer.heads(neuron, prompt=1).heads
            largest = sorted(scores, key=lambda score: -abs(score.attribution))[:EXPORT_HEADS]
            heads += (SelectedHead(neuron, score.head, listed[0].prompt_id) for score in largest)
    return Selection(tuple(chosen.values()), tuple(prompts), tuple(heads))


@command()
@click.argument("names", nargs=-1, metavar="[TOKEN_OR_NEURON...]")
@click.option(
    "-o", "--output", required=True, type=FilePath(), help="The file to write; the folder, for tables."
)
@click.option(
    "--format",
    type=click.Choice(get_args(ExportFormat)),
    help="json, or html for a name that ends so, by default.",
)
@click.option(
    "--from",
    "source",
    type=FilePath(),
    metavar="FILE",
    help="Write what an export, or a survey's report.json, holds.",
)
@click.option("--force", is_flag=True, help="Overwrite what is there.")
@top_option(EXPORT_NEURONS, "How many neurons a token brings.")
def export(
    invocation: Invocation,
    names: tuple[str, ...],
    output: Path,
    format: str | None,
    source: Path | None,
    force: bool,
    top: int,
) -> None:
    """Write neurons, prompts and heads to a file.

    A token brings its first neurons; what reads as a neuron is one, and "#640" is a token id. A json document
    can be opened and verified, html is one page; csv, tsv, markdown, latex and parquet are a folder of
    tables, neuronpedia a folder that Neuronpedia imports."""
    by_ending = "html" if output.suffix.casefold() == ".html" else "json"
    chosen = cast(ExportFormat, format or by_ending)
    if bool(names) is (source is not None):
        raise click.UsageError("Name tokens and neurons, or a file with --from.")
    if source is not None and chosen == "json":
        raise click.UsageError("--from writes another format than json; name it with --format.")
    _check(output, chosen, force)  # before minutes of scanning, not after them
    if source is not None:
        from tui_lookups.exports.report import read_report

        done = _write(read_report(source), output, chosen, force)
        invocation.emit(done, _rows(done))
        return

    def question(explorer: Explorer, narrator: Narrator) -> Exported:
        selection = gather_selection(explorer, names, top).noted(explorer.notes())
        if chosen == "json":
            path = writing.export(explorer, selection, output, overwrite=force)
            return Exported(str(path), len(selection.neurons), len(selection.prompts), len(selection.heads))
        from tui_lookups.exports.filling import filled
        from tui_lookups.exports.report import of_export

        return _write(of_export(filled(explorer, selection)), output, chosen, force)

    invocation.answer(question, rows=_rows)


def _check(output: Path, form: ExportFormat, force: bool) -> None:
    """Raise ExportError for a place that cannot be written."""
    if form == "json":
        writing.check_name(output)
    if form in ("json", "html"):
        writing.check_free(output, force)
    else:
        writing.check_folder(output, force)


def _write(report: Report, output: Path, form: ExportFormat, force: bool) -> Exported:
    """A report as a page, as tables, or as Neuronpedia reads it."""
    if form == "html":
        from tui_lookups.exports.report_page import write_page

        write_page(report, output, force)
    elif form == "neuronpedia":
        from tui_lookups.exports.neuronpedia import write_neuronpedia

        write_neuronpedia(report, output)
    elif form != "json":
        from tui_lookups.exports.long_form import write_tables

        write_tables(report, output, form)
    walks = report.walks
    prompts = sum(len(walk.prompts) for walk in walks)
    heads = sum(len(walk.heads) + len(walk.on_prompts) for walk in walks)
    return Exported(str(output), len(walks), prompts, heads)


def _rows(done: Exported) -> list[tuple[str, ...]]:
    return [
        ("written", done.path),
        ("neurons", f"{done.neurons}"),
        ("prompts", f"{done.prompts}"),
        ("heads", f"{done.heads}"),
    ]
