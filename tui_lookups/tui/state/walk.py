"""The state of one walk - token, neuron, prompt, head - and the questions that fill it.

Knows no widget: it asks through `Queries`, keeps the answers, and tells its listener which part changed.

1. Opening a thing forgets everything further down the path and cancels what was asked for it.
2. While the scan runs, the prompts of the open neuron are asked for again; a list that did not change
   tells nobody.
3. Going back to a place names its prompt and head before their answers have come: they are opened when these
   arrive (`wanted_prompt`, `head`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tui_lookups.results import Token
from tui_lookups.tui.state.walk_heads import WalkHeads

if TYPE_CHECKING:
    from tui_lookups.ids import HeadId, NeuronId
    from tui_lookups.results import (
        FirstView,
        NeuronPrompts,
        NeuronScore,
        NeuronTokens,
        PeakFigures,
        PositionPredictions,
        PromptKind,
        PromptPredictions,
        TokenNeurons,
    )
    from tui_lookups.tui.state.walk_state import Part

TOP_NEURONS = 200
TOP_TOKENS = 12
_KEPT_PREDICTIONS = 200
_OF_NEURON: tuple[Part, ...] = (
    "promoted",
    "prompts",
    "figures",
    "overview",
    "heads",
    "sources",
    "predictions",
)

_NEXT_KIND: dict[PromptKind, PromptKind] = {"top": "random", "random": "deciles", "deciles": "top"}


class Walk(WalkHeads):
    """The walk from a token over a neuron to its prompts, and by way of its base to the heads."""

    # --- token and neurons ---

    def open_first(self) -> None:
        """Ask what to open when nothing was asked for."""

        def done(found: tuple[FirstView, bool]) -> None:
            view, self.tour_offered = found
            if self.token is None and self.neuron is None:
                self.story = view.story
                self._changed("story")
                self.open_token(view.token)
                self._open_next = view.neuron

        self._ask("story", lambda: (self._explorer.first_view(), self._explorer.offer_tour()), done)

    @property
    def opening_best(self) -> bool:
        """Whether the best neuron of a new token is on its way, while another one is still shown."""
        return self._open_best

    def forget_story(self) -> None:
        """The person goes their own way."""
        self._queries.cancel("story")
        self.story = ""
        self._changed("story")

    def open_token(self, token: Token, *, best: bool = False) -> None:
        """Rank the neurons that promote `token`; with `best` open the first of them once they are known.

        Where the filters leave none, no neuron is open until they do or the person opens one.
        """
        self.token = token
        self._open_best = best
        self._open_next = None
        self._rank()

    def _go_on(self) -> None:
        """Open the neuron that was to be opened, unless the person has opened one meanwhile."""
        neuron, self._open_next = self._open_next, None
        if neuron is not None:
            self.open_neuron(neuron)
            self._changed("neuron")  # also where it was open before: the path left it out meanwhile

    @property
    def ranked(self) -> NeuronScore | None:
        """The open neuron's row in the token's ranking; None where it is not in it."""
        rows = () if self.ranking is None else self.ranking.neurons
        return next((row for row in rows if row.neuron == self.neuron), None)

    def filter_neurons(self, *, layer: int | None, own_only: bool) -> None:
        """Ask for the token's neurons of one layer (None: all), or only those whose top token it is."""
        self.layer, self.own_only = layer, own_only
        self._rank()

    def _rank(self) -> None:
        token = self.token
        if token is None:
            return
        layers = None if self.layer is None else (self.layer,)
        own_only = self.own_only
        self.ranking = None

        def done(ranking: TokenNeurons) -> None:
            self.ranking = ranking
            if self._open_best and not ranking.neurons:
                self.close_neuron()  # that of another token says nothing of this one
            self._changed("neurons")
            self._ask_figures()
            if self._open_best and ranking.neurons:
                self._open_next = ranking.neurons[0].neuron
                self._open_best = False
            self._later(self._go_on)

        self._ask(
            "neurons",
            lambda: self._explorer.neurons(
                token.id, top=TOP_NEURONS, layers=layers, next_token_only=own_only
            ),
            done,
        )
        self._changed("neurons")

    # --- neuron and prompts ---

    def open_neuron(
        self, neuron: NeuronId, *, prompt_id: int | None = None, head: HeadId | None = None
    ) -> None:
        """Show what `neuron` promotes and what fires it; `prompt_id` and `head` are chosen once known."""
        self._open_next, self._open_best = None, False
        if neuron == self.neuron and "prompts" not in self.errors:
            if head is not None:
                self.choose_head(head)
            if prompt_id is not None:
                self.wanted_prompt = prompt_id
                self._changed("prompts")
            return
        self._forget_neuron()
        self.neuron, self.wanted_prompt, self.head = neuron, prompt_id, head

        def promoted(tokens: NeuronTokens) -> None:
            self.promoted = tokens
            self._changed("promoted")
            if self.token is None and tokens.tokens:  # opened by name: its token's neurons beside it
                best = tokens.tokens[0]
                self.open_token(Token(best.id, best.text))

        self._ask("promoted", lambda: self._explorer.tokens(neuron, top=TOP_TOKENS), promoted)
        self._ask_prompts(neuron)
        self._changed("neuron")

    def close_neuron(self) -> None:
        """No neuron is open: nor are prompts and heads."""
        if self.neuron is not None:
            self._forget_neuron()
            self._changed("neuron")
            self._changed("promoted")

    def _forget_neuron(self) -> None:
        self._queries.cancel("promoted", "prompts", "predictions", "heads", "overview", "sources", "figures")
        self.neuron = self.wanted_prompt = self.head = None
        self.promoted = self.prompts = self.prompt_id = None
        self.heads = self.overview = self.sources = self.figures = None
        self.kind = "top"
        for part in _OF_NEURON:
            self.errors.pop(part, None)

    def take_wanted_prompt(self) -> int | None:
        """The prompt a place was left at, once it is in the list; told once."""
        wanted = self.wanted_prompt
        if self.prompts is None or wanted is None:
            return None
        found = any(prompt.prompt_id == wanted for prompt in self.prompts.prompts)
        if found or (self._prompts_whole and self.prompts.complete):
            self.wanted_prompt = None
        return wanted if found else None

    def poll(self) -> None:
        """Ask again for the prompts of the open neuron while the scan may still improve them."""
        unfinished = self.prompts is None or (self.kind == "top" and not self.prompts.complete)
        stuck = "prompts" in self.errors
        if self.neuron is not None and unfinished and not stuck and not self.waiting("prompts"):
            self._ask_prompts(self.neuron)

    def _ask_prompts(self, neuron: NeuronId) -> None:
        kind = self.kind

        def heard(prompts: NeuronPrompts) -> None:
            """The first few of a list; of one that is on screen already the rest stays until all is known."""
            if self.prompts is None or len(self.prompts.prompts) < len(prompts.prompts):
                shown(prompts, whole=False)

        def done(prompts: NeuronPrompts) -> None:
            shown(prompts, whole=True)

        def shown(prompts: NeuronPrompts, *, whole: bool) -> None:
            if prompts == self.prompts and whole == self._prompts_whole:
                return
            self.prompts, self._prompts_whole = prompts, whole
            if self.overview is not None and self.kind == "top":  # it was over fewer prompts
                self.overview = None
                self.open_overview()
            if self.prompt is None:
                self.prompt_id = prompts.prompts[0].prompt_id if prompts.prompts else None
                self.heads = self.sources = None
            self._changed("prompts")
            self._ask_figures()

        def question(tell: Callable[[NeuronPrompts], None]) -> NeuronPrompts:
            if kind == "top":
                return self._explorer.prompts(neuron, wait=False, so_far=tell)
            return self._explorer.sampled_prompts(neuron, kind)

        self._ask_telling("prompts", question, heard, done)

    def _ask_figures(self) -> None:
        """Ask for the figures at the peaks, once the list is whole and it is known what they are about."""
        neuron, kind, prompts = self.neuron, self.kind, self.prompts
        due = prompts is not None and self._prompts_whole and (kind != "top" or prompts.complete)
        if neuron is None or not due or self.waiting("neurons"):
            return
        # Of the walk's token where its ranking led here, else of the token the neuron promotes most.
        token = None if self.ranked is None else self.token
        if self.figures is not None and self.figures.token == token:
            return

        def done(figures: PeakFigures) -> None:
            self.figures = figures
            self._changed("figures")

        self._ask("figures", lambda: self._explorer.peak_figures(neuron, token, kind=kind), done)

    def cycle_kind(self) -> None:
        """The highest prompts, random ones, one of each decile, and round again."""
        self.kind = _NEXT_KIND[self.kind]
        neuron = self.neuron
        if neuron is None:
            return
        self._queries.cancel("heads", "sources", "figures")
        self.prompts = self.prompt_id = self.heads = self.sources = self.figures = None
        self.errors.pop("figures", None)
        self._ask_prompts(neuron)
        self._changed("prompts")

    def choose_prompt(self, prompt_id: int) -> None:
        """Make a prompt the open one; its heads are asked for by `open_heads`."""
        if prompt_id != self.prompt_id:
            self._queries.cancel("heads", "sources")
            self.prompt_id = prompt_id
            self.heads = self.sources = None
            self._changed("heads")

    def predictions(self, position: int) -> PositionPredictions | None:
        """What the model expects after a token of the open prompt, where that was asked for."""
        known = () if self.prompt_id is None else self._predicted.get(self.prompt_id, ())
        return next((found for part in known if (found := part.at(position)) is not None), None)

    def open_predictions(self, position: int) -> None:
        """Ask what the model expects after a token of the open prompt, unless that is known."""
        prompt_id = self.prompt_id
        if prompt_id is None or self.predictions(position) is not None:
            return

        def done(found: PromptPredictions) -> None:
            if len(self._predicted) > _KEPT_PREDICTIONS:
                self._predicted.clear()
            self._predicted.setdefault(found.prompt_id, []).append(found)
            self._changed("predictions")

        self._ask("predictions", lambda: self._explorer.predictions(prompt_id, position), done)
        self._changed("predictions")
