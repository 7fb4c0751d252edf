"""The document a basket is exported as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results.ablation import HeadAblation
from tui_lookups.results.attribution import HeadAttributions, HeadMean
from tui_lookups.results.base import AsOne, Provenance, Token, TokenSet
from tui_lookups.results.congruence import MemberScore, TokenCongruence
from tui_lookups.results.explanation import Explanation, ExplanationScore
from tui_lookups.results.peaks import PromptKind
from tui_lookups.results.prompts import NeuronStats, Prompt
from tui_lookups.results.selection import (
    Note,
    SelectedHead,
    SelectedNeuron,
    SelectedPrompt,
    Selection,
)

EXPORT_VERSION = 3
"""Version of export documents. 1 did not say of which list a prompt is, nor which texts a head is of; 2 knew
no copies, special tokens or ablations."""


@dataclass(frozen=True, slots=True)
class ExportedSet:
    """Several tokens that were looked for as one, and how; and what the neuron gives each.

    See method.md, section 2.
    """

    members: tuple[MemberScore, ...]
    as_one: AsOne

    @property
    def token_set(self) -> TokenSet:
        """The set itself."""
        first, *others = (member.token for member in self.members)
        return TokenSet(first.id, first.text, tuple(others), self.as_one)


@dataclass(frozen=True, slots=True)
class ExportedNeuron:
    """A marked neuron with what it writes; the four token figures are None without a token.

    `token_set`: the set it was found through, of which `token` is the leading member for it.
    """

    neuron: NeuronId
    token: Token | None
    congruence: float | None
    cosine: float | None
    token_rank: int | None
    tokens: tuple[TokenCongruence, ...]
    suppressed: tuple[TokenCongruence, ...]
    stats: NeuronStats | None
    token_set: ExportedSet | None = None
    """Not in a file of a neuron that has none: earlier versions know no such key."""


@dataclass(frozen=True, slots=True)
class ExportedPrompt:
    """A marked prompt; `kind` says in which of the neuron's lists `prompt.rank` counts."""

    neuron: NeuronId
    prompt: Prompt
    kind: PromptKind = "top"


@dataclass(frozen=True, slots=True)
class ExportedHead:
    """A marked head: its attribution on one prompt with its sources, or its mean over all prompts.

    `explanation` is its newest one, `explanation_score` that one's score; None while there is none.
    `kind` is the list that its prompt is of, "top" over all prompts; `context` the texts that were run.
    """

    neuron: NeuronId
    head: HeadId
    prompt_id: int | None
    attributions: HeadAttributions | None
    mean: HeadMean | None
    explanation: Explanation | None = None
    explanation_score: ExplanationScore | None = None
    kind: PromptKind = "top"
    context: Literal["full", "trimmed"] = "full"


@dataclass(frozen=True, slots=True)
class ExportDocument:
    """One JSON document, valid against exports/export.schema.json; can be opened again as a selection."""

    schema_version: int
    generator: str
    created: str
    provenance: Provenance
    neurons: tuple[ExportedNeuron, ...]
    prompts: tuple[ExportedPrompt, ...]
    heads: tuple[ExportedHead, ...]
    ablations: tuple[HeadAblation, ...] = ()
    """Not in a file that has none: earlier versions know no such key."""
    notes: tuple[Note, ...] = ()
    """What a person wrote of these things; as ablations, not in a file that has none."""

    def selection(self) -> Selection:
        """The basket this document was made from."""
        return Selection(
            tuple(
                SelectedNeuron(n.neuron, n.token, None if n.token_set is None else n.token_set.token_set)
                for n in self.neurons
            ),
            tuple(SelectedPrompt(p.neuron, p.prompt.prompt_id) for p in self.prompts),
            tuple(SelectedHead(h.neuron, h.head, h.prompt_id, h.context) for h in self.heads),
            tuple(ablation.marked for ablation in self.ablations),
        ).noted(self.notes)
