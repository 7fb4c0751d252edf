"""What the keys of the chosen head open: taking it out, putting it in words, scoring those."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.tui.base_app import app_of
from tui_lookups.tui.state.history import Place
from tui_lookups.tui.text.attribution import preset_of, why_no_head

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.screen import Screen

    from tui_lookups.explorer import Explorer
    from tui_lookups.ids import HeadId, NeuronId
    from tui_lookups.results import (
        AblationMethod,
        AblationPositions,
        Explanation,
        HeadAblation,
        Plan,
        SelectedAblation,
        Selection,
    )
    from tui_lookups.tui.base_app import BaseApp
    from tui_lookups.tui.screens.places import Places
    from tui_lookups.tui.state.head_explanations import HeadExplanations
    from tui_lookups.tui.state.head_run import HeadRun
    from tui_lookups.tui.state.walk import Walk


class HeadDialogs:
    """Opens a dialog over `screen` about the chosen head, or says why it cannot."""

    def __init__(
        self,
        screen: Screen[None],
        explorer: Explorer,
        walk: Walk,
        explanations: HeadExplanations,
        head_run: HeadRun,
        places: Places,
    ) -> None:
        self._screen = screen
        self._explorer = explorer
        self._walk = walk
        self._explanations = explanations
        self._head_run = head_run
        self._places = places

    @property
    def _app(self) -> BaseApp:
        return app_of(self._screen)

    def open(self, what: str, *, heads_shown: bool) -> None:
        """Do what a key of the chosen head is for: "ablate", "explain", "score", "write" or "all_heads"."""
        if what == "all_heads":
            self._all_heads()
        elif why := self._why_no_request(what) or self._why_none(heads_shown=heads_shown):
            self._app.show_message(why)
        elif self._walk.neuron is not None and self._walk.head is not None:
            pair = self._walk.neuron, self._walk.head
            {
                "ablate": self._ablate,
                "explain": self._explain,
                "score": self._score,
                "write": self._write,
            }[what](*pair)

    def _why_none(self, *, heads_shown: bool) -> str:
        """What to do where no neuron and head are open; empty where they are."""
        walk, key = self._walk, self._app.key_of
        if walk.neuron is None:
            return f"Open a neuron first ({key('neurons.open')}), then a head ({key('walk.heads-pane')})."
        if not heads_shown:  # the chosen one may be of another neuron than the cursor is on
            return f"Choose a head first: {key('walk.heads-pane')} shows those behind {walk.neuron}."
        heads = walk.heads or walk.overview
        if heads is None and (walk.waiting("heads") or walk.waiting("overview")):
            return "The heads are still being worked out."
        if walk.head is None or heads is None:
            return f"Choose a head first: {key('walk.heads-pane')} shows those behind the neuron."
        return why_no_head(heads.provenance.model, walk.neuron, walk.head, preset_of(heads.provenance))

    def _why_no_request(self, what: str) -> str:
        """Which request is under way, where a key would send another; empty where none is."""
        if what not in ("explain", "score"):
            return ""
        job, key = self._explanations.job, self._app.key_of
        if self._head_run.running:
            about = f"a run over all heads of {self._head_run.neuron} is in progress"
            return f"One run at a time: {about}; {key('head.all_heads')} shows it."
        if job is not None:
            about = f"a request about {job.head} of {job.neuron} is in progress"
            return f"One request at a time: {about}; {key('walk.back')} stops it."
        return ""

    def _ablate(self, neuron: NeuronId, head: HeadId) -> None:
        last = self._explanations.last_ablation(neuron, head)
        method = "zero" if last is None else last.method
        self._open_ablation(neuron, head, method, None if last is None else last.positions)

    def open_ablation(self, marked: SelectedAblation) -> None:
        """Show a marked ablation, of the texts that the walk is on."""
        self._open_ablation(marked.neuron, marked.head, marked.method, marked.positions)

    def _open_ablation(
        self, neuron: NeuronId, head: HeadId, method: AblationMethod, positions: AblationPositions | None
    ) -> None:
        from tui_lookups.tui.screens.ablation import AblationScreen
        from tui_lookups.tui.state import basket

        app = self._app

        def toggle(marked: SelectedAblation) -> Selection:
            app.selection = basket.toggle(app.selection, marked)
            return app.selection

        def closed(ablation: HeadAblation | None) -> None:
            if ablation is not None:
                self._explanations.keep_ablation(ablation)

        trimmed = self._walk.trimmed
        screen = AblationScreen(
            self._explorer, neuron, head, trimmed, method, positions, app.selection, toggle
        )
        app.push_screen(screen, closed)

    def _explain(self, neuron: NeuronId, head: HeadId) -> None:
        newest, explaining = self._explanations.newest(neuron, head), self._explorer.explaining
        fresh = newest is not None and newest.explanation.author == "model"
        self._ask_to_send(
            f"Explain {head} of {neuron}" + (" anew" if fresh else ""),
            lambda: explaining.plan(neuron, head, fresh=fresh),
            lambda: self._explanations.explain(neuron, head, fresh=fresh),
        )

    def _score(self, neuron: NeuronId, head: HeadId) -> None:
        newest, scores = self._explanations.newest(neuron, head), self._explorer.head_scores
        text = None if newest is None else newest.explanation.explanation
        what = "Explain and score" if text is None else "Score the explanation of"
        self._ask_to_send(
            f"{what} {head} of {neuron}",
            lambda: scores.plan(neuron, head, explanation=text),
            lambda: self._explanations.score(neuron, head),
        )

    def _ask_to_send(self, title: str, plan: Callable[[], Plan], send: Callable[[], None]) -> None:
        """Show what would be sent; where the person agrees, send it and show the head."""
        from tui_lookups.tui.screens.send import SendScreen

        def agreed(agrees: bool | None) -> None:
            if agrees:
                send()
                self._places.show_pane("detail")

        self._app.push_screen(SendScreen(self._explorer, title, plan), agreed)

    def _write(self, neuron: NeuronId, head: HeadId) -> None:
        from tui_lookups.tui.screens.write import WriteScreen

        newest = self._explanations.newest(neuron, head)

        def written(explanation: Explanation | None) -> None:
            if explanation is not None:
                self._explanations.keep_explanation(explanation)
                self._places.show_pane("detail")
                self._app.show_message(f"Kept; {self._app.key_of('head.score')} scores it.")

        text = "" if newest is None else newest.explanation.explanation
        self._app.push_screen(WriteScreen(self._explorer, neuron, head, text), written)

    def _all_heads(self) -> None:
        neuron, run = self._walk.neuron, self._head_run
        if neuron is None:
            self._app.show_message(f"Open a neuron first ({self._app.key_of('neurons.open')}).")
            return
        from tui_lookups.tui.screens.head_run import HeadRunScreen

        run.open(neuron)

        def closed(head: HeadId | None) -> None:
            if head is not None and run.neuron is not None:
                self._places.open_place(Place(self._walk.token, run.neuron, head=head, pane="detail"))
                self._explanations.forget()  # more may be known of the heads than was
                self._explanations.look_up(run.neuron, head)

        self._app.push_screen(HeadRunScreen(self._explorer, run), closed)
