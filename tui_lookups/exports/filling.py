"""A selection filled with everything that is known about it: the export document."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tui_lookups.errors import LookupsError
from tui_lookups.exports.document import (
    EXPORT_VERSION,
    ExportDocument,
    ExportedHead,
    ExportedNeuron,
    ExportedPrompt,
    ExportedSet,
)
from tui_lookups.ids import NeuronId
from tui_lookups.results import (
    HeadAblation,
    MemberScore,
    NeuronPrompts,
    Prompt,
    PromptKind,
    SelectedAblation,
    SelectedHead,
    SelectedNeuron,
    SelectedPrompt,
    Selection,
    TokenSet,
)
from tui_lookups.storage.codec import generator

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer

_KINDS: tuple[PromptKind, ...] = ("top", "random", "deciles")


def filled(explorer: Explorer, selection: Selection) -> ExportDocument:
    """The export document of a selection. Raises LookupsError for an empty one, and as questions do."""
    if not len(selection):
        raise LookupsError(
            "Nothing is selected.", "Mark neurons, prompts, heads or ablations with space first."
        )
    lists = PromptLists(explorer)
    return ExportDocument(
        schema_version=EXPORT_VERSION,
        generator=generator(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        provenance=explorer.provenance(),
        neurons=tuple(
            exported_neuron(explorer, marked, lists.of(marked.neuron)) for marked in selection.neurons
        ),
        prompts=tuple(exported_prompt(lists, marked) for marked in selection.prompts),
        heads=tuple(exported_head(explorer, lists, marked) for marked in selection.heads),
        ablations=tuple(ablation(explorer, marked) for marked in selection.ablations),
        notes=selection.notes,
    )


def ablation(explorer: Explorer, marked: SelectedAblation) -> HeadAblation:
    """A marked ablation, worked out as it was marked. Raises as questions do."""
    return explorer.ablate(
        marked.neuron,
        marked.head,
        method=marked.method,
        positions=marked.positions,
        trimmed=marked.context == "trimmed",
    )


class PromptLists:
    """The prompts of neurons, every list asked for when it is first needed."""

    def __init__(self, explorer: Explorer) -> None:
        self._explorer = explorer
        self._found: dict[tuple[NeuronId, PromptKind], NeuronPrompts] = {}

    def of(self, neuron: NeuronId, kind: PromptKind = "top") -> NeuronPrompts:
        """One of a neuron's lists."""
        if (neuron, kind) not in self._found:
            self._found[neuron, kind] = self.ask(neuron, kind)
        return self._found[neuron, kind]

    def ask(self, neuron: NeuronId, kind: PromptKind) -> NeuronPrompts:
        """The list, whether or not it is known: heads are asked for at the peaks of the list shown last."""
        return self._explorer.sampled_prompts(neuron, kind, top=self._explorer.settings.top)

    def find(self, neuron: NeuronId, prompt_id: int, first: PromptKind = "top") -> tuple[PromptKind, Prompt]:
        """A prompt and the list it is in; one that is in several, in `first` or else the highest prompts.

        Raises LookupsError where it is in none.
        """
        for kind in dict.fromkeys((first, *_KINDS)):
            for prompt in self.of(neuron, kind).prompts:
                if prompt.prompt_id == prompt_id:
                    return kind, prompt
        raise LookupsError(
            f"Prompt #{prompt_id} is not among the top prompts of {neuron}, nor among its samples.",
            "Stronger ones were found since; unmark it in the basket.",
        )


def exported_neuron(explorer: Explorer, marked: SelectedNeuron, prompts: NeuronPrompts) -> ExportedNeuron:
    """A marked neuron with its tokens and statistics. Raises as questions do."""
    written = explorer.tokens(marked.neuron)
    score = None if marked.token is None else explorer.score(marked.neuron, marked.token)
    several = None if marked.token_set is None else exported_set(explorer, marked.neuron, marked.token_set)
    return ExportedNeuron(
        neuron=marked.neuron,
        token=marked.token,
        congruence=None if score is None else score.congruence,
        cosine=None if score is None else score.cosine,
        token_rank=None if score is None else score.token_rank,
        tokens=written.tokens,
        suppressed=written.suppressed,
        stats=prompts.stats,
        token_set=several,
    )


def exported_set(explorer: Explorer, neuron: NeuronId, several: TokenSet) -> ExportedSet:
    """A set of tokens with what a neuron gives each of them. Raises as questions do."""
    scores = (explorer.score(neuron, token) for token in several.members)
    rows = zip(several.members, scores, strict=True)
    return ExportedSet(
        tuple(MemberScore(token, row.congruence, row.cosine, row.token_rank) for token, row in rows),
        several.as_one,
    )


def exported_prompt(lists: PromptLists, marked: SelectedPrompt, first: PromptKind = "top") -> ExportedPrompt:
    """A marked prompt with the list it is in. Raises as `PromptLists.find` does."""
    kind, prompt = lists.find(marked.neuron, marked.prompt_id, first)
    return ExportedPrompt(marked.neuron, prompt, kind)


def exported_head(
    explorer: Explorer, lists: PromptLists, marked: SelectedHead, first: PromptKind = "top"
) -> ExportedHead:
    """A marked head with its attribution and what is said of it. Raises as questions do.

    It is worked out on the texts it was marked on.
    """
    trimmed = explorer.settings.trimmed if marked.context is None else marked.context == "trimmed"
    explained = explorer.explaining.explained(marked.neuron, marked.head)
    made = ExportedHead(
        marked.neuron,
        marked.head,
        marked.prompt_id,
        attributions=None,
        mean=None,
        explanation=explained[0].explanation if explained else None,
        explanation_score=explained[0].score if explained else None,
        context="trimmed" if trimmed else "full",
    )
    if marked.prompt_id is not None:
        kind, prompt = lists.find(marked.neuron, marked.prompt_id, first)
        lists.ask(marked.neuron, kind)
        attributions = explorer.heads(
            marked.neuron, prompt_id=marked.prompt_id, sources=marked.head, trimmed=trimmed
        )
        return replace(made, attributions=replace(attributions, rank=prompt.rank), kind=kind)
    for mean in explorer.heads_overview(marked.neuron, trimmed=trimmed).heads:
        if mean.head == marked.head:
            return replace(made, mean=mean)
    raise LookupsError(f"{marked.head} does not reach {marked.neuron}.", "Unmark it in the basket.")
