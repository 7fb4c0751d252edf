"""A trace: a token's logit, or what a neuron reads, opened node by node (method.md, section 9).

A node has a name: the names from the root down to it, with "/" in between, such as "root/L19.N61/L19.H6/@31":
what L19.H6 brings from position 31 to neuron L19.N61, as a part of the root.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tui_lookups.ids import NeuronId
from tui_lookups.results.base import Provenance, Token

ROOT = "root"
"""The name of the node that a trace begins from."""

TraceKind = Literal[
    "root",
    "head",
    "source",
    "neuron",
    "embedding",
    "attention_biases",
    "mlp_biases",
    "bias",
    "rounding",
    "skip",
    "error",
]
"""What a node is. "source": a position that a head read. "bias": what the reader above itself adds.
"rounding": what a head's output is off its pattern times its values, which another implementation gives.
"neuron": a dictionary's unit too; "skip", "error": what MLPs write beside those (method.md, section 14)."""


@dataclass(frozen=True, slots=True)
class TraceRoot:
    """What a trace begins from.

    Attributes:
        token, foil: of a token's logit; `token` is None where the root is a neuron.
        neuron: None where the root is a token.
        target: "logit", centred over the vocabulary or less that of the foil, before a soft cap; or the
            "pre_activation" of a plain neuron, the "activation" of a gated one.
        probability: the model's, of the token; activation: the neuron's.
        soft_cap: the cap on the logits that follows; None where there is none.
    """

    token: Token | None
    foil: Token | None
    neuron: NeuronId | None
    target: Literal["logit", "pre_activation", "activation"]
    value: float
    probability: float | None
    activation: float | None
    soft_cap: float | None


@dataclass(frozen=True, slots=True)
class TraceRest:
    """The parts of a node that are not told apart: their sum, and how many they are."""

    contribution: float
    parts: int


@dataclass(frozen=True, slots=True)
class TraceNode:
    """A component at its place in a trace.

    Attributes:
        parent: the node that it is a part of; None of the root.
        component: the head's or neuron's name; of a source its head's; of others the kind.
        position: where it writes; of a source, the position that is read.
        contribution: to its parent, and so to the root.
        share: of the root; None where that is 0.
        activation: a neuron's. weight: of the pattern, at a source.
        openable: whether it has parts. opened: whether they are in this answer.
        rest: the parts that are not told apart; None where it is not opened.
        remainder: what its parts and its rest are off its contribution, by rounding; None likewise.
    """

    id: str
    parent: str | None
    kind: TraceKind
    component: str
    position: int
    contribution: float
    share: float | None
    activation: float | None
    weight: float | None
    openable: bool
    opened: bool
    rest: TraceRest | None
    remainder: float | None


@dataclass(frozen=True, slots=True)
class Conserved:
    """What the node at the top of a trace is made of: nodes that are not opened, and the rests of those that
    are; `remainder` is what both are off it."""

    leaves: float
    rests: float
    remainder: float


@dataclass(frozen=True, slots=True)
class Trace:
    """A tree: the root, or the node that was asked for, and what is below it, each after its parent.

    Attributes:
        tokens: of the text up to `position`, begin-of-text in front.
        prompt_id: the prompt's; None for a text. context: the window, the trimmed prompt, or a text.
        depth: levels below the first node. width: nodes told apart of each.
    """

    root: TraceRoot
    tokens: tuple[Token, ...]
    position: int
    prompt_id: int | None
    context: Literal["full", "trimmed", "text"]
    depth: int
    width: int
    nodes: tuple[TraceNode, ...]
    conserved: Conserved
    provenance: Provenance

    def children(self, node: str) -> tuple[TraceNode, ...]:
        """The parts of a node that are told apart, largest first."""
        children = [child for child in self.nodes if child.parent == node]
        return tuple(sorted(children, key=lambda each: -abs(each.contribution)))


@dataclass(frozen=True, slots=True)
class GraphNode:
    """A component at a position, over all paths from it to the root.

    Attributes:
        id: its name and position, such as "L19.H6@42"; "root".
        relevance: what it contributes to the root over all paths, everything in between held.
        share: of the root; None where that is 0.
        rest: of `relevance`, what no edge from a kept node accounts for.
    """

    id: str
    kind: Literal["root", "head", "neuron", "embedding"]
    component: str
    position: int
    relevance: float
    share: float | None
    activation: float | None
    rest: float


@dataclass(frozen=True, slots=True)
class GraphEdge:
    """What one kept node contributes directly to another one's relevance."""

    source: str
    target: str
    contribution: float


@dataclass(frozen=True, slots=True)
class TraceGraph:
    """The components of largest relevance to a root, and what they contribute to each other directly.

    Attributes:
        explained: what of the root comes from kept embeddings and from biases over kept nodes alone.
        biases: the part of `explained` that biases are.
        lost: the root less that, and less `beside`; lost_share: of the root, None where that is 0.
        beside: what skips and errors of a dictionary bring over kept nodes (section 14); None where none is
            open.
    """

    root: TraceRoot
    tokens: tuple[Token, ...]
    position: int
    prompt_id: int | None
    context: Literal["full", "trimmed", "text"]
    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]
    explained: float
    biases: float
    lost: float
    lost_share: float | None
    provenance: Provenance
    beside: float | None = None
