"""Exact sums as results, put together on the model thread: why a token, what fires a neuron.

Pure functions of what they are given, as answers.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from tui_lookups.analysis.exact_sum import as_contributions
from tui_lookups.analysis.why import layers_of, probability_without, why_token
from tui_lookups.errors import Poll
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.results import Provenance, Removed, Token, Why


def why(
    model: LookupModel,
    row: Sequence[int],
    position: int,
    token: Token | None,
    foil: Token | None,
    *,
    top: int,
    provenance: Provenance,
    poll: Poll,
) -> Why:
    """Why a token after a position (method.md, section 8); the most probable one where none is named."""
    asked, against = _id(token), _id(foil)
    found = why_token(model, row, position, asked, against, top=top, poll=poll)
    return Why(
        tokens=model.vocabulary.tokens(list(row)),
        position=position,
        token=model.vocabulary.token(found.token_id),
        foil=foil,
        predictions=found.predictions,
        probability=float(found.probabilities[found.token_id]),
        foil_probability=None if foil is None else float(found.probabilities[foil.id]),
        contributions=as_contributions(found.found, top, found.congruences),
        next_token_neurons=found.next_token_neurons,
        layers=layers_of(model, found),
        lens_embedding=found.lens[0],
        soft_cap=model.wiring.logit_cap,
        provenance=provenance,
    )


def removed(
    model: LookupModel,
    row: Sequence[int],
    position: int,
    component: HeadId | NeuronId,
    token: Token | None,
    foil: Token | None,
    *,
    method: Literal["zero", "mean"],
    value: npt.NDArray[np.float64],
    provenance: Provenance,
    poll: Poll,
) -> Removed:
    """A token's probability with `value` in place of a component (method.md, sections 6 and 8)."""
    found = why_token(model, row, position, _id(token), _id(foil), top=0, poll=poll)
    without = probability_without(model, row, position, component, value, found.token_id, poll=poll)
    before = float(found.probabilities[found.token_id])
    return Removed(component, method, found.found.of(component), before, without, provenance)


def _id(token: Token | None) -> int | None:
    return None if token is None else token.id
