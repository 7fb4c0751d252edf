"""What every result is made of: tokens, models, corpora, provenance, and the names of the choices."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, SupportsInt

from tui_lookups.errors import BadIdError, UnknownTokenError
from tui_lookups.ids import FeatureId, HeadId, NeuronId

SCHEMA_VERSION = 1
"""Version of every JSON document this package prints."""

Basis = Literal["folded", "raw"]
Sign = Literal["+", "-", "both"]
SignSetting = Literal["auto", "+", "-", "both"]
Dtype = Literal["float32", "bfloat16", "float16"]
Preset = Literal["default", "paper"]
ActivityRule = Literal["2sd", "top3"]
Direction = Literal["both", "gate", "up"]
ScanEngine = Literal["local", "ray"]
DeviceMap = Literal["none", "auto"]
AsOne = Literal["mean", "any", "all"]
"""How a set of tokens is read: by the mean of its members, by the one that gets most, or by the one that
gets least."""
BosSetting = Literal["auto", "always", "never"]
BosRule = Literal["auto", "always", "never", "defined"]
"""Whether begin-of-text is put in front of texts: as the files say; in any case, which is an error where
none is defined; never; wherever one is defined."""


@dataclass(frozen=True, slots=True)
class Token:
    """A vocabulary entry: `text` is what it adds to a text (a leading space included)."""

    id: int
    text: str


@dataclass(frozen=True, slots=True)
class TokenSet(Token):
    """Several tokens as one (method.md, section 2): the first of them, and all others."""

    others: tuple[Token, ...]
    as_one: AsOne

    @property
    def members(self) -> tuple[Token, ...]:
        """Each of them, as a token by itself."""
        return Token(self.id, self.text), *self.others


@dataclass(frozen=True, slots=True)
class UnitsInfo:
    """A dictionary whose units take the place of a model's MLP neurons (method.md, section 14).

    `fingerprint` is a content hash of its files; `activation` says what units make of what they read.
    """

    name: str
    fingerprint: str
    activation: str


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a model is, without its weights. `fingerprint` is a content hash of weights and tokenizer.

    Where a dictionary is open, `units` says which: `d_mlp` is then the number of its units in a layer, and
    the fingerprint is of both.
    """

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
    units: UnitsInfo | None = None
    post_ln: bool = False  # norms take the residual sums themselves (method.md, section 4, "Post-LN")

    @property
    def neuron_id(self) -> type[NeuronId]:
        """What its neurons are named by: a FeatureId where a dictionary is open."""
        return NeuronId if self.units is None else FeatureId

    def neurons_at(self, layers: Sequence[int], places: Iterable[SupportsInt]) -> list[NeuronId]:
        """The neurons at places of the neurons of some layers, side by side."""
        split = (divmod(int(place), self.d_mlp) for place in places)
        return [self.neuron_id(layers[layer], index) for layer, index in split]

    @property
    def kind(self) -> str:
        """What its neurons are called: "neuron", or "unit" where a dictionary is open."""
        return self.neuron_id.kind

    @property
    def label(self) -> str:
        """Its name, with that of the dictionary that is open."""
        return self.name if self.units is None else f"{self.name} with the units of {self.units.name}"

    @property
    def n_neurons(self) -> int:
        return self.n_layers * self.d_mlp

    def last_head_layer(self, layer: int) -> int:
        """The last layer whose heads reach a neuron of `layer`; -1 when none does (method.md, section 4)."""
        return layer if self.own_layer else layer - 1

    def check_neuron(self, neuron: NeuronId) -> None:
        """Raise BadIdError when the model has no such neuron, or units are open and it is none, or is one."""
        meant = self.neuron_id(neuron.layer, neuron.index)
        if meant != neuron and self.units is not None:
            raise BadIdError(
                f"{neuron} is a neuron, and the units of {self.units.name} are open in their place.",
                f"Write {meant} for the unit, or leave --units out.",
            )
        if meant != neuron:
            raise BadIdError(
                f"{neuron} is a unit of a dictionary, and none is open.",
                f"Open one with --units, or write {meant} for the neuron.",
            )
        if neuron.layer >= self.n_layers or neuron.index >= self.d_mlp:
            raise BadIdError(
                f"{self.name} has no {self.kind} {neuron}.",
                f"Layers run from 0 to {self.n_layers - 1}, {self.kind}s from 0 to {self.d_mlp - 1}.",
            )

    def check_token(self, token: Token) -> None:
        """Raise UnknownTokenError when the embedding has no row for it: a tokenizer may know more tokens."""
        if token.id >= self.d_vocab:
            text = json.dumps(token.text, ensure_ascii=False)
            raise UnknownTokenError(
                f"{text} is token #{token.id}, which {self.name} cannot read: its embedding ends at "
                f"#{self.d_vocab - 1}.",
                "Leave that token out; the model was made without it.",
            )

    def check_head(self, head: HeadId) -> None:
        """Raise BadIdError when the model has no such head."""
        if head.layer >= self.n_layers or head.index >= self.n_heads:
            raise BadIdError(
                f"{self.name} has no head {head}.",
                f"Layers run from 0 to {self.n_layers - 1}, heads from 0 to {self.n_heads - 1}.",
            )


@dataclass(frozen=True, slots=True)
class CorpusInfo:
    """What a corpus is. `prompts` are token windows of at most `window` tokens, begin-of-text included.

    `left_out` counts records without a text (None: an earlier version did not count), `text_field` is the
    field that was named for the texts ("": none was), `other_files` says which were left out.
    `special_tokens` counts those that its texts spell out (None: an earlier version did not count).
    """

    name: str
    source: str
    fingerprint: str
    documents: int
    prompts: int
    tokens: int
    window: int
    left_out: int | None = None
    text_field: str = ""
    other_files: str = ""
    special_tokens: int | None = None

    @property
    def omissions(self) -> tuple[str, ...]:
        """What of the corpus is not in it, in sentences."""
        count = self.left_out or 0
        noun = "record without a text was" if count == 1 else "records without a text were"
        return (
            *([f"{count:,} {noun} left out."] if count else []),
            *([self.other_files] if self.other_files else []),
        )

    @property
    def spelled_out(self) -> str:
        """How many special tokens its texts spell out, as a sentence; "" where there are none."""
        count = self.special_tokens or 0
        verb = "token is" if count == 1 else "tokens are"
        return f"{count:,} special {verb} spelled out in the texts." if count else ""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What there is to know of it besides its size, in sentences."""
        return (*self.omissions, *([self.spelled_out] if self.spelled_out else []))


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a figure comes from: enough to compute it again."""

    model: ModelInfo
    corpus: CorpusInfo | None
    basis: Basis
    device: str
    dtype: str
    parameters: dict[str, str | int | float | bool | None]

    @property
    def all_parameters(self) -> dict[str, str | int | float | bool | None]:
        """`parameters`, and those that earlier versions did not name, as these had them.

        Begin-of-text was put wherever there was one, and every copy of a text was kept.
        """
        bos = "never" if self.model.bos is None else "always"
        return {"bos": bos, "keep_copies": True, **self.parameters}
