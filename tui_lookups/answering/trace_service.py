"""Traces from a token or a neuron on a text, and their pruned graphs (method.md, section 9).

1. Each is answered from the cache where it can be. The key of an answer holds the tokens up to the position.
2. What the last passes keep is held on the model thread, so that opening one node after another runs none.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from tui_lookups.answering.checks import check_count, check_folded
from tui_lookups.answering.engine import Engine
from tui_lookups.answering.neuron_places import place_of
from tui_lookups.answering.prompt_service import PromptService
from tui_lookups.answering.text_places import named_token, place_in_text
from tui_lookups.errors import LookupsError, Poll
from tui_lookups.ids import NeuronId
from tui_lookups.results import Provenance, Trace, TraceGraph

if TYPE_CHECKING:
    from tui_lookups.answering.traces import Asked, At
    from tui_lookups.model.lookup_model import LookupModel
    from tui_lookups.model.text_pass import TextPass

T = TypeVar("T", Trace, TraceGraph)

_PASSES = 2
"""How many texts' passes are held."""


class TraceService:
    """The traces of one Explorer. Thread-safe."""

    def __init__(self, engine: Engine, prompts: PromptService) -> None:
        self._engine = engine
        self._prompts = prompts
        self._passes: OrderedDict[tuple[tuple[int, ...], int | None], TextPass] = OrderedDict()
        """By tokens and last block. Used on the model thread only."""

    def trace(self, neuron: NeuronId | None, *, node: str, depth: int, width: int, **asked: Any) -> Trace:
        """See `Explorer.trace`; `asked` says where, and from which token."""
        return self._trace(*self._question(neuron, **asked), node=node, depth=depth, width=width)

    def graph(self, neuron: NeuronId | None, *, nodes: int, **asked: Any) -> TraceGraph:
        """See `Explorer.trace_graph`."""
        check_count("nodes", nodes)
        what, at = self._question(neuron, **asked)

        def work(text: TextPass, provenance: Provenance, poll: Poll) -> TraceGraph:
            from tui_lookups.answering.traces import graph

            return graph(text, what, at, nodes=nodes, provenance=provenance, poll=poll)

        return self._answer("trace_graph", TraceGraph, what, at, work, nodes=nodes)

    def again(self, exported: Trace) -> Trace:
        """The same trace, worked out from the tokens that it is of."""
        from tui_lookups.answering.traces import Asked, At

        root, ids = exported.root, [token.id for token in exported.tokens]
        vocabulary = self._engine.vocabulary()
        named = [token for token in (root.token, root.foil) if token is not None]
        if not ids or any(vocabulary.token(token.id) != token for token in (*exported.tokens, *named)):
            raise LookupsError(
                "The trace is of tokens that the model has not.", "Give the model that the trace is of."
            )
        self._check(root.neuron)
        return self._trace(
            Asked(root.neuron, root.token, root.foil),
            At(tuple(ids), exported.prompt_id, exported.context),
            node=exported.nodes[0].id if exported.nodes else "root",
            depth=exported.depth,
            width=exported.width,
        )

    def _trace(self, what: Asked, at: At, *, node: str, depth: int, width: int) -> Trace:
        check_count("depth", depth)
        check_count("width", width)

        def work(text: TextPass, provenance: Provenance, poll: Poll) -> Trace:
            from tui_lookups.answering.traces import trace

            return trace(
                text, what, at, node=node, depth=depth, width=width, provenance=provenance, poll=poll
            )

        return self._answer("trace", Trace, what, at, work, node=node, depth=depth, width=width)

    def _answer(
        self,
        kind: str,
        type_: type[T],
        what: Asked,
        at: At,
        work: Callable[[TextPass, Provenance, Poll], T],
        **parts: Any,
    ) -> T:
        engine, corpus = self._engine, at.prompt_id is not None
        ids = {name: None if token is None else token.id for name, token in _tokens(what)}
        neuron = None if what.neuron is None else str(what.neuron)
        key = engine.key(
            kind,
            corpus=corpus,
            ids=list(at.ids),
            prompt=at.prompt_id,
            context=at.context,
            neuron=neuron,
            **ids,
            **parts,
        )

        def on_model(model: LookupModel, poll: Poll) -> T:
            text = self._pass(model, at.ids, None if what.neuron is None else what.neuron.layer, poll)
            return work(text, engine.provenance(corpus=corpus, **parts), poll)

        return engine.cached(key, type_) or engine.keep(key, engine.on_model(on_model))

    def _pass(self, model: LookupModel, ids: tuple[int, ...], last: int | None, poll: Poll) -> TextPass:
        """On the model thread: a pass over a text, run where it is not held."""
        from tui_lookups.model.text_pass import TextPass

        made = self._passes.get((ids, last))
        if made is None or made.model is not model:
            while len(self._passes) >= _PASSES:
                self._passes.popitem(last=False)
            made = self._passes[ids, last] = TextPass(model, ids, last, poll)
        made.poll = poll
        self._passes.move_to_end((ids, last))
        return made

    def let_go(self) -> None:
        """Hold no pass any more, and so no model: the model thread has ended."""
        self._passes.clear()

    def _question(
        self,
        neuron: NeuronId | None,
        *,
        text: str | None,
        prompt: int | None,
        prompt_id: int | None,
        position: int | None,
        token: str | int | None,
        foil: str | int | None,
        trimmed: bool | None,
    ) -> tuple[Asked, At]:
        from tui_lookups.answering.traces import Asked, At

        engine = self._engine
        self._check(neuron)
        if neuron is None:
            row, q = place_in_text(engine, text, prompt_id, position)
            asked = Asked(None, named_token(engine, token), named_token(engine, foil))
            return asked, At(tuple(row[: q + 1]), prompt_id, "text" if prompt_id is None else "full")
        if token is not None or foil is not None:
            raise LookupsError(
                "A trace begins from a neuron or from a token, not from both.", "Leave one of them out."
            )
        peak = place_of(
            engine,
            self._prompts,
            neuron,
            engine.conventions(trimmed=trimmed),
            prompt=prompt,
            prompt_id=prompt_id,
            text=text,
            position=position,
        )
        ids = tuple(peak.input.ids[: peak.input.position + 1])
        return Asked(neuron, None, None), At(ids, peak.prompt_id, peak.context)

    def _check(self, neuron: NeuronId | None) -> None:
        check_folded(self._engine.basis)
        if neuron is not None:
            self._engine.check_neuron(neuron)


def _tokens(what: Asked) -> tuple[tuple[str, Any], ...]:
    return ("token", what.token), ("foil", what.foil)
