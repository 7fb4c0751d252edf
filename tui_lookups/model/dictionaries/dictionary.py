"""A dictionary: a transcoder for each layer of a model, read from its files a layer at a time.

See method.md, section 14.

1. A transcoder reads what the MLP reads, x, as `pre = (x - shift) W_enc + b_enc`, makes its activations of
   it (`Activation`), and writes `a W_dec + b_dec`, and `x W_skip^T` where it has a skip.
2. Shapes and number formats are held to each other when it is opened, from headers alone; whether values are
   finite, where a tensor is first read.
3. Nothing is kept: who multiplies with a matrix reads it, and lets it go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from tui_lookups.errors import DictionaryError
from tui_lookups.model.tensor_files import Floats, TensorFiles
from tui_lookups.results import ModelInfo, UnitsInfo

Reads = Literal["mlp.hook_in", "ln2.hook_normalized"]
"""What a transcoder reads: the MLP's input, or what the norm before the MLP gives before its weight."""

Writes = Literal["mlp.hook_out", "hook_mlp_out"]
"""What it writes: the MLP's output, or that after the norm behind the MLP, where there is one."""

Vector = Literal["b_enc", "b_dec", "threshold"]
Matrix = Literal["W_enc", "W_dec", "W_skip"]


@dataclass(frozen=True, slots=True)
class Activation:
    """What units make of their pre-activations.

    relu: what is above 0. threshold: what is above a threshold of each unit's own (JumpReLU, and batch top-k
    when it is not trained). topk: the k largest of all units of the layer at a position.

    Attributes:
        rectified: nothing below 0 passes, whatever the threshold is, and among the k largest.
    """

    kind: Literal["relu", "threshold", "topk"]
    k: int = 0
    rectified: bool = True

    @property
    def label(self) -> str:
        return {"relu": "ReLU", "threshold": "JumpReLU", "topk": f"top {self.k}"}[self.kind]


@dataclass(frozen=True, eq=False)
class Transcoder:
    """One layer's transcoder, in its files.

    Attributes:
        called: what it is called in sentences.
        names: of its tensors, by what they are here.
        units_in_rows: W_enc is stored [d_sae, d_model]; else [d_model, d_sae].
        is_shifted: b_dec is taken off what is read.
        is_logarithmic: its thresholds are stored as their logarithms.
    """

    called: str
    files: TensorFiles
    names: Mapping[str, str]
    units_in_rows: bool
    activation: Activation
    is_shifted: bool = False
    is_logarithmic: bool = False
    _finite: set[str] = field(default_factory=set)

    @property
    def d_sae(self) -> int:
        """How many units it has."""
        return self._shape("W_dec")[0]

    @property
    def d_model(self) -> int:
        return self._shape("W_dec")[1]

    @property
    def has_skip(self) -> bool:
        return "W_skip" in self.names

    def require_shapes(self) -> None:
        """Raise DictionaryError where its tensors do not fit each other."""
        if len(self._shape("W_dec")) != 2:
            raise self._strange("W_dec", "a matrix")
        d_sae, d_model = self._shape("W_dec")
        encoder = (d_sae, d_model) if self.units_in_rows else (d_model, d_sae)
        expected: dict[str, tuple[tuple[int, ...], ...]] = {
            "W_enc": (encoder,),
            "W_skip": ((d_model, d_model),),
            "b_enc": ((d_sae,),),
            "b_dec": ((d_model,),),
            "threshold": ((d_sae,), (), (1,)),
        }
        for role in self.names:
            if role in expected and self._shape(role) not in expected[role]:
                raise self._strange(role, f"of shape {list(expected[role][0])}")
        if self.activation.kind == "topk" and not 0 < self.activation.k <= d_sae:
            raise DictionaryError(
                f"{self.called} says that {self.activation.k} of its {d_sae} units are active.",
                "Its configuration and its weights do not belong together.",
            )

    def _strange(self, role: str, expected: str) -> DictionaryError:
        shape = list(self._shape(role))
        return DictionaryError(
            f"{self.called} has {self.names[role]} of shape {shape}, where one {expected} is expected.",
            "Its configuration and its weights do not belong together.",
        )

    def _shape(self, role: str) -> tuple[int, ...]:
        return self.files.tensors[self.names[role]].shape

    # --- what it holds ---

    def encoder(self, units: Sequence[int] | slice = slice(None)) -> Floats:
        """Columns of W_enc: [d_model, n], n > 0."""
        columns = self._some("W_enc", units, in_rows=self.units_in_rows)
        return columns.T if self.units_in_rows else columns

    def decoder(self, units: Sequence[int] | slice = slice(None)) -> Floats:
        """Rows of W_dec: [n, d_model], n > 0."""
        return self._some("W_dec", units, in_rows=True)

    def skip(self) -> Floats:
        """W_skip, which multiplies what is read: [d_model to, d_model from]."""
        return self._read(self.names["W_skip"])

    def vector(self, role: Vector) -> Floats:
        """A bias, or the thresholds, [d_sae] or [d_model]; zeros where it has none."""
        size = self.d_model if role == "b_dec" else self.d_sae
        if role not in self.names:
            return np.zeros(size, dtype=self.files.number_type)
        name = self.names[role]
        values = self._read(name) if self._shape(role) else self.files.scalar(name)
        if role == "threshold" and self.is_logarithmic:
            values = np.exp(values)
        return np.broadcast_to(values, (size,)).copy()

    def encoder_bias(self) -> Floats:
        """What its pre-activations are where nothing is read, `shift` taken into account: [d_sae]."""
        bias = self.vector("b_enc")
        if not self.is_shifted:
            return bias
        shifted: Floats = bias - self.vector("b_dec") @ self.encoder()
        return shifted

    def _some(self, role: Matrix, units: Sequence[int] | slice, *, in_rows: bool) -> Floats:
        """What a matrix holds of some units, in its rows or columns; of units side by side in one read."""
        name = self.names[role]
        if units == slice(None):
            return self._read(name)
        chosen = range(self.d_sae)[units] if isinstance(units, slice) else units
        read = self.files.rows if in_rows else self.files.columns
        first, stop = chosen[0], chosen[0] + len(chosen)
        if list(chosen) == list(range(first, stop)):
            return self._checked(name, read(name, first, stop))
        return self._checked(
            name, np.concatenate([read(name, u, u + 1) for u in chosen], 0 if in_rows else 1)
        )

    def _read(self, name: str) -> Floats:
        values = self.files.rows(name)
        self.files.require_unchanged()  # it is read anew in every pass
        if name not in self._finite:
            self._checked(name, values)
            self._finite.add(name)
        return values

    def _checked(self, name: str, values: Floats) -> Floats:
        if not bool(np.isfinite(values).all()):
            raise DictionaryError(f"{self.called} has NaN or infinite values in {name}.", "Fetch it again.")
        return values


@dataclass(frozen=True, eq=False)
class Dictionary:
    """A transcoder for each layer of a model.

    Attributes:
        name: of its folder.
        fingerprint: sha256 of its files.
    """

    name: str
    fingerprint: str
    layers: tuple[Transcoder, ...]
    reads: Reads
    writes: Writes

    @property
    def d_sae(self) -> int:
        return self.layers[0].d_sae

    @property
    def activation(self) -> Activation:
        return self.layers[0].activation

    def require_unchanged(self) -> None:
        """Raise ModelLoadError when its files changed since they were opened."""
        for transcoder in self.layers:
            transcoder.files.require_unchanged()


def of_units(info: ModelInfo, dictionary: Dictionary) -> ModelInfo:
    """What a model is when a dictionary's units take the place of its neurons."""
    units = UnitsInfo(dictionary.name, dictionary.fingerprint, dictionary.activation.label)
    return replace(info, d_mlp=dictionary.d_sae, gated=False, units=units)


@dataclass(frozen=True, slots=True)
class Place:
    """What of a model decides whether a dictionary fits it.

    Attributes:
        name: of the model.
        norm: the formula of the norm before its MLPs; None where there is none.
    """

    name: str
    n_layers: int
    d_model: int
    norm: Literal["LayerNorm", "RMSNorm"] | None


def require_fit(dictionary: Dictionary, place: Place) -> None:
    """Raise DictionaryError, in one sentence, for what of a dictionary does not fit a model."""
    name, n_layers = dictionary.name, len(dictionary.layers)
    if n_layers != place.n_layers:
        raise DictionaryError(
            f"{name} has transcoders for {n_layers} layers, and {place.name} has {place.n_layers}.",
            "Every layer needs one: a sum over layers would not be of one kind of unit otherwise.",
        )
    for transcoder in dictionary.layers:
        if transcoder.d_model != place.d_model:
            raise DictionaryError(
                f"{transcoder.called} writes vectors of {transcoder.d_model} numbers, and the stream of "
                f"{place.name} has {place.d_model}.",
                "It was trained on another model.",
            )
    if dictionary.reads == "ln2.hook_normalized" and place.norm != "RMSNorm":
        norm = "no norm" if place.norm is None else "a LayerNorm"
        raise DictionaryError(
            f"{name} reads ln2.hook_normalized, which does not say what it is where, as in {place.name}, "
            f"{norm} is before the MLP.",
            "Name mlp.hook_in in its configuration if it was trained on what the MLP is given.",
        )
