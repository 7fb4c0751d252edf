"""One question at several revisions of a model, such as the steps of its training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results.base import Basis, Provenance, Sign, Token
from tui_lookups.results.congruence import NeuronScore


@dataclass(frozen=True, slots=True)
class NeuronsAtRevision:
    """The neurons that are followed, as one revision has them, in the order of the last revision.

    `fingerprint` is that of the model at this revision.
    """

    revision: str
    fingerprint: str
    token: Token
    neurons: tuple[NeuronScore, ...]


@dataclass(frozen=True, slots=True)
class NeuronsOverRevisions:
    """A token's neurons at the last of several revisions, followed through all of them.

    `provenance` is that of the ranking at the last one.
    """

    token: Token
    basis: Basis
    sign: Sign
    revisions: tuple[NeuronsAtRevision, ...]
    provenance: Provenance


Firing = Literal["prompts", "text"]


@dataclass(frozen=True, slots=True)
class HeadAtRevision:
    """A head's attribution to the neuron: on the text, or its mean over the neuron's prompts."""

    head: HeadId
    attribution: float


@dataclass(frozen=True, slots=True)
class NeuronAtRevision:
    """One neuron as one revision has it.

    Attributes:
        fingerprint: of the model at this revision.
        congruence, cosine, token_rank: with the token that is followed.
        peak: its largest activation, by the sign that counts as firing: over the corpus, or on the text; None
            where neither was asked for, or where it never fires.
        heads: every head that reaches it, in layer, then head order; none where `peak` is None.
    """

    revision: str
    fingerprint: str
    token: Token
    congruence: float
    cosine: float
    token_rank: int
    top_token: Token
    top_congruence: float
    peak: float | None
    heads: tuple[HeadAtRevision, ...]


@dataclass(frozen=True, slots=True)
class NeuronOverRevisions:
    """One neuron at several revisions. `firing` says where peak and heads are from; None: not asked for.

    `provenance` is that of the last one.
    """

    neuron: NeuronId
    token: Token
    basis: Basis
    firing: Firing | None
    revisions: tuple[NeuronAtRevision, ...]
    provenance: Provenance
