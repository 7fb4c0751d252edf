"""The basket. Light: the app needs it before its first paint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results.base import Token

AblationMethod = Literal["zero", "mean", "resample"]
AblationPositions = Literal["peak", "all"]


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


@dataclass(frozen=True, slots=True)
class Selection:
    """The basket: what was marked with space, in the order it was marked."""

    neurons: tuple[SelectedNeuron, ...] = ()
    prompts: tuple[SelectedPrompt, ...] = ()
    heads: tuple[SelectedHead, ...] = ()
    ablations: tuple[SelectedAblation, ...] = ()

    def __len__(self) -> int:
        return len(self.neurons) + len(self.prompts) + len(self.heads) + len(self.ablations)
