"""Questions whose answers are exact sums over heads and neurons (method.md, sections 8 to 11)."""

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

    def cached_inputs(
        self,
        neuron: NeuronId,
        *,
        prompt_id: int | None = None,
        text: str | None = None,
        position: int | None = None,
        trimmed: bool | None = None,
        top: int = 50,
    ) -> answer.NeuronInputs | None:
        """What `inputs` answers, where the cache has it; None otherwise. Works no sum out."""
        asked = {"prompt_id": prompt_id, "text": text, "position": position}
        return self._services.inputs.cached(neuron, trimmed=trimmed, top=top, **asked)

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

    # --- what a head reads (method.md, sections 9 and 10) ---

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

    # --- traces (method.md, section 9) ---

    def trace(
        self,
        text: str | None = None,
        *,
        neuron: NeuronId | None = None,
        prompt: int | None = None,
        prompt_id: int | None = None,
        position: int | None = None,
        token: str | int | None = None,
        foil: str | int | None = None,
        trimmed: bool | None = None,
        node: str = "root",
        depth: int = 3,
        width: int = 8,
    ) -> answer.Trace:
        """What a token's logit, or what a neuron reads, is the sum of, and that again, level by level.

        Args:
            text, prompt_id: one of the two: a text, or a prompt by its number in the corpus.
            neuron: the root, in place of a token; with `prompt` a rank among its prompts (1 by default).
            position: of the token that is read last; by default the last one, of a neuron its peak.
            token, foil: as those of `why`; the most probable token by default.
            trimmed: of a neuron's prompt the trimmed context; the setting `trimmed` by default.
            node: a node of the trace by its name, to have it and what is below it alone.
            depth: levels below the root, or that node. width: parts told apart of each, largest first.
        Raises:
            LookupsError: no such prompt, position or node; more nodes than `MOST_NODES` of analysis/trace.py.
            UnsupportedModelError: the raw basis; or the parts of a node do not sum to it.
        """
        return self._services.traces.trace(
            neuron,
            text=text,
            prompt=prompt,
            prompt_id=prompt_id,
            position=position,
            token=token,
            foil=foil,
            trimmed=trimmed,
            node=node,
            depth=depth,
            width=width,
        )

    def trace_graph(
        self,
        text: str | None = None,
        *,
        neuron: NeuronId | None = None,
        prompt: int | None = None,
        prompt_id: int | None = None,
        position: int | None = None,
        token: str | int | None = None,
        foil: str | int | None = None,
        trimmed: bool | None = None,
        nodes: int = 60,
    ) -> answer.TraceGraph:
        """The components that contribute most to the root over all paths, and what they bring each other.

        Args:
            nodes: how many components are kept, embeddings among them; the others as those of `trace`.
        """
        return self._services.traces.graph(
            neuron,
            text=text,
            prompt=prompt,
            prompt_id=prompt_id,
            position=position,
            token=token,
            foil=foil,
            trimmed=trimmed,
            nodes=nodes,
        )

    def trace_again(self, trace: answer.Trace) -> answer.Trace:
        """A trace worked out again, from the tokens that it is of.

        Raises LookupsError where the model has other tokens, or no such node.
        """
        return self._services.traces.again(trace)
