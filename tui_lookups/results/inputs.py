"""What fires a neuron, down to earlier neurons (method.md, section 9), and one edge cut (section 11)."""

from __future__ import annotations

from dataclasses import dataclass

from tui_lookups.ids import ComponentId, NeuronId
from tui_lookups.results.attribution import Target
from tui_lookups.results.base import Provenance, Token
from tui_lookups.results.components import Contributions


@dataclass(frozen=True, slots=True)
class NeuronInputs:
    """Heads, earlier neurons and the rest, as an exact sum of what a neuron reads at one position.

    Attributes:
        prompt_id, rank: of the prompt; None for a text given by hand.
        context: which text was run: the full window, the trimmed prompt, or a text given by hand.
        target: the pre-activation of a plain MLP, the activation of a gated one (as in `HeadAttributions`).
    """

    neuron: NeuronId
    prompt_id: int | None
    rank: int | None
    context: str
    tokens: tuple[Token, ...]
    position: int
    activation: float
    target: Target
    contributions: Contributions
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class NeuronInputMean:
    """An earlier neuron over the prompts: its mean contribution, and on which share of them it is active
    (section 4's rule, over the neurons that reach)."""

    neuron: NeuronId
    mean_contribution: float
    active_fraction: float


@dataclass(frozen=True, slots=True)
class InputsOverview:
    """Earlier neurons over all of a neuron's prompts, largest |mean| first; `note` says why there are none.

    Attributes:
        by_layer: the mean of the sum over all neurons of each earlier layer.
    """

    neuron: NeuronId
    prompts: int
    context: str
    neurons: tuple[NeuronInputMean, ...]
    by_layer: tuple[float, ...]
    provenance: Provenance
    note: str = ""


@dataclass(frozen=True, slots=True)
class EdgeCut:
    """A head's, or an earlier neuron's, output taken out of one neuron's input only (method.md, section 11).

    Attributes:
        contribution: the component's, to the target.
        held: the target without it, the norm's scale held: target - contribution.
        free: the same with the scale as it then is; activation_free: the activation that this gives.
    """

    neuron: NeuronId
    component: ComponentId
    tokens: tuple[Token, ...]
    position: int
    target: Target
    activation: float
    contribution: float
    held: float
    activation_held: float
    free: float
    activation_free: float
    provenance: Provenance
