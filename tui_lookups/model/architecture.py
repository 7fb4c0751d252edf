"""What feeds an MLP neuron of a loaded model, held to what its family's row says.

1. wiring.py finds which module plays which role, and proves it by one pass; `describe` says what follows from
   it: gated or plain MLP, whether the block's own heads reach it, and so on.
2. For the families in `FAMILIES` that must be what the table states. An unlisted family is taken as it was
   proven; its decompositions have to close like all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tui_lookups.errors import UnsupportedModelError
from tui_lookups.model.families import FAMILIES, SUPPORTED, Family
from tui_lookups.model.wiring import Wiring


@dataclass(frozen=True, slots=True)
class Architecture:
    """How an MLP neuron of the loaded model is wired.

    Attributes:
        family: `model_type` of the configuration.
        listed: the family is in `FAMILIES`.
        gated: the activation is act(x.W_gate) * (x.W_in) rather than act(x.W_in + b_in).
        own_layer: the heads of the neuron's own block reach it (attention before MLP, not beside it).
        mlp_norm: the submodule whose scale divides the MLP's input; None where there is no such norm.
        attn_post_norm, mlp_post_norm: a norm is applied to what attention, or the MLP, writes.
        post_ln: norms take the residual sums themselves (method.md, section 4, "Post-LN").
        centred: the final norm takes the mean of what it reads off (LayerNorm).
        activation: name of the activation function's class.
    """

    family: str
    listed: bool
    gated: bool
    own_layer: bool
    mlp_norm: Literal["ln1", "ln2"] | None
    attn_post_norm: bool
    mlp_post_norm: bool
    post_ln: bool
    centred: bool
    activation: str

    @property
    def label(self) -> str:
        return FAMILIES[self.family].label if self.listed else self.family


def describe(wiring: Wiring, model_type: str, activation: str, name: str) -> Architecture:
    """What the wiring of a loaded model says. Raises UnsupportedModelError where its family's is another."""
    # Nothing normalises what the first block of a Post-LN model reads.
    norms = [set(block.norms) | ({"ln1"} if wiring.post_ln else set()) for block in wiring.blocks]
    gated = [block.gate is not None for block in wiring.blocks]
    if any(n != norms[0] for n in norms) or any(g != gated[0] for g in gated):
        raise UnsupportedModelError(f"{name} ({model_type}) has blocks of several kinds.", SUPPORTED)
    first = wiring.blocks[0]
    ln1, ln2 = first.norms.get("ln1"), first.norms.get("ln2")
    architecture = Architecture(
        family=model_type,
        listed=model_type in FAMILIES,
        gated=gated[0],
        own_layer=wiring.own_layer,
        mlp_norm=None if ln2 is None else "ln1" if ln2 is ln1 else "ln2",
        attn_post_norm="ln1_post" in first.norms,
        mlp_post_norm="ln2_post" in first.norms,
        post_ln=wiring.post_ln,
        centred=wiring.centred,
        activation=activation,
    )
    if architecture.listed:
        _hold_to_table(architecture, FAMILIES[model_type], name)
    return architecture


def _hold_to_table(found: Architecture, family: Family, name: str) -> None:
    differences = [
        what
        for what, expected, actual in (
            ("gated MLP", family.gated, found.gated),
            ("own layer reaches the MLP", family.own_layer, found.own_layer),
            ("norm before the MLP", family.pre_norm, found.mlp_norm is not None),
            (
                "norms after attention and MLP",
                family.post_norms,
                found.attn_post_norm and found.mlp_post_norm,
            ),
            ("norms of the residual sums", family.post_ln, found.post_ln),
        )
        if expected is not None and expected != actual
    ]
    if differences:
        raise UnsupportedModelError(
            f"{name} is wired unlike other {family.label} models ({', '.join(differences)}).",
            "Its figures would not be exact, so it is refused; please report the model's name.",
        )
