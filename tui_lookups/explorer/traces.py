"""Traces: a token's logit or a neuron, opened node by node (method.md, section 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui_lookups import results as answer
    from tui_lookups.explorer.services import Services
    from tui_lookups.ids import NeuronId


class Traces:
    """The part of an Explorer that follows what is read back to where it comes from."""

    _services: Services

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
