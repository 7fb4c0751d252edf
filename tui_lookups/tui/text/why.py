"""Words for why a token is expected and what fires a neuron: titles, sums, what removing does. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len

from tui_lookups.tui.paint.head_rows import plain, signed
from tui_lookups.tui.paint.text_layout import fit_middle
from tui_lookups.tui.text.attribution import text_of, texts_of
from tui_lookups.tui.text.explanation import Paragraph
from tui_lookups.visible import visible, visible_token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tui_lookups.ids import HeadId, NeuronId
    from tui_lookups.results import (
        Contributions,
        InputsOverview,
        ModelInfo,
        NeuronInputs,
        Removed,
        Token,
        Why,
    )

_LEAST_TAIL, _MOST_TAIL = 12, 120
"""Cells of the text that a title ends with."""


def why_title(why: Why, width: int) -> str:
    """The token, how probable it is, and the end of the text before it, in `width` cells."""
    words = f"Why {visible_token(why.token.text)} ({why.probability:.2%})"
    if why.foil is not None and why.foil_probability is not None:
        words += f", not {visible_token(why.foil.text)} ({why.foil_probability:.2%})"
    words += f" at {why.position}:  "
    return words + end_of(why.tokens, why.position, width - cell_len(words) - 2)


def end_of(tokens: Sequence[Token], position: int, width: int) -> str:
    """The text up to a position, and what follows behind a bar."""
    before = visible("".join(token.text for token in tokens[: position + 1]))
    after = f"│{visible(tokens[position + 1].text)}" if position + 1 < len(tokens) else "│"
    room = max(_LEAST_TAIL, min(_MOST_TAIL, width - cell_len(after)))
    return fit_middle(before, room, room - 1) + after


def why_sum(why: Why) -> tuple[str, ...]:
    """What the logit is, and the parts that it is the sum of."""
    against = "the mean" if why.foil is None else visible_token(why.foil.text)
    cap = () if why.soft_cap is None else (f"before a soft cap of {why.soft_cap:g}",)
    return (f"logit {plain(why.contributions.target)}", f"over {against}", *cap, *parts_of(why.contributions))


def parts_of(found: Contributions) -> tuple[str, ...]:
    """Every kind of component that the model has, and what is left: they sum to the target."""
    rest = found.other
    parts = (
        ("heads", sum(row.contribution for row in found.heads)),
        (found.kind, sum(found.neurons_by_layer)),
        ("embed", rest.embedding),
        ("attn-bias", rest.attention_biases),
        ("mlp-bias", rest.mlp_biases),
        *rest.beside,
        ("bias", rest.bias),
    )
    return (*(f"{name} {signed(value)}" for name, value in parts if value), f"rest {plain(found.remainder)}")


def inputs_title(inputs: NeuronInputs) -> str:
    """The neuron and the text it was run on."""
    where = f"prompt {inputs.rank}, {text_of(inputs.context)}" if inputs.rank else text_of(inputs.context)
    peak = visible_token(inputs.tokens[inputs.position].text)
    return f"What fires {inputs.neuron} at {inputs.position} {peak} ({where})"


def inputs_sum(inputs: NeuronInputs) -> tuple[str, ...]:
    """What the neuron reads, and the parts that it is the sum of."""
    name = inputs.target.name.replace("_", "-")
    activation = () if name == "activation" else (f"activation {plain(inputs.activation)}",)
    return (f"{name} {plain(inputs.target.value)}", *activation, *parts_of(inputs.contributions))


def overview_title(overview: InputsOverview) -> str:
    """The neuron and how many of its prompts."""
    return f"What fires {overview.neuron} over its {overview.prompts} prompts ({texts_of(overview.context)})"


def overview_sum(overview: InputsOverview) -> tuple[str, ...]:
    """What the figures are."""
    listed = len(overview.neurons)
    return (
        f"earlier {overview.neuron.kind}s {signed(sum(overview.by_layer))} on average",
        f"the {listed} of the largest mean, and on how many prompts each is active",
    )


_INSTEAD = {"zero": "set to zero", "mean": "set to its mean"}


def removed_paragraphs(found: Sequence[Removed], why: Why) -> tuple[Paragraph, ...]:
    """What the probability becomes without a component, with its direct effect beside it."""
    if not found:
        return ()
    token, target = visible_token(why.token.text), plain(why.contributions.target)
    total = [
        Paragraph(
            f"without {removed.component} ({_INSTEAD.get(removed.method, visible(removed.method))}): {token} "
            f"{removed.probability:.2%} → {removed.probability_without:.2%}, total effect",
            "strong",
        )
        for removed in found
    ]
    direct = f"directly {signed(found[0].direct)} of the logit {target}: by itself, which is not the same"
    return (*total, Paragraph(direct, "dim"))


def neuron_of_head(head: HeadId, why: Why) -> NeuronId | None:
    """The largest neuron of the list that a head reaches: the one its pane is about."""
    model: ModelInfo = why.provenance.model
    reached = (
        n.neuron for n in why.contributions.neurons if model.last_head_layer(n.neuron.layer) >= head.layer
    )
    return next(reached, None)
