"""Questions whose answers are exact sums over heads and neurons (method.md, sections 8, 9 and 11)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tui_lookups import results as answer
    from tui_lookups.explorer.services import Services
    from tui_lookups.ids import HeadId, NeuronId


class ExactSums:
    """The part of an Explorer that takes apart what is read at one position."""

    _services: Services

    def why(
        self,
        text: str | None = None,
        *,
        prompt_id: int | None = None,
        position: int | None = None,
        token: str | int | None = None,
        foil: str | int | None = None,
        top: int = 50,
    ) -> answer.Why:
        """What the logit of a token after a position of a text is the sum of.

        Args:
            text, prompt_id: one of the two: a text, or a prompt by its number in the corpus.
            position: of the token that is read last, in the tokens of the answer; the last one by default.
            token: its text exactly as in the vocabulary, or its id; the most probable one by default.
            foil: likewise, what the logit is counted against; the mean over the vocabulary by default.
            top: how many neurons are named, the largest by |contribution|.
        Raises:
            LookupsError: no such prompt or position, or a text of more tokens than the model reads.
            UnknownTokenError: not one token of the vocabulary; close ones are named.
            UnsupportedModelError: the raw basis; or the sum does not close within its bound.
        """
        return self._services.why.why(
            text, prompt_id=prompt_id, position=position, token=token, foil=foil, top=top
        )

    def removed(
        self,
        component: HeadId | NeuronId,
        text: str | None = None,
        *,
        prompt_id: int | None = None,
        position: int | None = None,
        token: str | int | None = None,
        foil: str | int | None = None,
        method: Literal["zero", "mean"] = "zero",
    ) -> answer.Removed:
        """A token's probability with a head or a neuron taken out at the position, all above responding.

        Args:
            text, prompt_id, position, token, foil: as those of `why`.
            method: what is put in place of the head's z, or of the neuron's activation: "zero", or its
                "mean" over a sample of the corpus.
        Raises:
            BadIdError: the model has no such head or neuron; and as `why`.
        """
        return self._services.why.removed(
            component, text, prompt_id=prompt_id, position=position, token=token, foil=foil, method=method
        )
