"""`lookups-tui export`: tokens and neurons to one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tui_lookups.commands.invocation import FilePath, Invocation, command, top_option
from tui_lookups.errors import BadIdError, ExportError
from tui_lookups.exports import writing
from tui_lookups.ids import NeuronId
from tui_lookups.results.selection import SelectedHead, SelectedNeuron, SelectedPrompt, Selection
from tui_lookups.storage.files import reason

if TYPE_CHECKING:
    from tui_lookups.commands.narration import Narrator
    from tui_lookups.explorer import Explorer

EXPORT_NEURONS, EXPORT_PROMPTS, EXPORT_HEADS = 5, 3, 3


@dataclass(frozen=True, slots=True)
class Exported:
    """What `export` wrote, and where."""

    path: str
    neurons: int
    prompts: int
    heads: int


def _is_neuron(text: str) -> bool:
    try:
        NeuronId.parse(text)
    except BadIdError:
        return False
    return True


def gather_selection(explorer: Explorer, names: tuple[str, ...], top: int) -> Selection:
    """The basket for tokens and neurons by name, each thing once, in the order it is met.

    A token brings its `top` neurons; every neuron brings its first prompts, as far as they are kept, and of
    the first prompt the heads of largest absolute attribution.
    """
    most = min(EXPORT_PROMPTS, explorer.settings.top)
    chosen: dict[NeuronId, SelectedNeuron] = {}
    for name in names:
        if _is_neuron(name):
            neuron = NeuronId.parse(name)
            chosen.setdefault(neuron, SelectedNeuron(neuron))
            continue
        ranking = explorer.neurons(name, top=top)
        for row in ranking.neurons:
            chosen.setdefault(row.neuron, SelectedNeuron(row.neuron, ranking.token))
    prompts: list[SelectedPrompt] = []
    heads: list[SelectedHead] = []
    for neuron in chosen:
        found = explorer.prompts(neuron, top=most).prompts
        prompts += (SelectedPrompt(neuron, prompt.prompt_id) for prompt in found)
        if found:
            scores = explorer.heads(neuron, prompt=1).heads
            largest = sorted(scores, key=lambda score: -abs(score.attribution))[:EXPORT_HEADS]
            heads += (SelectedHead(neuron, score.head, found[0].prompt_id) for score in largest)
    return Selection(tuple(chosen.values()), tuple(prompts), tuple(heads))


@command()
@click.argument("names", nargs=-1, required=True, metavar="TOKEN_OR_NEURON...")
@click.option("-o", "--output", required=True, type=FilePath(), help="The file to write.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@top_option(EXPORT_NEURONS, "How many neurons a token brings.")
def export(invocation: Invocation, names: tuple[str, ...], output: Path, force: bool, top: int) -> None:
    """Write neurons, prompts and heads to a file.

    A token brings its first neurons; what reads as a neuron is one, and "#640" is a token id."""
    # before minutes of scanning, not after them
    writing.check_name(output)
    try:
        exists, has_folder = output.exists(), output.absolute().parent.is_dir()
    except OSError as error:  # a name too long, a folder that may not be entered
        raise ExportError(f"{output} cannot be written: {reason(error)}.", "Choose another file.") from error
    if exists and not force:
        raise ExportError(f"{output} exists already.", "Choose another file, or overwrite it with --force.")
    if not has_folder:
        raise ExportError(f"The folder of {output} does not exist.", "Make it first, or choose another file.")

    def ask(explorer: Explorer, narrator: Narrator) -> Exported:
        selection = gather_selection(explorer, names, top).noted(explorer.notes())
        path = writing.export(explorer, selection, output, overwrite=force)
        return Exported(str(path), len(selection.neurons), len(selection.prompts), len(selection.heads))

    invocation.answer(
        ask,
        rows=lambda done: [
            ("written", done.path),
            ("neurons", f"{done.neurons}"),
            ("prompts", f"{done.prompts}"),
            ("heads", f"{done.heads}"),
        ],
    )
