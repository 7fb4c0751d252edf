"""Questions about what neurons write: a token's ranking, a neuron's tokens, what to open with.

See method.md, section 2.

Each is answered from the cache where it can be, else from the model's files alone, else from the loaded
model (`Engine.on_writes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from tui_lookups.answering.atlas_service import AtlasService
from tui_lookups.answering.checks import check_count, check_layers
from tui_lookups.answering.engine import Engine
from tui_lookups.demo.measurements import read_measurements
from tui_lookups.errors import LookupsError, Poll
from tui_lookups.ids import NeuronId
from tui_lookups.results import (
    AsOne,
    FirstView,
    NeuronScore,
    NeuronTokens,
    SetNeurons,
    Sign,
    Token,
    TokenNeurons,
)

if TYPE_CHECKING:  # what is cached is answered before NumPy is imported
    from tui_lookups.model.file_weights import Writes


class CongruenceService:
    """The congruences of one Explorer's model. Thread-safe."""

    def __init__(self, engine: Engine, atlas: AtlasService) -> None:
        self._engine = engine
        self._atlas = atlas

    def neurons(
        self,
        token: str | int,
        *,
        top: int,
        layers: tuple[int, ...] | None,
        sign: Sign | None,
        next_token_only: bool,
    ) -> TokenNeurons:
        """A token's neurons, best first. See `Explorer.neurons`."""
        check_count("top", top)
        engine, by = self._engine, self._engine.ranking_sign(sign)
        asked = engine.vocabulary().resolve(token)
        ranked = self._ranked(layers)

        def work(model: Writes, poll: Poll) -> TokenNeurons:
            from tui_lookups.analysis.congruence import rank_neurons

            rows = rank_neurons(
                model,
                asked.id,
                top=top,
                layers=ranked,
                sign=by,
                next_token_only=next_token_only,
                extremes=self._atlas.cached(ranked) if next_token_only else None,
                poll=poll,
            )
            provenance = engine.provenance(
                corpus=False,
                top=top,
                layers=",".join(map(str, ranked)),
                sign=by,
                next_token_only=next_token_only,
            )
            return TokenNeurons(asked, engine.basis, by, rows, replace(provenance, device=model.ran_on))

        key = engine.key(
            "neurons",
            corpus=False,
            token=asked.id,
            top=top,
            layers=list(ranked),
            sign=by,
            next_token_only=next_token_only,
        )
        return engine.cached(key, TokenNeurons) or engine.keep(key, engine.on_writes(work))

    def neurons_of_set(
        self,
        tokens: Sequence[str | int],
        as_one: AsOne,
        *,
        top: int,
        layers: tuple[int, ...] | None,
        sign: Sign | None,
        next_token_only: bool,
    ) -> SetNeurons:
        """The neurons of several tokens as one, best first. See `Explorer.neurons_of_set`."""
        check_count("top", top)
        if as_one not in get_args(AsOne):
            raise LookupsError(f"Tokens cannot be read as one by {as_one!r}.", "Give mean, any or all.")
        engine, by = self._engine, self._engine.ranking_sign(sign)
        vocabulary, ranked = engine.vocabulary(), self._ranked(layers)
        members = tuple(dict.fromkeys(map(vocabulary.resolve, tokens)))
        if not members:
            raise LookupsError("A set of tokens needs one at least.", 'Name tokens, like " because".')
        question: dict[str, Any] = {
            "as_one": as_one,
            "top": top,
            "sign": by,
            "next_token_only": next_token_only,
        }

        def work(model: Writes, poll: Poll) -> SetNeurons:
            from tui_lookups.analysis.token_sets import rank_for_set

            rows = rank_for_set(
                model,
                [member.id for member in members],
                as_one=as_one,
                top=top,
                layers=ranked,
                sign=by,
                next_token_only=next_token_only,
                extremes=self._atlas.cached(ranked) if next_token_only else None,
                poll=poll,
            )
            provenance = engine.provenance(corpus=False, layers=",".join(map(str, ranked)), **question)
            provenance = replace(provenance, device=model.ran_on)
            return SetNeurons(members[0], engine.basis, by, rows, provenance, members, as_one)

        ids = [member.id for member in members]
        key = engine.key("set_neurons", corpus=False, tokens=ids, layers=list(ranked), **question)
        return engine.cached(key, SetNeurons) or engine.keep(key, engine.on_writes(work))

    def _ranked(self, layers: tuple[int, ...] | None) -> tuple[int, ...]:
        """The layers whose neurons are ranked together; those of the settings where none are named."""
        if layers is None:
            return self._engine.layers()
        info = self._engine.model_info()
        check_layers(layers, info.n_layers, info.name)
        return tuple(layers)

    def tokens(self, neuron: NeuronId, top: int) -> NeuronTokens:
        """The tokens a neuron promotes and suppresses most."""
        check_count("top", top)
        self._engine.check_neuron(neuron)

        def work(model: Writes, poll: Poll) -> NeuronTokens:
            from tui_lookups.analysis.congruence import neuron_tokens

            promoted, suppressed = neuron_tokens(model, neuron, top)
            provenance = self._engine.provenance(corpus=False, top=top)
            provenance = replace(provenance, device=model.ran_on)
            return NeuronTokens(neuron, self._engine.basis, promoted, suppressed, provenance)

        key = self._engine.key("tokens", corpus=False, neuron=str(neuron), top=top)
        return self._engine.cached(key, NeuronTokens) or self._engine.keep(key, self._engine.on_writes(work))

    def score(self, neuron: NeuronId, token: Token) -> NeuronScore:
        """One neuron's row in a token's ranking, wherever it ranks."""
        return self.scores((neuron,), token)[0]

    def scores(self, neurons: Sequence[NeuronId], token: Token) -> tuple[NeuronScore, ...]:
        """The rows of neurons in a token's ranking, in their order; the weights are read once for all."""
        engine = self._engine
        keys = {}
        for neuron in neurons:
            engine.check_neuron(neuron)
            keys[neuron] = engine.key("score", corpus=False, neuron=str(neuron), token=token.id)
        cached = {neuron: engine.cached(key, NeuronScore) for neuron, key in keys.items()}
        missing = [neuron for neuron, score in cached.items() if score is None]

        def work(model: Writes, poll: Poll) -> list[NeuronScore]:
            from tui_lookups.analysis.congruence import score_neurons

            return score_neurons(model, missing, token.id)

        for made in engine.on_writes(work) if missing else ():
            cached[made.neuron] = engine.keep(keys[made.neuron], made)
        return tuple(score for neuron in neurons if (score := cached[neuron]) is not None)

    def first_view(self) -> FirstView:
        """The token and neuron to open with.

        On the packaged model the word measured best (demo.measurements), elsewhere by opening.first_view.
        """
        layers = self._engine.layers()
        info = self._engine.model_info()
        measured = read_measurements()
        if measured.model_fingerprint == info.fingerprint and len(layers) == info.n_layers:
            word = measured.opening()
            if word is not None:
                token = self._engine.vocabulary().token(word.token_id)
                return FirstView(token, word.neuron, measured.story(word))

        def work(model: Writes, poll: Poll) -> FirstView:
            from tui_lookups.answering import opening

            return opening.first_view(model, layers, poll)

        key = self._engine.key("first_view", corpus=False, layers=list(layers))
        return self._engine.cached(key, FirstView) or self._engine.keep(key, self._engine.on_writes(work))
