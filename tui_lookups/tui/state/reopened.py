"""What an export that is opened again may mark: only what means the same here as where it was written.

1. Of another model nothing is taken: its neurons and heads are others under the same names.
2. Of another corpus, or of the same cut into other windows, prompts are left out, and ablations, which are
   over prompts: their numbers stand for other texts here. A head that was marked on one prompt is taken over
   all prompts instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tui_lookups.errors import ExportError
from tui_lookups.results.selection import SelectedHead, Selection

if TYPE_CHECKING:
    from tui_lookups.exports.document import ExportDocument
    from tui_lookups.results import CorpusInfo, ModelInfo

_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Reopened:
    """What is marked, and a sentence about what was left out; empty where nothing was."""

    selection: Selection
    note: str


def reopened(document: ExportDocument, model: ModelInfo, corpus: CorpusInfo) -> Reopened:
    """What `document` marks where `model` and `corpus` are open. Raises ExportError for another model."""
    theirs = document.provenance.model
    if theirs.fingerprint != model.fingerprint:
        raise ExportError(
            f"This export is of the model {_named(theirs, model)}, but {_named(model, theirs)} is open.",
            f"Start lookups-tui with --model {_given_as(theirs)} to open it.",
        )
    selection, source = document.selection(), document.provenance.corpus
    if source is not None and source.fingerprint == corpus.fingerprint:
        return Reopened(selection, "")
    heads = dict.fromkeys(
        SelectedHead(head.neuron, head.head, None, head.context) for head in selection.heads
    )
    kept = Selection(selection.neurons, (), tuple(heads)).noted(selection.notes)
    if kept == selection:
        return Reopened(kept, "")
    name = "" if source is None else f" ({source.name})"
    what = "Prompts and ablations" if selection.ablations else "Prompts"
    return Reopened(kept, f"{what} left out: they are of another corpus{name}.")


def _named(model: ModelInfo, other: ModelInfo) -> str:
    """A model by its name, and where the other has the same by its content."""
    return f"{model.name} ({model.fingerprint[:_DIGITS]}…)" if model.name == other.name else model.name


def _given_as(model: ModelInfo) -> str:
    """What --model is given for a model, as far as its export tells."""
    if model.source.startswith("hub:") and model.name != "smollm2":
        return model.source.removeprefix("hub:")
    return model.source if Path(model.source).is_absolute() else model.name
