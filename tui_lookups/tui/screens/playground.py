"""The playground: type any text, see the neuron on every token, and the heads behind its peak.

1. What is typed is asked about once the keys have been still for a moment; a later text supersedes.
2. A cursor goes along its tokens: what the model expects after the one under it stands below.
3. Enter attributes the peak of the text to the heads; the head under the cursor shows what it reads, and can
   be taken out.
4. A text can be pinned, to stay under the next ones, or beside them token by token.
5. Keys for a head that need prompts of the corpus say so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.timer import Timer
from textual.widgets import Input

from tui_lookups.tui.paint.head_rows import Cell, plain
from tui_lookups.tui.screens.query_screen import QueryScreen
from tui_lookups.tui.state.queries import explain_error
from tui_lookups.tui.state.walk import raises_most
from tui_lookups.tui.text.attribution import decomposition, head_facts, silence, why_no_head
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.text.prompt_facts import after_line
from tui_lookups.tui.widgets.head_detail import HeadDetail
from tui_lookups.tui.widgets.head_grid import HeadGrid
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.text import PackedText, TextLines
from tui_lookups.tui.widgets.text_heads import NOT_HERE, TextDetail, TextHeads
from tui_lookups.tui.widgets.typed_line import TextInput
from tui_lookups.tui.widgets.variant_list import VariantList
from tui_lookups.visible import visible, visible_token

if TYPE_CHECKING:
    from collections.abc import Callable

    from tui_lookups.explorer import Explorer
    from tui_lookups.ids import HeadId, NeuronId
    from tui_lookups.results import (
        Activations,
        HeadAttributions,
        PositionPredictions,
        PromptPredictions,
        SignSetting,
    )

_TYPING_SECONDS = 0.3
_REST_SECONDS = 0.2


class PlaygroundScreen(QueryScreen[None]):
    """One neuron, any text. `text` and `pinned` may be read, to go on later where it was left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+n,f2", "pin", "pin", id="playground.pin", tooltip="Keep this text below the next ones"),
        Binding("ctrl+r,f3", "unpin", "unpin all", id="playground.unpin", tooltip="Forget the pinned texts"),
        Binding(
            "ctrl+o",
            "align",
            "two texts",
            id="playground.align",
            tooltip="The typed text and the last pinned one token by token, with the difference",
        ),
        Binding(
            "ctrl+g",
            "scale",
            "shades",
            id="playground.scale",
            tooltip="Shade by the largest of the corpus, or of the texts that are shown",
        ),
        Binding("escape,q", "close", "back", id="playground.close", tooltip="Back to the walk as it was"),
        Binding("tab", "step(1)", "next", id="playground.next", tooltip="Text, figures, heads", show=False),
        Binding("shift+tab", "step(-1)", "back", id="playground.back", tooltip="The other way", show=False),
    ]
    AUTO_FOCUS = "#text"

    def __init__(
        self,
        explorer: Explorer,
        neuron: NeuronId,
        text: str = "",
        pinned: tuple[Activations, ...] = (),
        *,
        known_maximum: float = 0.0,
        sign: SignSetting = "auto",
    ) -> None:
        """`known_maximum`: the neuron's largest |activation| in the corpus so far; 0 where unknown. `sign`:
        the setting, by which the peak of a text is chosen: here, and by the explorer for the heads.
        """
        super().__init__(explorer)
        self._sign: SignSetting = sign
        self._known_maximum = known_maximum
        self.neuron = neuron
        self.text = text
        self.pinned = pinned
        self.current: Activations | None = None
        self.heads: HeadAttributions | None = None
        self._expected: PromptPredictions | None = None
        self._wants_heads = False
        self._timer: Timer | None = None
        self._rest: Timer | None = None

    def compose(self) -> ComposeResult:
        yield TextLines(id="playground-title", classes="title")
        yield TextInput(
            self.text, placeholder="type any text", id="text", compact=True, select_on_focus=False
        )
        yield VariantList(sign=self._sign, id="variants")
        yield TextLines(id="playground-next")
        yield PackedText(id="playground-silent", bold_first=True)
        with Horizontal(id="playground-heads"):
            with Vertical(id="playground-grid"):
                yield TextHeads(id="heads")
                yield PackedText(id="playground-sum")
            with Vertical(id="playground-detail"):
                yield PackedText(id="playground-facts", bold_first=True)
                yield TextDetail(id="detail")
        yield Hints(id="hints")

    def on_mount(self) -> None:
        self.query_one("#text", Input).select_all()  # what was typed last time: the next text replaces it
        self._show()
        if self.text:
            self._ask_activations()

    # --- the text ---

    @on(Input.Changed, "#text")
    def _typed(self, event: Input.Changed) -> None:
        if event.value == self.text:
            return
        self.text = event.value
        self._wants_heads = False
        self._stop_timer()
        self._expected = None
        self.queries.cancel("activations", "heads", "sources", "predictions")
        if self.text:
            self._timer = self.set_timer(_TYPING_SECONDS, self._ask_activations)
        else:
            self.current = self.heads = None
            self._show()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def _ask_activations(self) -> None:
        self._stop_timer()
        neuron, text = self.neuron, self.text
        self.queries.ask(
            "activations",
            lambda: self.explorer.activations(neuron, text),
            self._activations_came,
            self._failed,
        )
        if self.current is None:
            self._show_empty("Running the model…")

    def _activations_came(self, found: Activations) -> None:
        self.current = found
        if self.heads is not None and self.heads.tokens != found.tokens:
            self.heads = None
        self._show()
        if self._wants_heads:
            self._ask_heads()
        self._ask_predictions()

    def _failed(self, error: BaseException) -> None:
        self.current = self.heads = None
        self._show()
        message, hint = explain_error(error)
        self._show_empty(visible(message) + "\n" + visible(hint))
        self.show_message(f"{message} {hint}")

    def _show_empty(self, text: str) -> None:
        self.query_one(VariantList).show_empty(text)

    def action_pin(self) -> None:
        if self.current is None:
            self.show_message("Nothing to pin yet: type a text.")
        elif self.current in self.pinned:
            self.show_message("That text is pinned already.")
        else:
            self.pinned = (self.current, *self.pinned)
            self._show_variants()

    def action_unpin(self) -> None:
        self.pinned = ()
        self._show_variants()

    # --- the tokens of the text ---

    @on(VariantList.Moved)
    def _token_moved(self) -> None:
        self._show_expected()
        self._at_rest(self._ask_predictions)

    def _at_rest(self, ask: Callable[[], None]) -> None:
        """Ask once the cursor has been still for a moment."""
        if self._rest is not None:
            self._rest.stop()
        self._rest = self.set_timer(_REST_SECONDS, ask)

    @property
    def _after(self) -> PositionPredictions | None:
        """What the model expects after the token under the cursor, where that is known."""
        return None if self._expected is None else self._expected.at(self.query_one(VariantList).position)

    def _ask_predictions(self) -> None:
        if self.current is None or self._after is not None:
            return
        text, position = self.text, self.query_one(VariantList).position
        self.queries.ask(
            "predictions",
            lambda: self.explorer.predictions(text=text, position=position),
            self._predictions_came,
            lambda error: self.show_message(" ".join(explain_error(error))),
        )

    def _predictions_came(self, found: PromptPredictions) -> None:
        self._expected = found
        self._show_expected()

    def _show_expected(self) -> None:
        """A line that is always there, so that nothing moves."""
        line: tuple[Segment, ...] = ()
        if self.current is not None:
            position = self.query_one(VariantList).position
            line = after_line(position, self.current.tokens[position], self._after)
        self.query_one("#playground-next", TextLines).show_lines(line)

    def action_align(self) -> None:
        self._show_or_say(self.query_one(VariantList).toggle_aligned())

    def action_scale(self) -> None:
        self._show_or_say(self.query_one(VariantList).toggle_scale())

    def _show_or_say(self, why_not: str) -> None:
        if why_not:
            self.show_message(why_not)
        self._show_title()

    # --- the heads ---

    @on(Input.Submitted, "#text")
    def _submitted(self) -> None:
        if not self.text:
            self.show_message("Type a text first.")
            return
        self._wants_heads = True
        if self._timer is not None or self.current is None:
            if not self.queries.waiting("activations"):
                self._ask_activations()
        else:
            self._ask_heads()

    def _ask_heads(self) -> None:
        self._wants_heads = False
        neuron, text = self.neuron, self.text
        self.query_one(TextHeads).show_empty("Working…")
        self.queries.ask(
            "heads", lambda: self.explorer.heads(neuron, text=text), self._heads_came, self._failed
        )

    def _heads_came(self, heads: HeadAttributions) -> None:
        self.heads = heads
        self._show()
        grid = self.query_one(TextHeads)
        if (head := raises_most(heads)) is not None:
            grid.go_to(head)
        grid.focus()
        self._show_head()
        self._ask_sources()

    @on(HeadGrid.Moved)
    def _head_moved(self) -> None:
        self._show_head()
        self._at_rest(self._ask_sources)

    @on(HeadGrid.Opened)
    def _head_opened(self) -> None:
        self._ask_sources()
        self.query_one(HeadDetail).focus()

    def _ask_sources(self) -> None:
        head, neuron, text = self.query_one(TextHeads).head, self.neuron, self.text
        if head is None or self.heads is None or all(score.head != head for score in self.heads.heads):
            return
        self.queries.ask(
            "sources",
            lambda: self.explorer.heads(neuron, text=text, sources=head),
            self._sources_came,
            self._failed,
        )

    def _sources_came(self, sources: HeadAttributions) -> None:
        if sources.source_head == self.query_one(TextHeads).head:
            self.query_one(HeadDetail).show_sources(sources.sources, least=self._least_shaded())

    # --- what there is on the walk only ---

    @on(HeadGrid.Wanted)
    def _view_wanted(self, event: HeadGrid.Wanted) -> None:
        self.show_message(NOT_HERE[event.what].format(key=key_of(self.app, "playground.close")))

    def action_chosen_head(self, what: str) -> None:
        head = self.query_one(TextHeads).head
        if what != "ablate":
            back = key_of(self.app, "playground.close")
            self.show_message(f"Explanations are about the neuron's prompts: {back} goes back to them.")
        elif self.heads is None or head is None:
            self.show_message(f"Show the heads first: {key_of(self.app, 'playground.heads')} on the text.")
        elif why := why_no_head(self.heads.provenance.model, self.neuron, head):
            self.show_message(why)
        else:
            self._ablate(head)

    def _ablate(self, head: HeadId) -> None:
        """The total effect on this text: what a basket holds is on the neuron's prompts."""
        from tui_lookups.tui.screens.ablation import AblationScreen

        self.app.push_screen(AblationScreen.on_text(self.explorer, self.neuron, head, self.text))

    # --- showing ---

    def _show(self) -> None:
        self._show_empty("Type a text: the neuron's activation\nstands under every token.")
        self._show_variants()
        grid, heads = self.query_one(TextHeads), self.heads
        grid.show_empty(f"{key_of(self.app, 'playground.heads')} shows the heads\nbehind the text's peak.")
        parts: tuple[str, ...] = ()
        if heads is None:
            grid.show_heads(0, 0, {})
        else:
            model = heads.provenance.model
            cells: dict[HeadId, Cell] = {s.head: Cell(s.attribution, s.active) for s in heads.heads}
            grid.show_heads(model.n_layers, model.n_heads, cells, least=self._least_shaded())
            peak = f"peak {plain(heads.activation)} at {heads.position} "
            peak += visible_token(heads.tokens[heads.position].text)
            parts = (peak, *decomposition(heads), *grid.scale(), "* active")
        self.query_one("#playground-sum", PackedText).show_parts(parts)
        self._show_head()

    def _silent(self) -> tuple[str, ...]:
        """What is said of a text that does not fire the neuron, or hardly does; nothing of one that does."""
        return () if self.current is None else silence(self.current, self._known_maximum, self._sign)

    def _least_shaded(self) -> float:
        """Where nothing fires, the largest of the small shares must not look like what drives the neuron."""
        return self._known_maximum if self._silent() else 0.0

    def _show_variants(self) -> None:
        self.query_one("#playground-silent", PackedText).show_parts(self._silent())
        self.query_one(VariantList).show_variants(self.current, self.pinned, self._known_maximum)
        self._show_title()
        self._show_expected()

    def _show_title(self) -> None:
        title = f" Playground: {self.neuron} on any text   "
        scale = self.query_one(VariantList).scale_words() if self.current or self.pinned else ""
        self.query_one("#playground-title", TextLines).show_lines((Segment(title + scale),))

    def _show_head(self) -> None:
        head = self.query_one(TextHeads).head
        facts: tuple[str, ...] = ()
        if self.heads is not None and head is not None:
            facts = (f"{head}", *head_facts(head, self.heads, None))
        self.query_one("#playground-facts", PackedText).show_parts(facts)
        self.query_one(HeadDetail).show_sources(())

    # --- leaving, and the focus ---

    def action_look(self) -> None:
        self.query_one(VariantList).focus()

    def action_step(self, by: int) -> None:
        parts = [
            self.query_one("#text"),
            self.query_one(VariantList),
            self.query_one(TextHeads),
            self.query_one(HeadDetail),
        ]
        at = next((n for n, widget in enumerate(parts) if widget.has_focus), 0)
        parts[(at + by) % len(parts)].focus()

    def action_close(self) -> None:
        self.dismiss(None)
