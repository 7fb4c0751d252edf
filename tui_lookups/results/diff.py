"""What moved from one model to another of its architecture (method.md, section 13)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results.base import Basis, ModelInfo, Provenance, Token


@dataclass(frozen=True, slots=True)
class MovedVector:
    """How a vector of a neuron moved.

    Attributes:
        change: the length of the difference, over `norm_before` or, where that is less, the root mean square
            of the layer's.
        cosine: of the vector before with that after; None where one of them is zero.
        norm_before, norm_after: its lengths.
    """

    change: float
    cosine: float | None
    norm_before: float
    norm_after: float


@dataclass(frozen=True, slots=True)
class MovedNeuron:
    """A neuron that moved, by `moved`: the root of the sum of the squares of its vectors' changes.

    `read` is its direction of W_in, `gate` that of W_gate, None in a plain MLP; the top tokens are those that
    it promotes most in each model.
    """

    neuron: NeuronId
    layer: int
    index: int
    moved: float
    write: MovedVector
    read: MovedVector
    gate: MovedVector | None
    top_token_before: Token
    top_token_after: Token


@dataclass(frozen=True, slots=True)
class MovedHead:
    """A head that moved: by how much each of its matrices changed, as the vectors of a neuron do.

    `moved` is the root of the sum of their squares. None: the matrix is not known apart in this family. Heads
    of one group share W_K and W_V.
    """

    head: HeadId
    layer: int
    index: int
    moved: float
    W_Q: float | None
    W_K: float | None
    W_V: float | None
    W_O: float


@dataclass(frozen=True, slots=True)
class MovedTensor:
    """A tensor that changed.

    Attributes:
        change: the Frobenius norm of the difference over that of the tensor before (after, where that was 0).
        spectral_change: the largest singular value of the difference, over the same norm; None where it is no
            matrix, or too large a one.
        rank_one_share: the share of the squared difference along that singular direction: 1 for an edit of
            rank one.
    """

    tensor: str
    shape: tuple[int, ...]
    change: float
    spectral_change: float | None
    rank_one_share: float | None


@dataclass(frozen=True, slots=True)
class WeightDiff:
    """What moved in the weights, most first: neurons, heads, and tensors as the files name them.

    Attributes:
        against: the second model; the first one is the provenance's.
        matrices: by their spectral change. vectors: biases, norms and what is no matrix otherwise, by their
            change.
        neurons_moved, heads_moved, tensors_moved: how many did at all, of so many compared.
        tensors_apart: those that only one of the two has.
    """

    against: ModelInfo
    basis: Basis
    neurons: tuple[MovedNeuron, ...]
    neurons_moved: int
    neurons_compared: int
    heads: tuple[MovedHead, ...]
    heads_moved: int
    heads_compared: int
    matrices: tuple[MovedTensor, ...]
    vectors: tuple[MovedTensor, ...]
    tensors_moved: int
    tensors_compared: int
    tensors_apart: tuple[str, ...]
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class ChangedNeuron:
    """A neuron whose activations changed over a corpus.

    Attributes:
        change: the root mean square of the difference, over that of the activation before or, where that is
            less, over that of the layer.
        correlation: Pearson's, of both over all positions; None where one is constant.
        peak_before, peak_after: the activation at the peak in each model.
    """

    neuron: NeuronId
    layer: int
    index: int
    change: float
    correlation: float | None
    peak_before: float
    peak_after: float
    top_token_before: Token
    top_token_after: Token


@dataclass(frozen=True, slots=True)
class LayerCorrelation:
    """A layer's neurons: the median of their correlations (None: none has one) and of their changes."""

    layer: int
    correlation: float | None
    change: float


@dataclass(frozen=True, slots=True)
class ActivationDiff:
    """The neurons whose activations over the corpus changed most, largest change first; and every layer."""

    against: ModelInfo
    basis: Basis
    neurons: tuple[ChangedNeuron, ...]
    neurons_compared: int
    layers: tuple[LayerCorrelation, ...]
    positions: int
    provenance: Provenance


PairedKind = Literal["rose", "fell", "peak before", "peak after"]


@dataclass(frozen=True, slots=True)
class PairedPrompt:
    """A prompt, and a neuron's activation at each of its tokens in both models.

    It was chosen at `position`: where the neuron rose or fell most of all prompts, or its peak in one model.
    """

    kind: PairedKind
    rank: int
    prompt_id: int
    tokens: tuple[Token, ...]
    position: int
    before: tuple[float, ...]
    after: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class NeuronDiff:
    """One neuron in both models: its figures, and the prompts that fire it in one and not in the other."""

    neuron: NeuronId
    against: ModelInfo
    basis: Basis
    change: float
    correlation: float | None
    prompts: tuple[PairedPrompt, ...]
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class MatchedNeuron:
    """A neuron of the first model, and the one of the second that it correlates with most in its layer.

    `mutual`: and the other way round. The tokens are what each promotes most in its own model.
    """

    neuron: NeuronId
    match: NeuronId
    correlation: float
    mutual: bool
    top_token: Token
    match_top_token: Token


@dataclass(frozen=True, slots=True)
class MatchedLayer:
    """How many neurons of a layer are matched mutually, and the median size of the best correlations."""

    layer: int
    neurons: int
    mutual: int
    correlation: float


@dataclass(frozen=True, slots=True)
class NeuronMatches:
    """Neurons of two models matched by correlation, the best matched first; and every layer."""

    against: ModelInfo
    neurons: tuple[MatchedNeuron, ...]
    layers: tuple[MatchedLayer, ...]
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class HeadShift:
    """What a head contributes to a neuron in both models, the mean over prompts, and why it differs.

    `by_writing` is what the change of what it writes comes to, `by_reading` that of what reads it; they sum
    to `after - before`.
    """

    head: HeadId
    before: float
    after: float
    by_writing: float
    by_reading: float


@dataclass(frozen=True, slots=True)
class OtherShift:
    """The same of everything else: "mlps", "embedding", "attention_biases" or "bias"."""

    name: str
    before: float
    after: float
    by_writing: float
    by_reading: float


@dataclass(frozen=True, slots=True)
class HeadsDiff:
    """The heads behind a neuron in both models, over the prompts that fire it most in either.

    Where it fires negatively, what pushes it down counts as positive. `target` is what all sums to: the
    pre-activation, of a gated neuron the activation.

    Attributes:
        heads: those that differ most first.
        others: everything else; with all heads, it sums to the targets.
    """

    neuron: NeuronId
    against: ModelInfo
    prompts: int
    target: Literal["activation", "pre_activation"]
    target_before: float
    target_after: float
    heads: tuple[HeadShift, ...]
    others: tuple[OtherShift, ...]
    provenance: Provenance
