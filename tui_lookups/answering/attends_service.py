"""What a head carries from a source token, and why it attends there, as the Explorer answers them.

See method.md, sections 9 and 10. Each is answered from the cache where it can be. The key of an answer holds
the tokens up to the position that the head writes at: what follows changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tui_lookups.answering.checks import check_count, check_folded
from tui_lookups.answering.engine import Engine
from tui_lookups.answering.neuron_places import check_reaches, place_of
from tui_lookups.answering.prompt_service import PromptService
from tui_lookups.answering.text_places import encoded, named_token
from tui_lookups.errors import LookupsError, Poll
from tui_lookups.ids import HeadId, NeuronId, check_position
from tui_lookups.results import Attends, Carried, Key, PairContribution, Provenance, Token
from tui_lookups.results.attends import PAIRS_KEPT

if TYPE_CHECKING:
    from tui_lookups.analysis.attends import Advantage, Floats
    from tui_lookups.model.lookup_model import LookupModel

Place = int | str
"""A position, or the text of the one token that is meant."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A text, and the position in it that is asked about; `of_corpus` where it is a prompt."""

    tokens: tuple[Token, ...]
    position: int
    of_corpus: bool

    @property
    def ids(self) -> list[int]:
        """Up to the position."""
        return [token.id for token in self.tokens[: self.position + 1]]


class AttendsService:
    """The questions about what heads read of one Explorer. Thread-safe."""

    def __init__(self, engine: Engine, prompts: PromptService) -> None:
        self._engine = engine
        self._prompts = prompts

    def carries(
        self,
        neuron: NeuronId | None,
        head: HeadId,
        source: Place,
        *,
        token: str | int | None,
        prompt: int | None,
        prompt_id: int | None,
        text: str | None,
        position: Place | None,
        trimmed: bool | None,
        top: int,
    ) -> Carried:
        """See `Explorer.carries`."""
        engine = self._engine
        self._check(neuron, head, top)
        if (neuron is None) == (token is None):
            raise LookupsError(
                "What a head carries is asked for a neuron or for a token.", "Give one of the two."
            )
        asked = self._asked(neuron, prompt, prompt_id, text, position, trimmed)
        at = position_of(source, asked.tokens[: asked.position + 1])
        read = named_token(engine, token)
        question: dict[str, Any] = {
            "head": str(head),
            "neuron": None if neuron is None else str(neuron),
            "token": None if read is None else read.id,
            "source": at,
            "position": asked.position,
            "top": top,
        }

        def work(model: LookupModel, poll: Poll) -> Carried:
            from tui_lookups.analysis.carries import carried_to_neuron, carried_to_token

            ids = asked.ids
            if neuron is not None:
                carried = carried_to_neuron(model, head, neuron, ids, asked.position, at, top=top, poll=poll)
            else:
                assert read is not None
                carried = carried_to_token(model, head, read.id, ids, asked.position, at, top=top, poll=poll)
            provenance = engine.provenance(corpus=asked.of_corpus, **question)
            return Carried(
                head, neuron, read, asked.tokens, asked.position, at, carried.weight, carried.contributions,
                provenance,
            )  # fmt: skip

        key = engine.key("carries", corpus=asked.of_corpus, ids=asked.ids, **question)
        carried = engine.cached(key, Carried) or engine.keep(key, engine.on_model(work))
        return replace(carried, tokens=asked.tokens)

    def attends(
        self,
        head: HeadId,
        *,
        neuron: NeuronId | None,
        prompt: int | None,
        prompt_id: int | None,
        text: str | None,
        query: Place | None,
        key: Place | None,
        trimmed: bool | None,
        top: int,
    ) -> Attends:
        """See `Explorer.attends`."""
        engine = self._engine
        self._check(None, head, top)
        asked = self._asked(neuron, prompt, prompt_id, text, query, trimmed)
        at = None if key is None else position_of(key, asked.tokens)
        question: dict[str, Any] = {"head": str(head), "query": asked.position, "key": at, "top": top}

        def work(model: LookupModel, poll: Poll) -> Attends:
            from tui_lookups.analysis.attends import attended

            row = [token.id for token in asked.tokens]
            attends = attended(model, head, row, asked.position, at, top=top, poll=poll)
            provenance = engine.provenance(corpus=asked.of_corpus, **question)
            return _attends(head, asked, attends, provenance)

        # An earlier version kept every pair: its answers are missed.
        where = engine.key("attends", corpus=asked.of_corpus, ids=asked.ids, pairs=PAIRS_KEPT, **question)
        attends = engine.cached(where, Attends) or engine.keep(where, engine.on_model(work))
        return replace(attends, tokens=asked.tokens)

    def _check(self, neuron: NeuronId | None, head: HeadId, top: int) -> None:
        """Refuse at once what cannot be answered, before minutes of scanning."""
        check_count("top", top)
        check_folded(self._engine.basis)
        if neuron is None:
            self._engine.check_head(head)
        else:
            self._engine.check_neuron(neuron)
            check_reaches(self._engine, head, neuron)

    def _asked(
        self,
        neuron: NeuronId | None,
        prompt: int | None,
        prompt_id: int | None,
        text: str | None,
        position: Place | None,
        trimmed: bool | None,
    ) -> _Asked:
        """What is run, and the position: a neuron's peak in a prompt or in a text, or the end of a text,
        where no other is named."""
        engine = self._engine
        if neuron is not None:
            conventions = engine.conventions(trimmed=trimmed)
            peak = place_of(
                engine, self._prompts, neuron, conventions, prompt=prompt, prompt_id=prompt_id, text=text
            )
            ids, at = list(peak.input.ids), peak.input.position
        elif text is None:
            raise LookupsError("A head is asked about on a text.", "Give a text, or a neuron of its prompts.")
        else:
            ids = encoded(engine, text)
            at = len(ids) - 1
        tokens = engine.vocabulary().tokens(ids)
        return _Asked(tokens, at if position is None else position_of(position, tokens), text is None)


def position_of(place: Place, tokens: Sequence[Token]) -> int:
    """The position that is meant among tokens. Raises LookupsError where there is none, or several."""
    if not isinstance(place, str):
        check_position(place, len(tokens))
        return place
    positions = [position for position, token in enumerate(tokens) if token.text == place]
    if not positions:
        raise LookupsError(
            f"None of the first {len(tokens)} tokens of the text is {place!r}.",
            "Give a token exactly as it stands there, with its space, or a position.",
        )
    if len(positions) > 1:
        raise LookupsError(
            f"{place!r} stands at positions {', '.join(map(str, positions))}.", "Give one of these positions."
        )
    return positions[0]


def _attends(head: HeadId, asked: _Asked, found: Advantage, provenance: Provenance) -> Attends:
    keys = tuple(
        Key(position, asked.tokens[position], weight, score)
        for position, weight, score in zip(found.allowed, found.weights, found.scores, strict=True)
    )
    chosen = next(key for key in keys if key.position == found.key)
    cells, groups = found.pairs.ravel(), found.groups
    kept, rest = largest_pairs(cells)
    pairs = tuple(
        PairContribution(groups[pair // len(groups)], groups[pair % len(groups)], float(cells[pair]))
        for pair in kept
    )
    return Attends(
        head=head,
        tokens=asked.tokens,
        query=asked.position,
        key=found.key,
        keys=keys,
        weight=chosen.weight,
        score=chosen.score,
        advantage=found.advantage,
        key_side=found.key_side,
        query_side=found.query_side,
        groups=found.groups,
        pairs=pairs,
        pairs_rest=rest,
        soft_cap=found.soft_cap,
        provenance=provenance,
    )


def largest_pairs(cells: Floats, each: int = PAIRS_KEPT) -> tuple[list[int], float]:
    """Where the `each` highest and `each` lowest cells stand, largest first; and the sum of the others."""
    import numpy as np

    order = np.argsort(cells, kind="stable")
    chosen = order if len(order) <= 2 * each else np.concatenate([order[:each], order[-each:]])
    kept = sorted(chosen.tolist(), key=lambda place: -abs(cells[place]))
    return kept, math.fsum(np.delete(cells, chosen))
