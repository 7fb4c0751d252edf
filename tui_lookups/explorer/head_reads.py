"""Questions about what a head reads: what it carries from a token, and why it attends to it.

See method.md, sections 9 and 10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui_lookups import results as answer
    from tui_lookups.explorer.services import Services
    from tui_lookups.ids import HeadId, NeuronId


class HeadReads:
    """The part of an Explorer that takes apart what heads read."""

    _services: Services

    def carries(
        self,
        neuron: NeuronId | None,
        head: HeadId,
        source: int | str,
        *,
        token: str | int | None = None,
        prompt: int | None = None,
        prompt_id: int | None = None,
        text: str | None = None,
        position: int | str | None = None,
        trimmed: bool | None = None,
        top: int = 50,
    ) -> answer.Carried:
        """What a head carries from a source token to a neuron, or to a token's logit.

        Args:
            neuron: what reads it, at its peak in one of its prompts or in a text.
            source: a position, or the text of the one token up to the reader's that is meant.
            token: in place of a neuron, a token by its text exactly as in the vocabulary, or its id: its
                logit at the end of a text, counted from the mean over the vocabulary.
            prompt, prompt_id, text, trimmed: where the neuron is looked at, as in `Explorer.heads`.
            position: of the reader, in place of the peak or the end, as `source` is given.
            top: how many neurons are named, the largest by |contribution|.
        Raises:
            LookupsError: no such prompt or position; the head does not reach the neuron.
            UnsupportedModelError: the raw basis; attention of the family cannot be read, or a sum does not
                close within its bound.
        """
        return self._services.attends.carries(
            neuron, head, source, token=token, prompt=prompt, prompt_id=prompt_id, text=text,
            position=position, trimmed=trimmed, top=top,
        )  # fmt: skip

    def attends(
        self,
        head: HeadId,
        *,
        text: str | None = None,
        neuron: NeuronId | None = None,
        prompt: int | None = None,
        prompt_id: int | None = None,
        query: int | str | None = None,
        key: int | str | None = None,
        trimmed: bool | None = None,
        top: int = 50,
    ) -> answer.Attends:
        """Why a head attends from one position of a text to another.

        Args:
            text: a text; with a neuron, its peak there is the query.
            neuron, prompt, prompt_id, trimmed: one of a neuron's prompts in place of a text, as in
                `Explorer.heads`.
            query: the position that attends, or the text of the one token that is meant; by default the peak
                of the neuron, or the end of the text.
            key: the position attended to, likewise; by default the one of largest weight, position 0 left
                out where there is another.
            top: how many neurons are named on either side, the largest by |contribution|.
        Raises:
            LookupsError: no such prompt or position, or a key that the head cannot attend to.
            UnsupportedModelError: as `carries`.
        """
        return self._services.attends.attends(
            head, neuron=neuron, prompt=prompt, prompt_id=prompt_id, text=text, query=query, key=key,
            trimmed=trimmed, top=top,
        )  # fmt: skip
