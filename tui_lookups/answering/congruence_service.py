"""Questions about what neurons write: a token's ranking, a neuron's tokens, what to open with.

See method.md, section 2.

Each is answered from the cache where it can be, else from the model's files alone, else from the loaded
model (`Engine.on_writes`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tui_lookups.answering.atlas_service import AtlasService
from tui_lookups.answering.engine import Engine
from tui_lookups.demo.measurements import read_measurements
from tui_lookups.errors import Poll
from tui_lookups.ids import NeuronId
from tui_lookups.results import FirstView, NeuronScore, NeuronTokens, Sign, Token, TokenNeurons

if TYPE_CHECKING:  # what is cached is answered before NumPy is imported
    from tui_lookups.model.file_weights import Writes


class CongruenceService:
    """The congruences of one Explorer's model. Thread-safe."""

    def __init__(self, engine: Engine, atlas: AtlasService) -> None:
        self._engine = engine
        self._atlas = atlas

    def neurons(
        self, token: Token, *, top: int, layers: tuple[int, ...], sign: Sign, next_token_only: bool
    ) -> TokenNeurons:
        """A token's neurons, best first. See `Explorer.neurons`."""

        def work(model: Writes, poll: Poll) -> TokenNeurons:
            from tui_lookups.analysis.congruence import rank_neurons

            rows = rank_neurons(
                model,
                token.id,
                top=top,
                layers=layers,
                sign=sign,
                next_token_only=next_token_only,
                extremes=self._atlas.known(layers) if next_token_only else None,
                poll=poll,
            )
            provenance = self._engine.provenance(
                corpus=False,
                top=top,
                layers=",".join(map(str, layers)),
                sign=sign,
                next_token_only=next_token_only,
            )
            return TokenNeurons(
                token, self._engine.basis, sign, rows, replace(provenance, device=model.ran_on)
            )

        return self._engine.remembered_writes(
            "neurons",
            TokenNeurons,
            work,
            token=token.id,
            top=top,
            layers=list(layers),
            sign=sign,
            next_token_only=next_token_only,
        )

    def tokens(self, neuron: NeuronId, top: int) -> NeuronTokens:
        """The tokens a neuron promotes and suppresses most."""
        self._engine.check_neuron(neuron)

        def work(model: Writes, poll: Poll) -> NeuronTokens:
            from tui_lookups.analysis.congruence import neuron_tokens

            promoted, suppressed = neuron_tokens(model, neuron, top)
            provenance = self._engine.provenance(corpus=False, top=top)
            provenance = replace(provenance, device=model.ran_on)
            return NeuronTokens(neuron, self._engine.basis, promoted, suppressed, provenance)

        return self._engine.remembered_writes("tokens", NeuronTokens, work, neuron=str(neuron), top=top)

    def score(self, neuron: NeuronId, token: Token) -> NeuronScore:
        """One neuron's row in a token's ranking, wherever it ranks."""
        self._engine.check_neuron(neuron)

        def work(model: Writes, poll: Poll) -> NeuronScore:
            from tui_lookups.analysis.congruence import score_neurons

            return score_neurons(model, [neuron], token.id)[0]

        return self._engine.remembered_writes("score", NeuronScore, work, neuron=str(neuron), token=token.id)

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

        return self._engine.remembered_writes("first_view", FirstView, work, layers=list(layers))
