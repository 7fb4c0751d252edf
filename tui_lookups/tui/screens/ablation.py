"""A head taken out: the total effect on the neuron and its token, on its prompts or on a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from tui_lookups.results import HeadAblation, Selection
from tui_lookups.tui.paint.shading import level
from tui_lookups.tui.paint.text_layout import fit
from tui_lookups.tui.screens.query_screen import QueryDialog
from tui_lookups.tui.state.queries import explain_error
from tui_lookups.tui.text.attribution import texts_of
from tui_lookups.tui.text.explanation import Paragraph, ablation_paragraphs, before_and_after
from tui_lookups.tui.text.key_labels import key_of
from tui_lookups.tui.widgets.painting import palette_of
from tui_lookups.tui.widgets.paragraphs import Paragraphs
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.visible import visible, visible_token

if TYPE_CHECKING:
    from collections.abc import Callable

    from tui_lookups.explorer import Explorer
    from tui_lookups.ids import HeadId, NeuronId
    from tui_lookups.results import (
        AblatedPrompt,
        AblationMethod,
        AblationPositions,
        SelectedAblation,
    )

_BAR = 24
_NEXT_METHOD: dict[AblationMethod, AblationMethod] = {"zero": "mean", "mean": "resample", "resample": "zero"}
_WHAT: dict[AblationMethod, str] = {
    "zero": "its output set to zero",
    "mean": "its output set to its mean over the corpus",
    "resample": "its output taken from another prompt",
}
_WHERE: dict[AblationPositions, str] = {"peak": "at the peak", "all": "at all positions"}


class AblatedRows(RowList):
    """One row a prompt: the direct attribution, and the activation and probability before and after."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._prompts: tuple[AblatedPrompt, ...] = ()

    def show_prompts(self, prompts: tuple[AblatedPrompt, ...]) -> None:
        """Show these prompts."""
        self._prompts = prompts
        self.rows_changed()

    def row_count(self) -> int:
        return len(self._prompts)

    def heading(self, width: int) -> list[Segment]:
        text = "rank   direct  before   after    total  p before p after  token"
        return [Segment(fit(text, width), self.palette.heading)]

    def row(self, index: int, width: int) -> list[Segment]:
        palette, prompt = self.palette, self._prompts[index]
        top = max(abs(p.activation_change) for p in self._prompts)
        active = "*" if prompt.active else " "
        rank = "text" if prompt.rank is None else prompt.rank
        left = f"{rank:>4}{active} {prompt.attribution:+7.2f} {prompt.activation_before:7.2f} "
        after = f"{prompt.activation_after:7.2f}  "
        change = f"{prompt.activation_change:+7.2f}"
        shade = palette.shade(level(prompt.activation_change, top))
        right = f"   {prompt.probability_before:7.2%} {prompt.probability_after:7.2%}  "
        used = sum(map(len, (left, after, change, right)))
        return [
            Segment(left, palette.plain),
            Segment(after, palette.plain),
            Segment(change, palette.plain + shade),
            Segment(right, palette.plain),
            Segment(fit(visible_token(prompt.token.text), max(0, width - used)), palette.strong),
        ]


class AblationScreen(QueryDialog[HeadAblation]):
    """Returns the last ablation that was worked out; escape stops the one under way."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "method", "method", id="ablation.method", tooltip="Zero, mean, resample"),
        Binding("p", "positions", "positions", id="ablation.positions", tooltip="At the peak, or everywhere"),
        Binding("space", "mark", "mark", id="ablation.mark", tooltip="Mark the ablation, for an export"),
        Binding("escape,q,d", "close", "close", id="ablation.close", tooltip="Stop it and go back"),
    ]

    def __init__(
        self,
        explorer: Explorer,
        neuron: NeuronId,
        head: HeadId,
        trimmed: bool | None,
        method: AblationMethod,
        positions: AblationPositions | None,
        selection: Selection,
        toggle: Callable[[SelectedAblation], Selection],
        *,
        text: str | None = None,
    ) -> None:
        """It begins with `method` at `positions` (None: as the preset has it). `selection` is the basket, in
        which `toggle` puts an ablation, or takes it out: of the neuron's prompts, not of a `text`.
        """
        super().__init__(explorer)
        self._neuron, self._head, self._trimmed = neuron, head, trimmed
        self._method: AblationMethod = method
        self._positions: AblationPositions | None = positions
        self._selection, self._toggle, self._text = selection, toggle, text
        self.ablation: HeadAblation | None = None
        self._shown: HeadAblation | None = None
        """The one on screen; None while another is worked out."""

    @classmethod
    def on_text(cls, explorer: Explorer, neuron: NeuronId, head: HeadId, text: str) -> AblationScreen:
        """Of a text given by hand, which no basket holds."""
        nothing = Selection()
        return cls(explorer, neuron, head, None, "zero", None, nothing, lambda _: nothing, text=text)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog -list") as dialog:
            dialog.border_title = f"{self._neuron} without {self._head}: the total effect"
            keys = ("method", "positions", *(("mark",) if self._text is None else ()), "close")
            shown = (f"{key_of(self.app, f'ablation.{name}')} {name}" for name in keys)
            dialog.border_subtitle = Content("   ".join(shown))
            yield Paragraphs(id="summary")
            yield AblatedRows(id="ablated")

    def on_mount(self) -> None:
        self._ask()

    def _ask(self) -> None:
        method, positions, self._shown = self._method, self._positions, None
        self.query_one(AblatedRows).show_prompts(())
        self.query_one(AblatedRows).show_empty("")
        self.queries.ask(
            "ablate",
            lambda: self.explorer.ablate(
                self._neuron,
                self._head,
                method=method,
                positions=positions,
                trimmed=self._trimmed,
                text=self._text,
            ),
            self._done,
            self._failed,
            f"{self._neuron} without {self._head}",
        )
        self.wait_for("ablate", self._show_wait)

    def _show_wait(self, far: str) -> None:
        """What is being worked out, how far it is, and the key that stops it."""
        method, positions = self._method, self._positions
        where = "" if positions is None else f", {_WHERE[positions]}"
        self._show(
            Paragraph(f"{method}: {_WHAT[method]}{where}", "strong"),
            Paragraph(
                f"{far or 'running the prompts without it'}… {key_of(self.app, 'ablation.close')} stops",
                "dim",
            ),
        )

    def _show(self, *paragraphs: Paragraph) -> None:
        self.query_one(Paragraphs).show_paragraphs(paragraphs)

    def _done(self, ablation: HeadAblation) -> None:
        self.ablation = self._shown = ablation
        self._positions = ablation.positions
        self._show_ablation(ablation)
        self.query_one(AblatedRows).show_prompts(ablation.prompts)

    def _show_ablation(self, ablation: HeadAblation) -> None:
        on_text = self._text is not None
        text = "this text" if on_text else texts_of(ablation.context)
        marked = " [marked]" if not on_text and ablation.marked in self._selection.ablations else ""
        bar_width = 0 if palette_of(self.app).few_bytes else _BAR
        self._show(
            Paragraph(
                f"{ablation.method}: {_WHAT[ablation.method]}, {_WHERE[ablation.positions]}, {text}{marked}",
                "strong",
            ),
            *before_and_after(ablation, bar_width),
            *(() if on_text else ablation_paragraphs(ablation)),
            Paragraph("direct: by itself; total: with all that follows; * active", "dim"),
        )

    def _failed(self, error: BaseException) -> None:
        message, hint = explain_error(error)
        self._show(Paragraph(visible(message), "error"), Paragraph(visible(hint), "dim"))

    def action_mark(self) -> None:
        """The one that is shown; while there is none, there is nothing to mark."""
        if self._shown is not None and self._text is None:
            self._selection = self._toggle(self._shown.marked)
            self._show_ablation(self._shown)

    def action_method(self) -> None:
        method = _NEXT_METHOD[self._method]
        self._method = "zero" if self._text is not None and method == "resample" else method
        self._ask()

    def action_positions(self) -> None:
        self._positions = "all" if self._positions in (None, "peak") else "peak"
        self._ask()

    def action_close(self) -> None:
        self.dismiss(self.ablation)
