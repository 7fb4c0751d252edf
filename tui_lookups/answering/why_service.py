"""Why the model expects a token after a position of a text, and what it expects without a component.

See method.md, sections 6 and 8. Each is answered from the cache where it can be. The key of an answer holds
the tokens up to the position: what follows changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from tui_lookups.answering.checks import check_count, check_removal
from tui_lookups.answering.corpus_means import corpus_means
from tui_lookups.answering.engine import Engine
from tui_lookups.answering.text_places import named_token, place_in_text
from tui_lookups.errors import Poll
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import Removed, Token, Why

if TYPE_CHECKING:
    from tui_lookups.model.lookup_model import LookupModel


class WhyService:
    """The questions about next tokens of one Explorer. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def why(
        self,
        text: str | None,
        *,
        prompt_id: int | None,
        position: int | None,
        token: str | int | None,
        foil: str | int | None,
        top: int,
    ) -> Why:
        """See `Explorer.why`."""
        check_count("top", top)
        engine = self._engine
        row, at = place_in_text(engine, text, prompt_id, position)
        asked, against = named_token(engine, token), named_token(engine, foil)
        ids = _ids(asked, against)

        def work(model: LookupModel, poll: Poll) -> Why:
            from tui_lookups.answering.sums import why

            provenance = engine.provenance(corpus=prompt_id is not None, position=at, top=top, **ids)
            return why(model, row, at, asked, against, top=top, provenance=provenance, poll=poll)

        key = engine.key(
            "why", corpus=prompt_id is not None, ids=row[: at + 1], prompt=prompt_id, top=top, **ids
        )
        answer = engine.cached(key, Why) or engine.keep(key, engine.on_model(work))
        return replace(answer, tokens=engine.vocabulary().tokens(row))

    def removed(
        self,
        component: HeadId | NeuronId,
        text: str | None,
        *,
        prompt_id: int | None,
        position: int | None,
        token: str | int | None,
        foil: str | int | None,
        method: Literal["zero", "mean"],
    ) -> Removed:
        """See `Explorer.removed`."""
        check_removal(method)
        engine, conventions = self._engine, self._engine.conventions()
        is_head = isinstance(component, HeadId)
        if isinstance(component, HeadId):
            engine.check_head(component)
        else:
            engine.check_neuron(component)
        row, at = place_in_text(engine, text, prompt_id, position)
        asked, against = named_token(engine, token), named_token(engine, foil)
        ids = _ids(asked, against)
        # What zero puts in place rests on no corpus.
        of_corpus = prompt_id is not None or method == "mean"
        sampled = {"sample": conventions.mean_sample if method == "mean" else 0}

        def work(model: LookupModel, poll: Poll) -> Removed:
            import numpy as np

            from tui_lookups.answering.sums import removed

            value = np.zeros(model.info.d_head if is_head else ())
            drawn = 0
            if method == "mean":
                role: Literal["z", "post"] = "z" if is_head else "post"
                means, drawn = corpus_means(engine, lambda means: means(model, poll), role, conventions)
                value = np.asarray(means[component.layer, component.index])
            seed = {"seed": conventions.seed} if method == "mean" else {}
            provenance = engine.provenance(corpus=of_corpus, position=at, sample=drawn, **seed, **ids)
            return removed(
                model, row, at, component, asked, against,
                method=method, value=value, provenance=provenance, poll=poll,
            )  # fmt: skip

        key = engine.key(
            "removed",
            conventions,
            corpus=of_corpus,
            component=str(component),
            ids=row[: at + 1],
            prompt=prompt_id,
            method=method,
            **sampled,
            **ids,
        )
        return engine.cached(key, Removed) or engine.keep(key, engine.on_model(work))


def _ids(token: Token | None, foil: Token | None) -> dict[str, Any]:
    """What a key and a provenance say of them."""
    return {"token": None if token is None else token.id, "foil": None if foil is None else foil.id}
