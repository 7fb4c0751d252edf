"""What a head carries from a source token to a neuron or to a token's logit (method.md, section 9).

1. The reader reads what the head writes with W_O times its own vector, over its norm's scale; that of a gated
   neuron is rho/2 * (u * r_gate + g * r_in), rho = act(g) / g held (section 4).
2. The pattern at the source times the value there, so read, is the head's attribution from that source token,
   but for what value biases come to, which count among the attention biases of the head's own layer.
3. It is linear in the residual stream at the source, the norm's scale held: its parts are the embedding, and
   heads, neurons and biases below the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from tui_lookups.analysis.attribution import check_reaches, held_ratio
from tui_lookups.analysis.head_reading import (
    HeadOnText,
    Sum,
    as_sums,
    read_head,
)
from tui_lookups.errors import Poll, no_poll
from tui_lookups.ids import HeadId, NeuronId, check_position
from tui_lookups.model.components import Reader, neuron_reader, read_after, token_reader
from tui_lookups.model.held_norms import divisor, norms_between
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.model.points import Point
from tui_lookups.model.summed import summed
from tui_lookups.results import Contributions


@dataclass(frozen=True, slots=True)
class CarriedParts:
    """The pattern at the source, and the parts of what is carried from there, which are their target."""

    weight: float
    contributions: Contributions


def carried_to_neuron(
    model: LookupModel,
    head: HeadId,
    neuron: NeuronId,
    row: Sequence[int],
    position: int,
    source: int,
    *,
    top: int,
    poll: Poll = no_poll,
) -> CarriedParts:
    """What a head carries from a source token to a neuron, the `top` largest neurons named.

    Args:
        row: token ids; only those up to `position`, where the neuron is, matter.
    Raises:
        BadIdError, LookupsError: no such neuron, head or position, or the head does not reach the neuron.
        UnsupportedModelError: attention of the family cannot be read, or a sum does not close.
    """
    check_reaches(model, neuron, head, "default")
    check_position(source, position + 1)
    reader, gated = neuron_reader(model, neuron), model.info.gated
    own = [Point("pre", neuron.layer), Point("pre_linear", neuron.layer)] if gated else []
    points = [*own, *_norms_of(model, reader, head)]
    text = read_head(model, head, row, position, poll, points=points, stop_after=neuron.layer)
    read = reader.directions[:, 0]
    if gated:
        g, u = (text.here[point][neuron.index] for point in own)
        rho = held_ratio(model.wiring.blocks[neuron.layer].activation, g)
        read = rho / 2 * (u * reader.directions[:, 1] + g * read)
    return _carried(text, reader, read, source, top, poll)


def carried_to_token(
    model: LookupModel,
    head: HeadId,
    token_id: int,
    row: Sequence[int],
    position: int,
    source: int,
    *,
    top: int,
    poll: Poll = no_poll,
) -> CarriedParts:
    """What a head carries from a source token to a token's logit, counted from the mean over the vocabulary
    and before a soft cap (section 8); else as `carried_to_neuron`."""
    check_position(source, position + 1)
    model.check_token(token_id)
    reader = token_reader(model, token_id)
    points = _norms_of(model, reader, head)
    text = read_head(model, head, row, position, poll, points=points, stop_after=model.info.n_layers)
    return _carried(text, reader, reader.directions[:, 0], source, top, poll)


def _norms_of(model: LookupModel, reader: Reader, head: HeadId) -> list[Point]:
    """The norm that a reader reads through, and those between what a head writes and it."""
    own = [] if reader.norm is None else [reader.norm]
    return [*own, *norms_between(model.wiring, head.layer, "ln1_post", reader.stage)]


def _carried(
    text: HeadOnText, reader: Reader, read: Tensor, source: int, top: int, poll: Poll
) -> CarriedParts:
    """Steps 2 and 3; `read` [d_model] reads the stream at the head's position, `reader`'s norm folded in."""
    along = _along_values(text, reader, read if reader.norm is None else read / text.here[reader.norm])
    values, weight = text.query_key_value[2], text.pattern[source]
    biases = text.model.value_biases[text.head.layer]
    apart = values[source].detach()
    if biases is not None:
        apart = apart - biases[text.head.index].to(apart)
    target = float(weight * (apart @ along))
    readers = text.readers((weight * (values[source] @ along)).unsqueeze(0), told=[source])
    (sums_of_parts,) = summed(text.model, text.tokens, [readers], text.head.layer, poll=poll)
    of = Sum(target, 0.0, f"what {text.head} carries from position {source}")
    (parts,) = as_sums(text, sums_of_parts, [of], top)
    return CarriedParts(float(weight), parts)


def _along_values(text: HeadOnText, reader: Reader, read: Tensor) -> Tensor:
    """What reads the head's z where `read` reads what `reader` does, norms in between held: [d_head]."""
    model, layer = text.model, text.head.layer
    columns, _, passed = read_after(model, layer, "ln1_post", read.unsqueeze(1), reader.stage)
    read = columns[:, 0] / divisor([text.here[norm] for norm in passed], columns)
    rows = slice(text.head.index * model.info.d_head, (text.head.index + 1) * model.info.d_head)
    along = model.at_home(model.wiring.blocks[layer].heads_out.matrix[rows]) @ read
    return along.to(text.pattern.device).clone()
