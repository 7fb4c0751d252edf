"""The basket. Light: the app needs it before its first paint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results.base import Token, TokenSet

AblationMethod = Literal["zero", "mean", "resample"]
AblationPositions = Literal["peak", "all"]


@dataclass(frozen=True, slots=True)
class SelectedNeuron:
    """A marked neuron and, where it was found through one, the token it was found for.

    `token_set`: the set that it was found through, of which that is the leading member for it.
    """

    neuron: NeuronId
    token: Token | None = None
    token_set: TokenSet | None = None


@dataclass(frozen=True, slots=True)
class SelectedPrompt:
    neuron: NeuronId
    prompt_id: int


@dataclass(frozen=True, slots=True)
class SelectedHead:
    """A marked head of a neuron, on one prompt or (prompt_id None) over all its prompts.

    `context`: on full windows or on trimmed prompts; None: as the setting `trimmed` says.
    """

    neuron: NeuronId
    head: HeadId
    prompt_id: int | None = None
    context: Literal["full", "trimmed"] | None = None


@dataclass(frozen=True, slots=True)
class SelectedAblation:
    """A marked ablation: a head taken out of all of a neuron's prompts, how, where and of which texts."""

    neuron: NeuronId
    head: HeadId
    method: AblationMethod
    positions: AblationPositions
    context: Literal["full", "trimmed"]


Item = SelectedNeuron | SelectedPrompt | SelectedHead | SelectedAblation
"""Something marked."""


@dataclass(frozen=True, slots=True)
class Note:
    """What a person wrote, and when (ISO 8601 with offset).

    It is of a neuron, or of its prompt; with a head, of the head for this neuron on the prompt, or over all
    prompts (prompt_id None), its explanation included; with a method, of the ablations of the head by it.
    """

    neuron: NeuronId
    text: str
    written: str
    head: HeadId | None = None
    prompt_id: int | None = None
    method: AblationMethod | None = None

    @property
    def subject(self) -> Subject:
        """What it is of."""
        return self.neuron, self.head, self.prompt_id, self.method

    @classmethod
    def on(cls, item: Item, text: str, written: str) -> Note:
        """A note on something marked."""
        neuron, head, prompt_id, method = subject_of(item)
        return cls(neuron, text, written, head, prompt_id, method)

    def is_of(self, item: Item) -> bool:
        """Whether it is of something marked."""
        return self.subject == subject_of(item)


Subject = tuple[NeuronId, HeadId | None, int | None, AblationMethod | None]
"""What a note is of: neuron, head, prompt and method of ablations, as far as it is of these."""


def subject_of(item: Item) -> Subject:
    """What a note on something marked is of: a neuron for whichever token, a head on whichever texts."""
    if isinstance(item, SelectedNeuron):
        return item.neuron, None, None, None
    if isinstance(item, SelectedPrompt):
        return item.neuron, None, item.prompt_id, None
    if isinstance(item, SelectedHead):
        return item.neuron, item.head, item.prompt_id, None
    return item.neuron, item.head, None, item.method


@dataclass(frozen=True, slots=True)
class Selection:
    """The basket: what was marked with space, in the order it was marked, and the notes on it."""

    neurons: tuple[SelectedNeuron, ...] = ()
    prompts: tuple[SelectedPrompt, ...] = ()
    heads: tuple[SelectedHead, ...] = ()
    ablations: tuple[SelectedAblation, ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def items(self) -> tuple[Item, ...]:
        """Everything marked: neurons, prompts, heads, ablations."""
        return (*self.neurons, *self.prompts, *self.heads, *self.ablations)

    def note_on(self, item: Item) -> Note | None:
        """The note on something marked, None where there is none."""
        return next((note for note in self.notes if note.is_of(item)), None)

    def noted(self, notes: Iterable[Note]) -> Selection:
        """The same things with those of these notes that are of them, each thing with the last one."""
        last = {note.subject: note for note in notes if note.text}
        subjects = dict.fromkeys(map(subject_of, self.items))
        return replace(self, notes=tuple(last[subject] for subject in subjects if subject in last))

    def __len__(self) -> int:
        return len(self.neurons) + len(self.prompts) + len(self.heads) + len(self.ablations)
