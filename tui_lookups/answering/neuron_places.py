"""Where a neuron is looked at: the peak of one of its prompts, or of a text; or a position that is named."""

from __future__ import annotations

from typing import Literal, NamedTuple

from tui_lookups.answering.checks import check_prompt_id
from tui_lookups.answering.engine import Engine
from tui_lookups.answering.peak_inputs import PeakInput, input_of_prompt, input_of_text
from tui_lookups.answering.prompt_service import PromptService
from tui_lookups.ids import HeadId, NeuronId, check_position, out_of_reach
from tui_lookups.results import Prompt
from tui_lookups.results.conventions import Conventions


class Place(NamedTuple):
    """Token ids and position. `prompt_id` is None for a text, `prompt` where a position was named as well."""

    input: PeakInput
    prompt_id: int | None
    prompt: Prompt | None
    context: Literal["full", "trimmed", "text"]


def check_reaches(engine: Engine, component: HeadId | NeuronId, neuron: NeuronId) -> None:
    """Raise BadIdError for no such head or neuron, LookupsError where it writes after a neuron has read."""
    if isinstance(component, HeadId):
        engine.check_head(component)
        last = engine.model_info().last_head_layer(neuron.layer)
    else:
        engine.check_neuron(component)
        last = neuron.layer - 1
    if component.layer > last:
        raise out_of_reach(component, neuron, last)


def place_of(
    engine: Engine,
    prompts: PromptService,
    neuron: NeuronId,
    conventions: Conventions,
    *,
    prompt: int | None = None,
    prompt_id: int | None = None,
    text: str | None = None,
    position: int | None = None,
) -> Place:
    """The place that a question names; see `Explorer.heads` and `Explorer.inputs`.

    Raises LookupsError where there is no such prompt or position, or the text is empty or too long.
    """
    if text is not None:
        given = prompts.activations(neuron, text)
        ids = tuple(token.id for token in given.tokens)
        if position is not None:
            check_position(position, len(ids))
        peak = input_of_text(given.activations, ids, sign=conventions.sign, position=position)
        return Place(peak, None, None, "text")
    if position is not None and prompt_id is not None:
        corpus = engine.corpus(arrays=True)
        check_prompt_id(prompt_id, corpus.info.prompts)
        ids = tuple(corpus.window_tokens(prompt_id).tolist())
        check_position(position, len(ids))
        return Place(PeakInput(ids, position, 1), prompt_id, None, "full")
    shown = prompts.prompt(neuron, prompt, prompt_id, sign=conventions.sign)
    if conventions.trimmed:
        (shown,) = prompts.with_trims(neuron, (shown,))
    peak = input_of_prompt(engine.vocabulary().bos_id, shown, trimmed=conventions.trimmed)
    return Place(peak, shown.prompt_id, shown, peak.context)
