"""Questions about several tokens as one, and several neurons as one (method.md, sections 2 and 4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui_lookups import results as answer
    from tui_lookups.explorer.services import Services
    from tui_lookups.ids import NeuronId


class Groups:
    """The part of an Explorer that asks about sets of tokens and of neurons."""

    _services: Services

    def neurons_of_set(
        self,
        tokens: Sequence[str | int],
        *,
        as_one: answer.AsOne = "mean",
        top: int = 50,
        layers: tuple[int, ...] | None = None,
        sign: answer.Sign | None = None,
        next_token_only: bool = False,
    ) -> answer.SetNeurons:
        """The neurons of several tokens as one, by congruence.

        Args:
            tokens: texts exactly as in the vocabulary, or ids; one that is named twice counts once.
            as_one: "mean" by the mean of the members, "any" by the one that gets most, "all" by the one that
                gets least.
            next_token_only: only neurons whose own top token is a member; by "all", those whose first places
                the members fill.
            top, layers, sign: as in `neurons`, which a set of one token agrees with.
        Raises:
            UnknownTokenError: a text is not one token of the vocabulary.
        """
        return self._services.congruence.neurons_of_set(
            tokens, as_one, top=top, layers=layers, sign=sign, next_token_only=next_token_only
        )

    def shared_heads(self, neurons: Sequence[NeuronId], *, trimmed: bool | None = None) -> answer.SharedHeads:
        """The heads of several neurons, each over its own prompts: for how many each is active.

        Args:
            neurons: one that is named twice counts once.
            trimmed: as in `heads_overview`, which is what is put together here.
        """
        return self._services.groups.shared_heads(neurons, trimmed=trimmed)

    def summed_heads(
        self, neurons: Sequence[NeuronId], text: str, *, position: int | None = None
    ) -> answer.SummedHeads:
        """Direct attribution of every head to the sum of several neurons, at one position of a text.

        Args:
            position: where the neurons' activations, summed, are largest by default.
        Raises as `heads` does.
        """
        return self._services.groups.summed_heads(neurons, text, position)
