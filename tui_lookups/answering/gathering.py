"""A selection filled with everything that is known about it: the export document."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tui_lookups.errors import LookupsError
from tui_lookups.ids import NeuronId
from tui_lookups.results import (
    SCHEMA_VERSION,
    ExportDocument,
    ExportedHead,
    ExportedNeuron,
    ExportedPrompt,
    NeuronPrompts,
    Prompt,
    Provenance,
    SelectedHead,
    SelectedNeuron,
    Selection,
)
from tui_lookups.storage.codec import generator

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer


def gather(explorer: Explorer, selection: Selection, provenance: Provenance) -> ExportDocument:
    """The export document of a selection. Raises LookupsError for an empty one, and as questions do."""
    if not len(selection):
        raise LookupsError("Nothing is selected.", "Mark neurons, prompts or heads with space first.")
    found: dict[NeuronId, NeuronPrompts] = {}

    def prompts_of(neuron: NeuronId) -> NeuronPrompts:
        if neuron not in found:
            found[neuron] = explorer.prompts(neuron, top=explorer.settings.top)
        return found[neuron]

    return ExportDocument(
        schema_version=SCHEMA_VERSION,
        generator=generator(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        provenance=provenance,
        neurons=tuple(
            exported_neuron(explorer, marked, prompts_of(marked.neuron)) for marked in selection.neurons
        ),
        prompts=tuple(
            ExportedPrompt(marked.neuron, find_prompt(prompts_of(marked.neuron), marked.prompt_id))
            for marked in selection.prompts
        ),
        heads=tuple(exported_head(explorer, marked) for marked in selection.heads),
    )


def exported_neuron(explorer: Explorer, marked: SelectedNeuron, prompts: NeuronPrompts) -> ExportedNeuron:
    """A marked neuron with its tokens and statistics. Raises as questions do."""
    written = explorer.tokens(marked.neuron)
    score = None if marked.token is None else explorer.score(marked.neuron, marked.token)
    return ExportedNeuron(
        neuron=marked.neuron,
        token=marked.token,
        congruence=None if score is None else score.congruence,
        cosine=None if score is None else score.cosine,
        token_rank=None if score is None else score.token_rank,
        tokens=written.tokens,
        suppressed=written.suppressed,
        stats=prompts.stats,
    )


def find_prompt(prompts: NeuronPrompts, prompt_id: int) -> Prompt:
    """The prompt of this number. Raises LookupsError where it is not among them."""
    for prompt in prompts.prompts:
        if prompt.prompt_id == prompt_id:
            return prompt
    raise LookupsError(
        f"Prompt #{prompt_id} is not among the top prompts of {prompts.neuron}.",
        "Stronger ones were found since, or it was marked in a random sample; unmark it in the basket.",
    )


def exported_head(explorer: Explorer, marked: SelectedHead) -> ExportedHead:
    """A marked head with its attribution and what is said of it. Raises as questions do."""
    known = explorer.explaining.explained(marked.neuron, marked.head)
    explained = (known[0].explanation, known[0].score) if known else (None, None)
    if marked.prompt_id is not None:
        attributions = explorer.heads(marked.neuron, prompt_id=marked.prompt_id, sources=marked.head)
        return ExportedHead(marked.neuron, marked.head, marked.prompt_id, attributions, None, *explained)
    overview = explorer.heads_overview(marked.neuron)
    for mean in overview.heads:
        if mean.head == marked.head:
            return ExportedHead(marked.neuron, marked.head, None, None, mean, *explained)
    raise LookupsError(f"{marked.head} does not reach {marked.neuron}.", "Unmark it in the basket.")
