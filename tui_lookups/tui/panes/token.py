"""The token line: what is open, and the box in which a token, a neuron or a head is typed and chosen."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style
from textual import on
from textual.containers import Horizontal
from textual.widgets import Input

from tui_lookups.tui.base_app import app_of
from tui_lookups.tui.panes.messages import (
    HeadNamed,
    LineLeft,
    NeuronNamed,
    NeuronsSifted,
    ScreenWanted,
    TokenChosen,
)
from tui_lookups.tui.state.queries import explain_error
from tui_lookups.tui.state.token_sets import as_typed
from tui_lookups.tui.text.breadcrumbs import breadcrumbs
from tui_lookups.tui.text.empty import missing
from tui_lookups.tui.widgets.text import TextLines
from tui_lookups.visible import visible_token

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import ComposeResult
    from textual.message import Message

    from tui_lookups.explorer import Explorer
    from tui_lookups.tui.state.candidates import Candidate, Candidates
    from tui_lookups.tui.state.queries import Queries
    from tui_lookups.tui.state.walk import Walk
    from tui_lookups.tui.widgets.token_box import CandidateList, TokenInput

_BOLD = Style(bold=True)
_DIM = Style(dim=True)


class TokenPane(Horizontal):
    """The path of the walk; while something is typed, the line for it with rows to choose from below."""

    LATER = ("tui_lookups.tui.widgets.token_box",)
    """Modules of widgets that are mounted after the first frame."""

    _box: TokenInput
    _candidates: CandidateList
    _enter_waits = False

    def __init__(self, walk: Walk, explorer: Explorer, queries: Queries, given: str | None) -> None:
        """`given`: a token of the command line, until it has been looked up."""
        super().__init__(id="token-line")
        self._walk = walk
        self._explorer = explorer
        self._queries = queries
        walk.given_token = given
        self._path = TextLines(id="token-facts")

    def compose(self) -> ComposeResult:
        label = TextLines(id="token-prompt")
        label.show_lines((Segment(" Token ", _DIM),))
        yield label
        yield self._path

    def mount_line(self) -> None:
        """Mount, once, the box and its rows: the first frame comes sooner without."""
        if not hasattr(self, "_box"):
            from tui_lookups.tui.widgets.token_box import CandidateList, TokenInput

            self._box, self._candidates = TokenInput(id="token-input"), CandidateList(id="candidates")
            self.mount(self._box, before=self._path)
            self.screen.mount(self._candidates)  # the rows lie over the panes

    def show(self, *, needle: str, all_layers: bool) -> None:
        """Show the path, the filters that are on (`needle`: by text), and how much is marked.

        `all_layers`: whether there is room to say that no layer is chosen.
        """
        walk, app = self._walk, app_of(self)
        more: list[Segment] = []
        if walk.layer is not None or all_layers:
            more.append(Segment(f"   layers {'all' if walk.layer is None else walk.layer}"))
        if walk.own_only:
            more.append(Segment("   own token only"))
        if needle:
            more.append(Segment(f"   filter {visible_token(needle)}"))
        if walk.ranking is not None:
            post_ln = ", Post-LN" if walk.ranking.provenance.model.post_ln else ""
            more.append(Segment(f"   basis {walk.ranking.basis}{post_ln}"))
        if count := len(app.selection):
            more.append(Segment(f"   [{count} marked]", _BOLD))
        key = app.key_of("walk.token")
        self._path.show_lines(breadcrumbs(walk, tuple(more), self.screen.size.width - 8, key))

    # --- typing ---

    @property
    def _typing(self) -> bool:
        return self.has_class("-typing")

    def type_token(self) -> None:
        """Open the box, with what is open in it."""
        self.mount_line()
        self.add_class("-typing")
        self._box.value = "" if self._walk.token is None else as_typed(self._walk.token)
        self._box.focus()

    def _leave(self) -> None:
        self._queries.cancel("candidates")
        self._enter_waits = False
        self.remove_class("-typing")
        self._candidates.close()

    @on(Input.Changed, "#token-input")
    def _typed(self, event: Input.Changed) -> None:
        self._enter_waits = False
        if not event.value.strip():
            self._queries.cancel("candidates")
            self._candidates.close()  # enter would open a row of what was typed before
        elif self._typing:
            self._look_up(event.value)

    def on_token_input_stepped(self, event: TokenInput.Stepped) -> None:
        self._candidates.step(event.by)

    def on_token_input_text_given(self, event: TokenInput.TextGiven) -> None:
        self._leave()
        self.screen.post_message(ScreenWanted(event.what, event.text))

    def on_token_input_left(self) -> None:
        self._leave()
        self.screen.post_message(LineLeft())

    # --- looking up ---

    def look_up_given(self) -> bool:
        """Look up the token of the command line, and open it if it is one thing; False without one."""
        if self._walk.given_token is None:
            return False
        self._enter_waits = True
        self._look_up(self._walk.given_token)
        return True

    def _look_up(self, text: str) -> None:
        from tui_lookups.tui.state.candidates import Candidates, find_candidates
        from tui_lookups.tui.state.token_sets import members_typed, set_candidates

        def done(found: Candidates) -> None:
            if self._walk.given_token == text:
                self._walk.given_token = None
                if found.exact:
                    self._accept_given(found)
                    return
                self.screen.post_message(NeuronsSifted())  # nothing waits for it any more
                self.type_token()
                self._box.value = text
            self._candidates.show(self._without_missing(found))
            if self._enter_waits:
                self._enter_waits = False
                self._submitted()

        def failed(error: BaseException) -> None:
            message, hint = explain_error(error)
            self._enter_waits = False
            if self._typing:
                self._candidates.show(Candidates(text, (), 0, f"{message} {hint}"))
            else:  # it was given on the command line: there is no box that escape would close
                self._walk.given_token = None
                self.screen.post_message(NeuronsSifted())
                app_of(self).show_message(f"{message} {hint}")

        key = app_of(self).key_of
        doors = f"{key('token.why')} why, {key('token.playground')} playground"
        find: Callable[[], Candidates] = partial(
            find_candidates, self._explorer, text, enter=key("token.enter"), doors=doors
        )
        if members_typed(text):
            find = partial(set_candidates, self._explorer, text, enter=key("token.enter"))
        self._queries.ask("candidates", find, done, failed)
        if self._queries.waiting("candidates") and self._typing and not self._candidates.found.rows:
            self._candidates.show(Candidates(text, (), 0, "looking it up…"))

    def _accept_given(self, found: Candidates) -> None:
        """`--token time` is taken as given where that is a token; one as likely meant is named."""
        from tui_lookups.tui.state.candidates import WITH_SPACE

        exact = found.rows[: found.exact]
        taken = next((row for row in exact if row.why != WITH_SPACE), exact[0])
        self._leave()
        self.screen.post_message(_choice_of(taken))
        twin = next((row.token for row in exact if row is not taken and row.token is not None), None)
        if taken.token is not None and twin is not None:
            name, key = visible_token(twin.text), app_of(self).key_of("walk.token")
            app_of(self).show_message(f"{name} #{twin.id} is another token: {key} chooses.")

    def _without_missing(self, found: Candidates) -> Candidates:
        """Neurons and heads that the model does not have are no choice, but a reason."""
        for row in found.rows[: found.exact]:
            named = row.neuron or row.head
            if named is not None and (why := missing(self._walk.model, named)):
                rows = tuple(other for other in found.rows if named not in (other.neuron, other.head))
                return found._replace(rows=rows, exact=found.exact - 1, note=why)
        return found

    # --- choosing ---

    @on(Input.Submitted, "#token-input")
    def _submitted(self) -> None:
        if self._queries.waiting("candidates"):
            self._enter_waits = True
            app_of(self).key_queue.wait_while(self._looks_up_for_enter)
        elif (candidate := self._candidates.accept()) is not None:  # else the person has to choose
            self._leave()
            self.screen.post_message(_choice_of(candidate))

    def _looks_up_for_enter(self) -> bool:
        """Keys that are typed behind enter are for what it opens."""
        return self._enter_waits and self._queries.waiting("candidates") and self.is_attached


def _choice_of(candidate: Candidate) -> Message:
    """What tells the screen of a choice."""
    if candidate.neuron is not None:
        return NeuronNamed(candidate.neuron)
    if candidate.head is not None:
        return ScreenWanted("served by", candidate.head) if candidate.serves else HeadNamed(candidate.head)
    assert candidate.token is not None, "a candidate is one of the three"
    return TokenChosen(candidate.token)
