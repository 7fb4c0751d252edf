"""The frozen dataclasses that travel upwards from the analysis to the screen, the JSON and the cache.

Plain numbers, strings and tuples only: no tensor, no array, no torch. Field names are the JSON keys of
the headless commands; `NeuronId` and `HeadId` print as "L9.N1985" and "L7.H4". Positions count in the
token list that is shown (begin-of-text, where there is one, is position 0).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tui_lookups.ids import HeadId, NeuronId

SCHEMA_VERSION = 1
"""Version of every JSON document this package prints or exports."""

Basis = Literal["folded", "raw"]
Sign = Literal["+", "-", "both"]
SignSetting = Literal["auto", "+", "-", "both"]
Dtype = Literal["float32", "bfloat16", "float16"]
Preset = Literal["default", "paper"]
ActivityRule = Literal["2sd", "top3"]
Direction = Literal["both", "gate", "up"]


@dataclass(frozen=True, slots=True)
class Token:
    """A vocabulary entry: `text` is what it adds to a text (a leading space included)."""

    id: int
    text: str


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a model is, without its weights. `fingerprint` is a content hash of weights and tokenizer."""

    name: str
    source: str
    fingerprint: str
    family: str
    n_layers: int
    n_heads: int
    d_model: int
    d_head: int
    d_mlp: int
    d_vocab: int
    n_ctx: int
    parameters: int
    gated: bool
    own_layer: bool  # attention runs before the MLP in a block, so its heads reach the block's own neurons
    bos: Token | None

    @property
    def n_neurons(self) -> int:
        return self.n_layers * self.d_mlp


@dataclass(frozen=True, slots=True)
class CorpusInfo:
    """What a corpus is. `prompts` are token windows of at most `window` tokens, begin-of-text included."""

    name: str
    source: str
    fingerprint: str
    documents: int
    prompts: int
    tokens: int
    window: int


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a figure comes from: enough to compute it again."""

    model: ModelInfo
    corpus: CorpusInfo | None
    basis: Basis
    device: str
    dtype: str
    parameters: dict[str, str | int | float | bool | None]


# --- congruence (METHOD 2) ---


@dataclass(frozen=True, slots=True)
class TokenMatch:
    """What a typed text is in the vocabulary: one token, several pieces to choose from, or close names."""

    text: str
    token: Token | None
    pieces: tuple[Token, ...]
    close: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class NeuronScore:
    """One row of a token's ranking. `token_rank` is 1 when no token has a larger congruence."""

    neuron: NeuronId
    layer: int
    index: int
    congruence: float
    cosine: float
    token_rank: int
    top_token: Token
    top_congruence: float


@dataclass(frozen=True, slots=True)
class TokenNeurons:
    """A token's neurons, best first."""

    token: Token
    basis: Basis
    sign: Sign
    neurons: tuple[NeuronScore, ...]
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class TokenCongruence:
    id: int
    text: str
    congruence: float


@dataclass(frozen=True, slots=True)
class NeuronTokens:
    """The tokens a neuron promotes most (`tokens`) and suppresses most (`suppressed`)."""

    neuron: NeuronId
    basis: Basis
    tokens: tuple[TokenCongruence, ...]
    suppressed: tuple[TokenCongruence, ...]
    provenance: Provenance


# --- highest-activating prompts (METHOD 3) ---


@dataclass(frozen=True, slots=True)
class Histogram:
    """`counts[b]` values lie in [edges[b], edges[b + 1]); the outer edges take everything beyond them."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NeuronStats:
    """Over every scanned position but begin-of-text; the histogram is of phi, one value a prompt."""

    mean: float
    variance: float
    fraction_positive: float
    maximum: float
    minimum: float
    tokens: int
    prompts: int
    histogram: Histogram


@dataclass(frozen=True, slots=True)
class Peak:
    """Where a prompt attains phi. `next_token` is what really follows, None at the end of the window."""

    position: int
    token: Token
    activation: float
    next_token: Token | None


@dataclass(frozen=True, slots=True)
class Trim:
    """The shortest suffix that ends at the peak and keeps 80 % of it starts at `start` (METHOD 3).

    `trimmed` is False when nothing could be cut; `note` then says why. `activation` is the peak's
    activation on begin-of-text plus that suffix.
    """

    start: int
    activation: float
    trimmed: bool
    note: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A corpus window with the neuron's activation at every token. `rank` counts from 1.

    `sign` is -1 where the neuron was ranked by its most negative activation (gated MLPs).
    """

    rank: int
    prompt_id: int
    sign: int
    tokens: tuple[Token, ...]
    activations: tuple[float, ...]
    peak: Peak
    trimmed: Trim | None


@dataclass(frozen=True, slots=True)
class NeuronPrompts:
    """A neuron's highest-activating prompts, as far as the scan has come."""

    neuron: NeuronId
    top_token: Token
    top_congruence: float
    stats: NeuronStats
    prompts: tuple[Prompt, ...]
    scanned_prompts: int
    total_prompts: int
    provenance: Provenance

    @property
    def complete(self) -> bool:
        return self.scanned_prompts >= self.total_prompts


@dataclass(frozen=True, slots=True)
class Activations:
    """A neuron's activation on every token of a given text."""

    neuron: NeuronId
    text: str
    tokens: tuple[Token, ...]
    activations: tuple[float, ...]
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class ScanProgress:
    """How far the background scan is; `seconds_left` is None before the first batch."""

    state: Literal["waiting", "running", "done", "stopped", "failed"]
    prompts: int
    total_prompts: int
    tokens: int
    total_tokens: int
    seconds: float
    seconds_left: float | None
    tokens_per_second: float
    message: str = ""


@dataclass(frozen=True, slots=True)
class ScanSummary:
    """What a finished scan did. `resumed_from` is the number of prompts found in a checkpoint."""

    prompts: int
    tokens: int
    neurons: int
    seconds: float
    tokens_per_second: float
    resumed_from: int
    index_path: str
    provenance: Provenance


# --- head attribution (METHOD 4) ---


@dataclass(frozen=True, slots=True)
class HeadScore:
    """A head's direct attribution; for gated MLPs also its share through the gate and through W_in.

    `gate` is rho/2 * g_c * u, `up` is rho/2 * g * u_c; they sum to `attribution`. None for plain MLPs.
    """

    head: HeadId
    layer: int
    index: int
    attribution: float
    active: bool
    gate: float | None = None
    up: float | None = None


@dataclass(frozen=True, slots=True)
class OtherComponents:
    """Everything but the heads: embedding (with positions), earlier MLPs, attention output biases, b_in."""

    embedding: float
    mlps: float
    attention_biases: float
    bias: float


@dataclass(frozen=True, slots=True)
class Target:
    """What the components sum to: the pre-activation of a plain MLP, the activation of a gated one."""

    name: Literal["pre_activation", "activation"]
    value: float


@dataclass(frozen=True, slots=True)
class SourceToken:
    """The part of one head's attribution that comes from the key position `position`."""

    position: int
    token: Token
    attribution: float


@dataclass(frozen=True, slots=True)
class HeadAttributions:
    """Direct attribution of every head that reaches the neuron, at one position of one text.

    `sum` is heads + other; `remainder` is target - sum. `heads` are in layer, then head order.
    `context` says which text was run: the full window, the trimmed prompt, or a text given by hand.
    """

    neuron: NeuronId
    prompt_id: int | None
    rank: int | None
    context: Literal["full", "trimmed", "text"]
    tokens: tuple[Token, ...]
    position: int
    activation: float
    pre_activation: float
    target: Target
    heads: tuple[HeadScore, ...]
    other: OtherComponents
    sum: float
    remainder: float
    activity_rule: ActivityRule
    activity_threshold: float
    source_head: HeadId | None
    sources: tuple[SourceToken, ...]
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class HeadMean:
    """A head over all of a neuron's prompts. `worth_explaining`: active on 25 % to 75 % of them."""

    head: HeadId
    layer: int
    index: int
    mean_attribution: float
    active_fraction: float
    worth_explaining: bool


@dataclass(frozen=True, slots=True)
class HeadOverview:
    """Every head that reaches the neuron, averaged over its top prompts."""

    neuron: NeuronId
    prompts: int
    context: Literal["full", "trimmed"]
    activity_rule: ActivityRule
    heads: tuple[HeadMean, ...]
    provenance: Provenance


# --- what the app shows of itself ---


@dataclass(frozen=True, slots=True)
class Status:
    """A snapshot for the header: never blocks, never computes."""

    stage: Literal["starting", "loading", "ready", "failed"]
    message: str
    device: str
    dtype: str
    model: ModelInfo | None
    corpus: CorpusInfo | None
    scan: ScanProgress | None


@dataclass(frozen=True, slots=True)
class FirstView:
    """What to open when nothing was asked for: a token whose best neuron is worth seeing."""

    token: Token
    neuron: NeuronId
    story: str


# --- selection and export ---


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
    """A marked head: its attribution on one prompt with its sources, or its mean over all prompts."""

    neuron: NeuronId
    head: HeadId
    prompt_id: int | None
    attributions: HeadAttributions | None
    mean: HeadMean | None


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


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """What the cache folder holds. `sizes` is bytes by kind; `problems` are sentences about damage."""

    path: str
    entries: int
    bytes: int
    sizes: dict[str, int]
    indexes: int
    problems: tuple[str, ...]
