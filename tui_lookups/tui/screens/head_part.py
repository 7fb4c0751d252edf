"""The part of the walk screen about the chosen head: taking it out, putting it in words, scoring those."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType

from tui_lookups.tui.screens.walk_base import WalkBase
from tui_lookups.tui.state.history import Place
from tui_lookups.tui.text.attribution import preset_of, why_no_head
from tui_lookups.tui.widgets.head_grid import HeadGrid
from tui_lookups.tui.widgets.head_keys import head_keys

if TYPE_CHECKING:
    from tui_lookups.ids import HeadId, NeuronId
    from tui_lookups.results import (
        AblationMethod,
        AblationPositions,
        Explanation,
        HeadAblation,
        SelectedAblation,
        Selection,
    )
    from tui_lookups.tui.state.head_explanations import Pair


class HeadPart(WalkBase):
    """Each action works on the head under the cursor, or says why it cannot."""

    KEYS: ClassVar[list[BindingType]] = [*head_keys(namespace="", show=False)]

    def take_head(self) -> None:
        """The head under the cursor is the chosen one, though its message may still be on its way."""
        head = self.query_one(HeadGrid).head
        if head is not None:
            self.walk.choose_head(head)

    def _chosen(self) -> Pair | None:
        """The neuron and head that are open; says what to do where there is none."""
        self.take_head()
        walk = self.walk
        if walk.neuron is None:
            self.say(
                f"Open a neuron first ({self.key('neurons.open')}), then a head"
                f" ({self.key('walk.heads-pane')})."
            )
        elif not self.shows_heads:  # the chosen one may be of another neuron than the cursor is on
            self.say(f"Choose a head first: {self.key('walk.heads-pane')} shows those behind {walk.neuron}.")
        elif walk.heads is None and walk.overview is None and self._heads_are_coming:
            self.say("The heads are still being worked out.")
        elif walk.head is None or (known := walk.heads or walk.overview) is None:
            self.say(f"Choose a head first: {self.key('walk.heads-pane')} shows those behind the neuron.")
        elif why := why_no_head(known.provenance.model, walk.neuron, walk.head, preset_of(known.provenance)):
            self.say(why)
        else:
            return walk.neuron, walk.head
        return None

    @property
    def _heads_are_coming(self) -> bool:
        return self.walk.waiting("heads") or self.walk.waiting("overview")

    def _chosen_for_request(self) -> Pair | None:
        """As `_chosen`, where no request is under way."""
        job = self.explanations.job
        if self.head_run.running:
            about = f"a run over all heads of {self.head_run.neuron} is in progress"
            self.say(f"One run at a time: {about}; {self.key('head.all_heads')} shows it.")
            return None
        if job is not None:
            about = f"a request about {job.head} of {job.neuron} is in progress"
            self.say(f"One request at a time: {about}; {self.key('walk.back')} stops it.")
            return None
        return self._chosen()

    def action_ablate(self) -> None:
        chosen = self._chosen()
        if chosen is None:
            return
        neuron, head = chosen
        known = self.explanations.last_ablation(neuron, head)
        method = "zero" if known is None else known.method
        self._ablate(neuron, head, method, None if known is None else known.positions)

    def open_ablation(self, marked: SelectedAblation) -> None:
        """Show a marked ablation, of the texts that the walk is on."""
        self._ablate(marked.neuron, marked.head, marked.method, marked.positions)

    def _ablate(
        self, neuron: NeuronId, head: HeadId, method: AblationMethod, positions: AblationPositions | None
    ) -> None:
        from tui_lookups.tui.screens.ablation import AblationScreen
        from tui_lookups.tui.state import basket

        def toggle(marked: SelectedAblation) -> Selection:
            self.owner.selection = basket.toggle(self.owner.selection, marked)
            return self.owner.selection

        def closed(ablation: HeadAblation | None) -> None:
            if ablation is not None:
                self.explanations.keep_ablation(ablation)

        screen = AblationScreen(
            self.explorer, neuron, head, self.walk.trimmed, method, positions, self.owner.selection, toggle
        )
        self.app.push_screen(screen, closed)

    def action_explain(self) -> None:
        chosen = self._chosen_for_request()
        if chosen is None:
            return
        from tui_lookups.tui.screens.send import SendScreen

        neuron, head = chosen
        known = self.explanations.newest(neuron, head)
        fresh = known is not None and known.explanation.author == "model"

        def agreed(send: bool | None) -> None:
            if send:
                self.explanations.explain(neuron, head, fresh=fresh)
                self.go("detail")

        title = f"Explain {head} of {neuron}" + (" anew" if fresh else "")
        self.app.push_screen(
            SendScreen(
                self.explorer, title, lambda: self.explorer.explaining.plan(neuron, head, fresh=fresh)
            ),
            agreed,
        )

    def action_score(self) -> None:
        chosen = self._chosen_for_request()
        if chosen is None:
            return
        from tui_lookups.tui.screens.send import SendScreen

        neuron, head = chosen
        known = self.explanations.newest(neuron, head)
        text = None if known is None else known.explanation.explanation

        def agreed(send: bool | None) -> None:
            if send:
                self.explanations.score(neuron, head)
                self.go("detail")

        title = f"Score the explanation of {head} of {neuron}"
        if text is None:
            title = f"Explain and score {head} of {neuron}"
        self.app.push_screen(
            SendScreen(
                self.explorer, title, lambda: self.explorer.head_scores.plan(neuron, head, explanation=text)
            ),
            agreed,
        )

    def action_all_heads(self) -> None:
        neuron = self.walk.neuron
        if neuron is None:
            self.say(f"Open a neuron first ({self.key('neurons.open')}).")
            return
        from tui_lookups.tui.screens.head_run import HeadRunScreen

        run = self.head_run
        run.open(neuron)

        def closed(head: HeadId | None) -> None:
            if head is not None and run.neuron is not None:
                self.open_place(Place(self.walk.token, run.neuron, head=head, pane="detail"))
                self.look_at_words()

        self.app.push_screen(HeadRunScreen(self.explorer, run), closed)

    def say_anywhere(self, text: str) -> None:
        """A short message on whatever screen is open."""
        self.owner.say(text)

    def look_at_words(self) -> None:
        """More may be known of the heads than was: look again."""
        self.explanations.forget()
        if self.walk.neuron is not None and self.walk.head is not None:
            self.explanations.look_up(self.walk.neuron, self.walk.head)

    def action_write(self) -> None:
        chosen = self._chosen()
        if chosen is None:
            return
        from tui_lookups.tui.screens.write import WriteScreen

        neuron, head = chosen
        known = self.explanations.newest(neuron, head)

        def written(explanation: Explanation | None) -> None:
            if explanation is not None:
                self.explanations.keep_explanation(explanation)
                self.go("detail")
                self.say(f"Kept; {self.key('head.score')} scores it.")

        text = "" if known is None else known.explanation.explanation
        self.app.push_screen(WriteScreen(self.explorer, neuron, head, text), written)
