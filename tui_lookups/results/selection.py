"""The basket, and the document it is exported as."""

from __future__ import annotations

from dataclasses import dataclass

from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results.attribution import HeadAttributions, HeadMean
from tui_lookups.results.base import Provenance, Token
from tui_lookups.results.congruence import TokenCongruence
from tui_lookups.results.explanation import Explanation, ExplanationScore
from tui_lookups.results.prompts import NeuronStats, Prompt


@dataclass(frozen=True, slots=True)
class SelectedNeuron:
    """A marked neuron and, where it was found through one, the token it was found for."""

    neuron: NeuronId
    token: Token | None = None


@dataclass(frozen=True, slots=True)
class SelectedPrompt:
    neuron: NeuronId
    prompt_id: int


@dataclass(frozen=True, slots=True)
class SelectedHead:
    """A marked head of a neuron, on one prompt or (prompt_id None) over all its prompts."""

    neuron: NeuronId
    head: HeadId
    prompt_id: int | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """The basket: what was marked with space, in the order it was marked."""

    neurons: tuple[SelectedNeuron, ...] = ()
    prompts: tuple[SelectedPrompt, ...] = ()
    heads: tuple[SelectedHead, ...] = ()

    def __len__(self) -> int:
        return len(self.neurons) + len(self.prompts) + len(self.heads)


@dataclass(frozen=True, slots=True)
class ExportedNeuron:
    """A marked neuron with what it writes; the four token figures are None without a token."""

    neuron: NeuronId
    token: Token | None
    congruence: float | None
    cosine: float | None
    token_rank: int | None
    tokens: tuple[TokenCongruence, ...]
    suppressed: tuple[TokenCongruence, ...]
    stats: NeuronStats | None


@dataclass(frozen=True, slots=True)
class ExportedPrompt:
    neuron: NeuronId
    prompt: Prompt


@dataclass(frozen=True, slots=True)
class ExportedHead:
    """A marked head: its attribution on one prompt with its sources, or its mean over all prompts.

    `explanation` is its newest one, `explanation_score` that one's score; None while there is none.
    """

    neuron: NeuronId
    head: HeadId
    prompt_id: int | None
    attributions: HeadAttributions | None
    mean: HeadMean | None
    explanation: Explanation | None = None
    explanation_score: ExplanationScore | None = None


@dataclass(frozen=True, slots=True)
class ExportDocument:
    """One JSON document, valid against storage/export.schema.json; can be opened again as a selection."""

    schema_version: int
    generator: str
    created: str
    provenance: Provenance
    neurons: tuple[ExportedNeuron, ...]
    prompts: tuple[ExportedPrompt, ...]
    heads: tuple[ExportedHead, ...]

    def selection(self) -> Selection:
        """The basket this document was made from."""
        return Selection(
            tuple(SelectedNeuron(n.neuron, n.token) for n in self.neurons),
            tuple(SelectedPrompt(p.neuron, p.prompt.prompt_id) for p in self.prompts),
            tuple(SelectedHead(h.neuron, h.head, h.prompt_id) for h in self.heads),
        )
