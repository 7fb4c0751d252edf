"""The token of a walk: the neurons that promote it, and the first of them opened."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from tui_lookups.results import Token, TokenSet

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer
    from tui_lookups.results import FirstView, NeuronStats, NeuronTokens, TokenNeurons
    from tui_lookups.tui.state.neuron_steps import NeuronSteps
    from tui_lookups.tui.state.queries import Queries
    from tui_lookups.tui.state.walk import Part, Walk

TOP_NEURONS = 200


class TokenSteps:
    """Opens tokens, and the neurons that go with them.

    `later` does something once what changed is painted: it may load the model, which holds up a paint.
    """

    def __init__(
        self,
        walk: Walk,
        explorer: Explorer,
        queries: Queries,
        changed: Callable[[Part], None],
        neurons: NeuronSteps,
        later: Callable[[Callable[[], None]], object],
    ) -> None:
        self._walk = walk
        self._explorer = explorer
        self._queries = queries
        self._changed = changed
        self._later = later
        self._neurons = neurons
        neurons.promotes = self._rank_beside

    def open_first(self) -> None:
        """Ask what to open when nothing was asked for."""
        walk, explorer = self._walk, self._explorer

        def done(found: tuple[FirstView, bool]) -> None:
            view, walk.tour_offered = found
            if walk.token is None and walk.neuron is None:
                walk.story = view.story
                self._changed("story")
                self.open_token(view.token)
                walk.open_next = view.neuron

        self._queries.ask("story", lambda: (explorer.first_view(), explorer.offer_tour()), done)

    def forget_story(self) -> None:
        """The person goes their own way."""
        self._queries.cancel("story")
        self._walk.story = ""
        self._changed("story")

    def open_token(self, token: Token, *, best: bool = False) -> None:
        """Rank the neurons that promote `token`; with `best` open the first of them once they are known.

        Where the filters leave none, no neuron is open until they do or the person opens one.
        """
        walk = self._walk
        if token != walk.token:
            walk.open_next = None
        walk.token, walk.opening_best, walk.ranking = token, best, None
        walk.errors.pop("activity", None)
        self._queries.cancel("activity")

        def done(ranking: TokenNeurons) -> None:
            walk.ranking = ranking
            if walk.opening_best and not ranking.neurons:
                self._neurons.close_neuron()  # that of another token says nothing of this one
            self._changed("neurons")
            self._neurons.ask_figures()
            if walk.opening_best and ranking.neurons:
                walk.open_next = ranking.neurons[0].neuron
                walk.opening_best = False
            self._later(self._go_on)

        layers = None if walk.layer is None else (walk.layer,)
        ask = partial(self._ranking_of(token), top=TOP_NEURONS, layers=layers, next_token_only=walk.own_only)
        self._queries.ask("neurons", ask, done)
        self._changed("neurons")

    def _ranking_of(self, token: Token) -> Callable[..., TokenNeurons]:
        """What is asked for the neurons of a token, or of several as one."""
        if not isinstance(token, TokenSet):
            return partial(self._explorer.neurons, token.id)
        ids = [member.id for member in token.members]
        return partial(self._explorer.neurons_of_set, ids, as_one=token.as_one)

    def _rank_beside(self, promoted: NeuronTokens) -> None:
        """A neuron that was opened by name: its token's neurons beside it."""
        if self._walk.token is None and promoted.tokens:
            best = promoted.tokens[0]
            self.open_token(Token(best.id, best.text))

    def _go_on(self) -> None:
        """Open the neuron that was to be opened, unless the person has opened one meanwhile."""
        neuron, self._walk.open_next = self._walk.open_next, None
        if neuron is not None:
            self._neurons.open_neuron(neuron)
            self._changed("neuron")  # also where it was open before: the path left it out meanwhile

    def filter_neurons(self, *, layer_step: int = 0, toggle_own: bool = False) -> None:
        """Ask for the token's neurons of the next layer (after the last: of all), or of its own only."""
        walk, status = self._walk, self._explorer.status()
        if layer_step and status.model is not None:
            # a neuron of a layer that is not scanned has no prompts to go on to
            scanned = range(status.model.n_layers) if status.layers is None else status.layers
            choices: list[int | None] = [None, *scanned]
            now = choices.index(walk.layer) if walk.layer in choices else 0
            walk.layer = choices[(now + layer_step) % len(choices)]
        walk.own_only = walk.own_only != toggle_own
        self._rank_again()

    def forget_activity(self) -> None:
        """Why it was not known may be over; what a scan under way had so far may be more by now."""
        self._walk.errors.pop("activity", None)
        scan = self._explorer.status().scan
        if scan is None or scan.state != "done":
            self._walk.activity.clear()

    def ask_activity(self) -> None:
        """Ask how often the ranking's neurons are active, unless that is known or could not be said."""
        walk, explorer = self._walk, self._explorer
        ranked = () if walk.ranking is None else walk.ranking.neurons
        neurons = tuple(row.neuron for row in ranked if row.neuron not in walk.activity)
        if not neurons or walk.waiting("activity") or "activity" in walk.errors:
            return

        def done(found: tuple[NeuronStats, ...]) -> None:
            walk.activity.update(
                (neuron, stats.fraction_positive) for neuron, stats in zip(neurons, found, strict=True)
            )
            self._changed("activity")

        self._queries.ask("activity", lambda: explorer.stats(neurons), done)

    def end_filters(self) -> None:
        """Ask for the token's neurons of every layer, whatever their own token is."""
        self._walk.layer, self._walk.own_only = None, False
        self._rank_again()

    def _rank_again(self) -> None:
        """The open token's neurons by the filters as they are now."""
        if self._walk.token is not None:
            self.open_token(self._walk.token, best=self._walk.opening_best)
