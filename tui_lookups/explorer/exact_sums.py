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

    def inputs(
        self,
        neuron: NeuronId,
        *,
        prompt: int | None = None,
        prompt_id: int | None = None,
        text: str | None = None,
        position: int | None = None,
        trimmed: bool | None = None,
        top: int = 50,
    ) -> answer.NeuronInputs:
        """What fires a neuron, down to earlier neurons, at the peak of one prompt or of a text.

        Args:
            prompt, prompt_id, text, trimmed: as those of `Explorer.heads`.
            position: of a text, or of any prompt of the corpus by its number, in place of the peak.
            top: how many neurons are named, the largest by |contribution|.
        Raises:
            LookupsError: no such prompt or position.
            UnsupportedModelError: the raw basis; or the sum does not close within its bound.
        """
        return self._services.inputs.inputs(
            neuron,
            prompt=prompt,
            prompt_id=prompt_id,
            text=text,
            position=position,
            trimmed=trimmed,
            top=top,
        )

    def inputs_overview(
        self, neuron: NeuronId, *, trimmed: bool | None = None, top: int = 50
    ) -> answer.InputsOverview:
        """Earlier neurons over all of the neuron's prompts: mean contribution, and how often each is active.

        For a neuron that never fires there are none, and the note says so.
        """
        return self._services.inputs.overview(neuron, trimmed=trimmed, top=top)

    def cut_edge(
        self,
        neuron: NeuronId,
        component: HeadId | NeuronId,
        *,
        prompt: int | None = None,
        prompt_id: int | None = None,
        text: str | None = None,
        position: int | None = None,
        trimmed: bool | None = None,
    ) -> answer.EdgeCut:
        """A neuron without a head, or an earlier neuron, in its own input; every other reader keeps it.

        Args:
            prompt, prompt_id, text, position, trimmed: as those of `inputs`.
        Raises:
            BadIdError: the model has no such component; LookupsError: it does not reach the neuron.
        """
        return self._services.inputs.cut_edge(
            neuron,
            component,
            prompt=prompt,
            prompt_id=prompt_id,
            text=text,
            position=position,
            trimmed=trimmed,
        )
