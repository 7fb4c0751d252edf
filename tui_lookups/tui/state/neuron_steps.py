"""The neuron of a walk and its prompts.

1. Opening a neuron forgets everything further down the path and cancels what was asked for it.
2. While the scan runs, the prompts of the open neuron are asked for again; a list that did not change
   tells nobody.
3. Going back to a place names its prompt and head before their answers have come: they are opened when these
   arrive (`wanted_prompt`, `head`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tui_lookups.tui.state.given_text import GIVEN, as_prompt
from tui_lookups.tui.state.token_sets import looked_for

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer
    from tui_lookups.ids import HeadId, NeuronId
    from tui_lookups.results import (
        Activations,
        NeuronPrompts,
        NeuronTokens,
        PeakFigures,
        PromptKind,
        PromptPredictions,
    )
    from tui_lookups.tui.state.given_text import GivenText
    from tui_lookups.tui.state.head_steps import HeadSteps
    from tui_lookups.tui.state.queries import Queries
    from tui_lookups.tui.state.walk import Part, Walk

TOP_TOKENS = 12
_KEPT_PREDICTIONS = 200
_OF_NEURON: tuple[Part, ...] = (
    "promoted",
    "prompts",
    "figures",
    "overview",
    "heads",
    "sources",
    "inputs",
    "predictions",
    "given",
)
_NEXT_KIND: dict[PromptKind, PromptKind] = {"top": "random", "random": "deciles", "deciles": "top"}


class NeuronSteps:
    """Opens neurons and prompts. `promotes` is told what an open neuron promotes."""

    promotes: Callable[[NeuronTokens], None]

    def __init__(
        self,
        walk: Walk,
        explorer: Explorer,
        queries: Queries,
        changed: Callable[[Part], None],
        heads: HeadSteps,
    ) -> None:
        self._walk = walk
        self._explorer = explorer
        self._queries = queries
        self._changed = changed
        self._heads = heads

    def open_neuron(
        self,
        neuron: NeuronId,
        *,
        prompt_id: int | None = None,
        position: int | None = None,
        head: HeadId | None = None,
        text: GivenText | None = None,
    ) -> None:
        """Show what `neuron` promotes and what fires it; `prompt_id` and `head` are chosen once known.

        `position`: of the token cursor in that prompt. `text` stands before its prompts.
        """
        walk = self._walk
        walk.open_next, walk.opening_best, walk.wanted_position = None, False, position
        if neuron == walk.neuron and "prompts" not in walk.errors:
            if head is not None:
                self._heads.choose_head(head)
            if prompt_id is not None:
                walk.wanted_prompt = prompt_id
                self._changed("prompts")
            return
        self._forget_neuron()
        walk.neuron, walk.wanted_prompt, walk.head = neuron, prompt_id, head

        def promoted(tokens: NeuronTokens) -> None:
            walk.promoted = tokens
            self._changed("promoted")
            self.promotes(tokens)

        self._queries.ask("promoted", lambda: self._explorer.tokens(neuron, top=TOP_TOKENS), promoted)
        if text is not None:
            self._ask_given(neuron, text)
        self._ask_prompts(neuron)
        self._changed("neuron")

    def _ask_given(self, neuron: NeuronId, text: GivenText) -> None:
        walk, explorer = self._walk, self._explorer
        walk.given = text

        def done(found: Activations) -> None:
            walk.given_prompt = as_prompt(found, explorer.settings.sign, text)
            if walk.prompt is None:
                walk.prompt_id = GIVEN
            self._changed("prompts")
            self._changed("given")

        self._queries.ask("given", lambda: explorer.activations(neuron, text.text), done)

    def preview(self, neuron: NeuronId | None) -> None:
        """Show the prompts of a neuron that is not open, where they are cached; None: of the open one."""
        walk, explorer = self._walk, self._explorer
        self._queries.cancel("preview")
        if walk.preview is not None and walk.preview.neuron != neuron:
            walk.preview = None
            self._changed("preview")
        if neuron is None or neuron == walk.neuron:
            return

        def done(found: NeuronPrompts | None) -> None:
            if found is not None:
                walk.preview = found
                self._changed("preview")

        def failed(_error: BaseException) -> None:
            """Opening the neuron says what is wrong."""

        self._queries.ask("preview", lambda: explorer.cached_prompts(neuron), done, failed)

    def close_neuron(self) -> None:
        """No neuron is open: nor are prompts and heads."""
        if self._walk.neuron is not None:
            self._forget_neuron()
            self._changed("neuron")
            self._changed("promoted")

    def _forget_neuron(self) -> None:
        walk = self._walk
        self._queries.cancel(*_OF_NEURON, "attended", "preview")
        walk.preview = None
        walk.neuron = walk.wanted_prompt = walk.head = None
        walk.promoted = walk.prompts = walk.prompt_id = None
        walk.heads = walk.overview = walk.sources = walk.figures = None
        walk.given = walk.given_prompt = None
        walk.kind = "top"
        for part in _OF_NEURON:
            walk.errors.pop(part, None)

    # --- prompts ---

    def take_wanted_prompt(self) -> int | None:
        """The prompt a place was left at, once it is in the list; told once."""
        walk, prompts, wanted = self._walk, self._walk.prompts, self._walk.wanted_prompt
        if wanted is None:
            return None
        listed = any(prompt.prompt_id == wanted for prompt in walk.listed)
        whole = prompts is not None and walk.prompts_whole and prompts.complete
        if listed or (whole and not walk.waiting("given")):
            walk.wanted_prompt = None
        return wanted if listed else None

    def poll(self) -> None:
        """Ask again for the prompts of the open neuron while the scan may still improve them."""
        walk = self._walk
        scan = None if walk.status is None else walk.status.scan
        if scan is not None and scan.state == "stopped" and walk.prompts is not None:
            return
        unfinished = walk.prompts is None or (walk.kind == "top" and not walk.prompts.complete)
        stuck = "prompts" in walk.errors
        if walk.neuron is not None and unfinished and not stuck and not walk.waiting("prompts"):
            self._ask_prompts(walk.neuron)

    def _ask_prompts(self, neuron: NeuronId) -> None:
        walk, kind, explorer = self._walk, self._walk.kind, self._explorer

        def heard(prompts: NeuronPrompts) -> None:
            """The first few of a list; of one that is on screen already the rest stays until all is known."""
            if walk.prompts is None or len(walk.prompts.prompts) < len(prompts.prompts):
                self._take_prompts(prompts, whole=False)

        def done(prompts: NeuronPrompts) -> None:
            self._take_prompts(prompts, whole=True)

        def question(tell: Callable[[NeuronPrompts], None]) -> NeuronPrompts:
            if kind == "top":
                return explorer.prompts(neuron, wait=False, so_far=tell)
            return explorer.sampled_prompts(neuron, kind)

        self._queries.ask_telling("prompts", question, heard, done)

    def _take_prompts(self, prompts: NeuronPrompts, *, whole: bool) -> None:
        walk = self._walk
        if prompts == walk.prompts and whole == walk.prompts_whole:
            return
        walk.prompts, walk.prompts_whole = prompts, whole
        if walk.overview is not None and walk.kind == "top":  # it was over fewer prompts
            walk.overview = None
            self._heads.open_overview()
        if walk.prompt is None:
            walk.prompt_id = prompts.prompts[0].prompt_id if prompts.prompts else None
            walk.heads = walk.sources = None
        self._changed("prompts")
        self.ask_figures()

    def ask_figures(self) -> None:
        """Ask for the figures at the peaks, once the list is whole and it is known what they are about."""
        walk, explorer = self._walk, self._explorer
        neuron, kind, prompts = walk.neuron, walk.kind, walk.prompts
        due = prompts is not None and walk.prompts_whole and (kind != "top" or prompts.complete)
        if neuron is None or not due or walk.waiting("neurons"):
            return
        # Of the walk's token where its ranking led here, else of the token the neuron promotes most.
        token = None if walk.ranked is None else looked_for(walk.token, walk.ranked)
        if walk.figures is not None and walk.figures.token == token:
            return

        def done(figures: PeakFigures) -> None:
            walk.figures = figures
            self._changed("figures")

        self._queries.ask("figures", lambda: explorer.peak_figures(neuron, token, kind=kind), done)

    def cycle_kind(self) -> None:
        """The highest prompts, random ones, one of each decile, and round again."""
        walk = self._walk
        walk.kind = _NEXT_KIND[walk.kind]
        neuron = walk.neuron
        if neuron is None:
            return
        self._queries.cancel("heads", "sources", "attended", "figures")
        walk.prompts = walk.prompt_id = walk.heads = walk.sources = walk.figures = None
        walk.errors.pop("figures", None)
        self._ask_prompts(neuron)
        self._changed("prompts")

    def choose_prompt(self, prompt_id: int) -> None:
        """Make a prompt the open one; its heads are asked for by `open_heads`."""
        if prompt_id != self._walk.prompt_id:
            self._queries.cancel("heads", "sources", "attended")
            self._walk.prompt_id = prompt_id
            self._walk.heads = self._walk.sources = None
            self._changed("heads")

    def open_predictions(self, position: int) -> None:
        """Ask what the model expects after a token of the open prompt, unless that is known."""
        walk, explorer, prompt_id = self._walk, self._explorer, self._walk.prompt_id
        if prompt_id is None or prompt_id == GIVEN or walk.predictions(position) is not None:
            return

        def done(found: PromptPredictions) -> None:
            if len(walk.predicted) > _KEPT_PREDICTIONS:
                walk.predicted.clear()
            walk.predicted.setdefault(prompt_id, []).append(found)
            self._changed("predictions")

        self._queries.ask("predictions", lambda: explorer.predictions(prompt_id, position), done)
        self._changed("predictions")
