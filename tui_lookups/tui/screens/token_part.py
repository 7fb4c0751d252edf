"""The part of the walk screen about the token box: typing, looking up, choosing."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual import on
from textual.widgets import Input

from tui_lookups.ids import HeadId
from tui_lookups.tui.screens.walk_base import WalkBase
from tui_lookups.tui.state.history import Place
from tui_lookups.tui.state.queries import explain_error
from tui_lookups.visible import visible_token

if TYPE_CHECKING:
    from tui_lookups.ids import NeuronId
    from tui_lookups.results import ModelInfo
    from tui_lookups.tui.state.candidates import Candidate, Candidates
    from tui_lookups.tui.widgets.token_box import CandidateList, TokenInput


class TokenPart(WalkBase):
    """Takes what is typed to a token, a neuron or a head."""

    first_token: str | None = None
    """A token given on the command line, until it has been looked up."""
    _enter_waits = False

    @property
    def _token_input(self) -> TokenInput:
        return cast("TokenInput", self.query_one("#token-input"))

    @property
    def _candidates(self) -> CandidateList:
        return cast("CandidateList", self.query_one("#candidates"))

    def action_type_token(self) -> None:
        self.furnish()
        self.set_class(True, "-typing")
        box = self._token_input
        box.value = "" if self.walk.token is None else f'"{self.walk.token.text}"'
        box.focus()

    def _leave_token_box(self) -> None:
        self.queries.cancel("candidates")
        self._enter_waits = False
        self.set_class(False, "-typing")
        self._candidates.close()

    @on(Input.Changed, "#token-input")
    def _typed(self, event: Input.Changed) -> None:
        self._enter_waits = False
        if not event.value.strip():
            self.queries.cancel("candidates")
            self._candidates.close()  # enter would open a row of what was typed before
        elif self.has_class("-typing") and self._token_input.has_focus:
            self.look_up(event.value, accept=False)

    def look_up(self, text: str, *, accept: bool) -> None:
        """Look a typed text up; with `accept`, open it at once if it is one thing."""
        from tui_lookups.tui.state.candidates import WITH_SPACE, Candidates, find_candidates

        self._enter_waits = accept

        def done(found: Candidates) -> None:
            if self.first_token == text:
                self.first_token = None
                if found.exact:  # `--token time` is taken as given where that is a token
                    exact = found.rows[: found.exact]
                    taken = next((row for row in exact if row.why != WITH_SPACE), exact[0])
                    self._accept(taken)
                    self._name_twin(taken, exact)
                    return
                self.action_type_token()
                self._token_input.value = text
            self._candidates.show(self._without_missing(found))
            if self._enter_waits:
                self._enter_waits = False
                self._enter()

        def failed(error: BaseException) -> None:
            message, hint = explain_error(error)
            self._enter_waits = False
            if self.has_class("-typing"):
                self._candidates.show(Candidates(text, (), 0, f"{message} {hint}"))
            else:  # it was given on the command line: there is no box that escape would close
                self.first_token = None
                self.say(f"{message} {hint}")

        enter = self.key("token.enter")
        self.queries.ask(
            "candidates", lambda: find_candidates(self.explorer, text, enter=enter), done, failed
        )
        if self.queries.waiting("candidates") and self.has_class("-typing"):
            rows = self._candidates
            if not rows.found.rows:
                rows.show(Candidates(text, (), 0, "looking it up…"))

    @on(Input.Submitted, "#token-input")
    def _submitted(self) -> None:
        if self.queries.waiting("candidates"):
            self._enter_waits = True
            self.owner.key_queue.wait_while(self._looks_up_for_enter)
        else:
            self._enter()

    def _looks_up_for_enter(self) -> bool:
        """Keys that are typed behind enter are for what it opens."""
        return self._enter_waits and self.queries.waiting("candidates") and self.is_attached

    def _enter(self) -> None:
        candidate = self._candidates.accept()
        if candidate is not None:
            self._accept(candidate)

    def _accept(self, candidate: Candidate) -> None:
        self._leave_token_box()
        if candidate.neuron is not None:
            self.open_named(candidate.neuron)
        elif candidate.head is not None:
            self._open_head(candidate.head)
        elif candidate.token is not None:
            self.open_token(candidate.token)

    def _name_twin(self, taken: Candidate, exact: tuple[Candidate, ...]) -> None:
        """Say which other token was meant as likely, where `--token time` is two tokens but for a space."""
        twin = next((row.token for row in exact if row is not taken and row.token is not None), None)
        if taken.token is not None and twin is not None:
            name, key = visible_token(twin.text), self.key("walk.token")
            self.say(f"{name} #{twin.id} is another token: {key} chooses.")

    def _without_missing(self, found: Candidates) -> Candidates:
        """Neurons and heads that the model does not have are no choice, but a reason."""
        for row in found.rows[: found.exact]:
            named = row.neuron or row.head
            if named is not None and (why := self.missing(named)):
                rows = tuple(other for other in found.rows if other is not row)
                return found._replace(rows=rows, exact=found.exact - 1, note=why)
        return found

    def missing(self, named: NeuronId | HeadId) -> str:
        """Why a neuron or head cannot be opened; empty where it can, or the model is not known yet."""
        model = self.explorer.status().model
        if model is None:
            return ""
        a_head = isinstance(named, HeadId)
        size, what = (model.n_heads, "heads") if a_head else (model.d_mlp, "neurons")
        if named.layer < model.n_layers and named.index < size:
            return ""
        return f"{named} does not exist: the model has {model.n_layers} layers of {size} {what}."

    def open_named(self, neuron: NeuronId) -> None:
        """Open a neuron that was typed by name; says why where there is none."""
        missing = self.missing(neuron)
        if missing:
            self.go_back_to_pane()
            self.say(missing)
        else:
            self.open_neuron(neuron)
            self.go("prompts")

    def _open_head(self, head: HeadId) -> None:
        """Show a head behind the open neuron, on the open prompt; says why where that cannot be."""
        walk, model = self.walk, self.explorer.status().model
        self.go_back_to_pane()
        if walk.neuron is None:
            enter = self.key("neurons.open")
            self.say(f"Open a neuron first ({enter} on one, or type its name): heads are behind one.")
        elif missing := self.missing(head):
            self.say(missing)
        elif model is not None and (why := self._why_no_head(model, head)):
            self.say(why)
        else:
            self.open_place(Place(walk.token, walk.neuron, walk.prompt_id, head, "detail"))

    def _why_no_head(self, model: ModelInfo, head: HeadId) -> str:
        from tui_lookups.tui.text.attribution import preset_of, why_no_head

        neuron, prompts = self.walk.neuron, self.walk.prompts
        preset = "default" if prompts is None else preset_of(prompts.provenance)
        return "" if neuron is None else why_no_head(model, neuron, head, preset)

    def on_token_input_stepped(self, event: TokenInput.Stepped) -> None:
        self._candidates.step(event.by)

    def on_token_input_left(self) -> None:
        self._leave_token_box()
        self.go_back_to_pane()
