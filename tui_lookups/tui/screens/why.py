"""Why this token: the model's next tokens after a text, and the logit of one as an exact sum (method.md, 8).

1. A text is typed or pasted, or comes from a prompt of the walk, up to the token under its cursor.
2. The first of the next tokens is asked about, until another is chosen; a foil is what it is against.
3. What it is the sum of is a list, a waterfall over the layers, or groups. Enter on a neuron or a head goes
   on with it on this text.
4. Removing a component is asked for by itself: its total effect stands beside the direct one.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input

from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.tui.screens.query_screen import QueryScreen
from tui_lookups.tui.state.candidates import find_token
from tui_lookups.tui.state.contribution_rows import rows_of_why
from tui_lookups.tui.state.given_text import given_up_to
from tui_lookups.tui.state.left_screens import Door, TracePlace, WhyPlace
from tui_lookups.tui.state.queries import explain_error
from tui_lookups.tui.text.explanation import Paragraph
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.text.waiting import wait_words
from tui_lookups.tui.text.why import neuron_of_head, removed_paragraphs, why_sum, why_title
from tui_lookups.tui.widgets.contribution_lists import ContributionRows, LayerRows
from tui_lookups.tui.widgets.contribution_views import ContributionViews
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.next_tokens import NextTokens
from tui_lookups.tui.widgets.paragraphs import Paragraphs
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.tui.widgets.text import PackedText, TextLines
from tui_lookups.tui.widgets.why_lines import NamedToken, WhyText
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from textual.await_complete import AwaitComplete

    from tui_lookups.explorer import Explorer
    from tui_lookups.results import Removed, Token, Why

Named = Literal["token", "foil"]


class WhyScreen(QueryScreen[Door | TracePlace]):
    """Returns what was opened, or the trace to go over to; None on escape. `place` is where it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "view", "view", id="components.view", tooltip="By size, by layer, in groups"),
        Binding(
            "r",
            "trace",
            "trace",
            id="why.trace",
            tooltip="Open it node by node, with what is under the cursor",
        ),
        Binding(
            "d", "remove('zero')", "remove", id="why.remove", tooltip="The probability without it (zero)"
        ),
        Binding("m", "remove('mean')", "mean", id="why.mean", tooltip="The same, with its mean in its place"),
        Binding("t", "name('token')", "token", id="why.token", tooltip="Ask about any token: type it"),
        Binding("F", "name('foil')", "any foil", id="why.any-foil", tooltip="Against any token: type it"),
        Binding("e", "text", "new text", id="why.text", tooltip="Type another text"),
        Binding("n", "move(1)", "on", id="why.on", tooltip="After the next token of the text"),
        Binding("p", "move(-1)", "before", id="why.before", tooltip="After the token before", show=False),
        Binding("escape,q", "close", "back", id="why.close", tooltip="Back to the walk as it was"),
        Binding("left,h", "tokens", "tokens", id="why.tokens", tooltip="To the next tokens", show=False),
        Binding("tab", "step(1)", "next", id="why.next", tooltip="Text, next tokens, components", show=False),
        Binding("shift+tab", "step(-1)", "back", id="why.back", tooltip="The other way", show=False),
    ]
    AUTO_FOCUS = ""

    def __init__(self, explorer: Explorer, place: WhyPlace) -> None:
        super().__init__(explorer)
        self._text, self._prompt_id, self._position = place.text, place.prompt_id, place.position
        self._token, self._foil = place.token, place.foil
        self.why: Why | None = place.why
        self._removed: list[Removed] = list(place.removed)
        self.place = place
        self._naming: Named = "token"

    def compose(self) -> ComposeResult:
        yield TextLines(id="why-title", classes="title")
        with Horizontal(id="why-line"):
            yield TextLines(id="why-label")
            yield WhyText(
                self._text,
                placeholder="type or paste a text",
                id="why-text",
                compact=True,
                select_on_focus=False,
            )
            yield NamedToken(id="why-named", compact=True)
        with Horizontal(id="why-body"):
            with Vertical(id="why-side"):
                yield NextTokens(id="next-tokens")
                yield PackedText(id="why-sum", bold_first=True)
            yield ContributionViews(self.place.views, id="why-views")
        yield Paragraphs(id="why-removed")
        yield Hints(id="hints")

    def on_mount(self) -> None:
        self._label("Text")
        self._views.show_empty("The components of the logit\nstand here.")
        self.query_one(NextTokens).show_empty("")
        self._title("Why this token")
        if self.why is not None:
            self._show(self.why)
            self._views.take_focus(self.place.focus)
            if self.place.focus in ("why-text", "next-tokens"):
                self.query_one(f"#{self.place.focus}").focus()
        elif self._text or self._prompt_id is not None:
            self._ask()
            self._views.body.focus()
        else:
            self.query_one(WhyText).focus()

    # --- the question ---

    @property
    def _typed(self) -> str | None:
        """The text that is asked about, where it is no prompt of the corpus."""
        return self._text if self._prompt_id is None else None

    @on(Input.Submitted, "#why-text")
    def _submitted(self, event: Input.Submitted) -> None:
        if not event.value:
            self.show_message("Type or paste a text first.")
            return
        if event.value != self._text or self.why is None:
            self._text, self._prompt_id, self._position = event.value, None, None
            self._token = self._foil = None
            self._ask()
        self._views.body.focus()

    def _ask(self) -> None:
        token, foil = self._token, self._foil
        question = partial(
            self.explorer.why,
            self._typed,
            prompt_id=self._prompt_id,
            position=self._position,
            token=None if token is None else token.id,
            foil=None if foil is None else foil.id,
        )
        self.queries.cancel("removed")
        self.queries.ask("why", question, self._came, self._failed)
        self.wait_for("why", self._wait)

    def _wait(self, far: str) -> None:
        stop = key_of(self.app, "why.close")
        if self.why is not None:
            self._title(wait_words("Running the text…", far, stop, "  "))
        else:
            self._views.show_empty(wait_words("Running the text, and\nsumming what is in it…", far, stop))

    def _came(self, why: Why) -> None:
        self.why, self._position = why, why.position
        self._token, self._foil = why.token, why.foil
        self._removed = []
        self._show(why)

    def _failed(self, error: BaseException) -> None:
        message, hint = explain_error(error)
        if self.why is not None:  # what is on screen is of the question before
            self._token, self._foil, self._position = self.why.token, self.why.foil, self.why.position
            self._title(why_title(self.why, self.app.size.width))
            self.show_message(f"{message} {hint}")
            return
        self._views.show_empty(visible(message) + "\n" + visible(hint))
        self._title("Why this token")
        self.query_one(WhyText).focus()

    def on_paste(self, event: events.Paste) -> None:
        """A text pasted where no line is: it is meant for the one there is."""
        event.stop()
        line = self.query_one(WhyText)
        line.value = line.as_one_line(event.text)
        line.focus()

    def action_move(self, by: int) -> None:
        """After the token before or behind: what is most probable there is asked about."""
        if self.why is None or self._position is None:
            return
        position = self._position + by
        if not 0 <= position < len(self.why.tokens):
            self.show_message("The text ends here." if by > 0 else "The text begins here.")
            return
        self._position, self._token, self._foil = position, None, None
        self._ask()

    # --- the token and the foil ---

    @on(RowList.Opened, "#next-tokens")
    def _token_chosen(self) -> None:
        token = self.query_one(NextTokens).current
        if token is not None and self.why is not None and token != self.why.token:
            self._about(token, None if token == self._foil else self._foil)
        self.action_rows()

    def action_foil(self) -> None:
        """Against the token under the cursor; on the foil, against the mean again."""
        token, why = self.query_one(NextTokens).current, self.why
        if token is None or why is None:
            return
        if token == why.token:
            self.show_message("A token is not its own foil: choose another row.")
        else:
            self._about(why.token, None if token == why.foil else token)

    def _about(self, token: Token, foil: Token | None) -> None:
        self._token, self._foil = token, foil
        self._ask()

    def action_text(self) -> None:
        self.query_one(WhyText).focus()

    def action_name(self, what: Named) -> None:
        """Type a token that is not in the list."""
        if self.why is None:
            self.show_message("Ask about a text first.")
            return
        self._naming = what
        self._label("Token" if what == "token" else "Foil")
        self.query_one("#why-line").add_class("-naming")
        line = self.query_one(NamedToken)
        line.value = ""
        line.focus()

    def action_unname(self) -> None:
        self._label("Text")
        self.query_one("#why-line").remove_class("-naming")
        self._views.body.focus()

    @on(Input.Submitted, "#why-named")
    def _named(self, event: Input.Submitted) -> None:
        if not event.value:
            return
        self.queries.ask(
            "name", partial(find_token, self.explorer, event.value), self._name_found, self._say_error
        )

    def _name_found(self, found: Token | None) -> None:
        if found is None:
            text = visible(self.query_one(NamedToken).value)
            self.show_message(f"“{text}” is not one token: type one as it is in the vocabulary, or #id.")
            return
        self.action_unname()
        if self.why is None:
            return
        if self._naming == "token":
            self._about(found, None if found == self._foil else self._foil)
        elif found == self.why.token:
            self.show_message("A token is not its own foil.")
        else:
            self._about(self.why.token, found)

    def _say_error(self, error: BaseException) -> None:
        self.show_message(" ".join(explain_error(error)))

    # --- showing ---

    @property
    def _views(self) -> ContributionViews:
        return self.query_one(ContributionViews)

    def _title(self, text: str) -> None:
        self.query_one("#why-title", TextLines).show_words(text)

    def _label(self, text: str) -> None:
        self.query_one("#why-label", TextLines).show_words(text)

    def _show(self, why: Why) -> None:
        self._title(why_title(why, self.app.size.width))
        self.query_one(NextTokens).show_tokens(why.predictions, why.token, why.foil)
        self.query_one("#why-sum", PackedText).show_parts(why_sum(why))
        self._views.show(rows_of_why(why))
        self._show_removed()

    @on(RowList.Moved, "#components")
    def _show_removed(self) -> None:
        """What removing the component under the cursor did, where that was asked for."""
        row, why = self._views.row, self.why
        removed = () if row is None else tuple(r for r in self._removed if r.component == row.component)
        said = () if why is None else removed_paragraphs(removed, why)
        if self._removed and not said:  # the list stays as high as it is
            said = (Paragraph(f"{key_of(self.app, 'why.remove')} removes the one under the cursor", "dim"),)
        self.query_one("#why-removed", Paragraphs).show_paragraphs(said)

    def action_view(self) -> None:
        self._views.cycle()
        self._show_removed()

    def action_tokens(self) -> None:
        self.query_one(NextTokens).focus()

    def action_rows(self) -> None:
        self._views.body.focus()

    # --- removing ---

    def action_remove(self, method: Literal["zero", "mean"]) -> None:
        """Ask for the probability without the component under the cursor."""
        row, why = self._views.row, self.why
        if row is None or row.component is None or why is None:
            self.show_message("Put the cursor on a neuron or a head of the list by size.")
            return
        component = row.component
        if any((removed.component, removed.method) == (component, method) for removed in self._removed):
            return

        def done(removed: Removed) -> None:
            self._removed.append(removed)
            self.query_one(Hints).hush()  # the wait is over
            self._show_removed()

        question = partial(
            self.explorer.removed,
            component,
            self._typed,
            prompt_id=self._prompt_id,
            position=why.position,
            token=why.token.id,
            foil=None if why.foil is None else why.foil.id,
            method=method,
        )
        over = " over the corpus sample" if method == "mean" else ""
        doing, stop = f"Running the text without {component}{over}…", key_of(self.app, "why.close")
        self.queries.ask("removed", question, done, self._say_error)
        self.wait_for("removed", lambda far: self.show_message(wait_words(doing, far, stop, "  ")))

    # --- opening ---

    def action_trace(self) -> None:
        """Go over to the trace of the token, where the component under the cursor is opened."""
        row = None if self.query_one(NextTokens).has_focus else self._views.row
        if self.why is None:
            self.show_message("Ask about a text first.")
        else:
            self.dismiss(self._here().trace(None if row is None else row.component))

    @on(RowList.Opened, "#components")
    def _component_opened(self) -> None:
        row, why = self.query_one(ContributionRows).current, self.why
        if row is None or why is None:
            return
        if row.component is None:
            if row.first is None:
                self.show_message("Only a neuron or a head can be opened.")
            self._views.go_to(row.first)
            return
        neuron = row.component if isinstance(row.component, NeuronId) else neuron_of_head(row.component, why)
        if neuron is None:
            self.show_message(f"No neuron of the list lies above {row.component}: its pane is about one.")
            return
        head = row.component if isinstance(row.component, HeadId) else None
        text = given_up_to(why.tokens, why.position, why.provenance.model)
        self.dismiss(Door(neuron, head, text, why.token))

    @on(RowList.Opened, "#by-layer")
    def _layer_opened(self) -> None:
        row = self.query_one(LayerRows).current
        if row is not None:
            self._views.go_to(row.first)

    def on_resize(self) -> None:
        if self.why is not None:
            self._title(why_title(self.why, self.app.size.width))

    # --- leaving, and the focus ---

    def dismiss(self, result: Door | TracePlace | None = None) -> AwaitComplete:
        """Close it, keeping where it is left."""
        if self.is_current:
            self.place = self._here()
        return super().dismiss(result)

    def _here(self) -> WhyPlace:
        focused = self.focused.id if self.focused is not None else None
        return WhyPlace(
            self._text, self._prompt_id, self._position, self._token, self._foil, self.why,
            tuple(self._removed), self._views.place, focused or "",
        )  # fmt: skip

    def action_step(self, by: int) -> None:
        parts = [self.query_one(WhyText), self.query_one(NextTokens), *self._views.shown]
        at = next((n for n, widget in enumerate(parts) if widget.has_focus), 0)
        parts[(at + by) % len(parts)].focus()

    def action_close(self) -> None:
        self.dismiss(None)
