"""Any text in any widget: no exception, no control character, every line as wide as its widget.

One app holds one of each widget that shows text from outside; hypothesis fills them over and over, at
several widths, and every line of each is painted and measured. Texts are drawn from all of Unicode with what
breaks terminals drawn often: control characters and whole escape sequences, marks, bidi controls, joined
emoji, wide characters, markup.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.segment import Segment
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.strip import Strip
from textual.widget import Widget

from tests.tui.canned import CORPUS, HOSTILE, MODEL, CannedExplorer
from tests.tui.test_hostile import BAD, make_prompt
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import (
    AtlasNeuron,
    Explained,
    NeuronScore,
    SelectedNeuron,
    Selection,
    SourceToken,
    Status,
    Token,
)
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.paint.head_rows import Cell
from tui_lookups.tui.paint.shading import ansi_palette, words_palette
from tui_lookups.tui.screens.ablation import AblatedRows
from tui_lookups.tui.screens.atlas import AtlasRows
from tui_lookups.tui.screens.basket import BasketRows
from tui_lookups.tui.screens.explained import ExplainedRows
from tui_lookups.tui.screens.head_run import HeadRunRows
from tui_lookups.tui.state.candidates import Candidate, Candidates
from tui_lookups.tui.state.head_run import HeadRun
from tui_lookups.tui.state.queries import Queries
from tui_lookups.tui.text.explanation import Paragraph, explained_paragraphs
from tui_lookups.tui.text.prompt_facts import peak_line, predictions_line, token_line
from tui_lookups.tui.widgets.head_detail import HeadDetail
from tui_lookups.tui.widgets.head_grid import HeadGrid
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.neurons_table import NeuronsTable
from tui_lookups.tui.widgets.paragraphs import WORD_KEYS, Paragraphs
from tui_lookups.tui.widgets.prompt_list import PromptList
from tui_lookups.tui.widgets.status_line import StatusLine
from tui_lookups.tui.widgets.text import PackedText, TextLines, WrappedText
from tui_lookups.tui.widgets.token_box import CandidateList
from tui_lookups.tui.widgets.typed_line import TypedLine
from tui_lookups.tui.widgets.variant_list import VariantList
from tui_lookups.visible import visible, visible_token

NEURON, HEAD = NeuronId(5, 371), HeadId(3, 2)
NASTY = (
    *HOSTILE,
    "\x1b[2J\x1b[H",
    "\x1b]0;title\x07",
    "\x1bP1;2q\x1b\\",
    "\x1b_Gf=24;AAAA\x1b\\",
    "\x9d52;c;aGk=\x9c",
    "\x08\x08",
    "\x7f",
    "\u0085",
    "👨‍👩‍👧‍👦",
    "1️⃣",
    "\U0001f3fb",
    "ﷺ",
    "مرحبا",
    "กำ",
    "\u1161\u11a8",
    "각",
    "\u2066x\u2069",
    "\U000e0041",
    "[link=https://x]",
    "[/]",
    "{x!r}",
    "\\[",
    "x" * 400,
)
TEXT = st.sampled_from(NASTY) | st.text(st.characters(exclude_categories=()), max_size=12)
TEXTS = st.lists(TEXT, min_size=1, max_size=12)


class OneOfEach(App[None]):
    """Every widget that shows text, each eight lines high and a part of the width."""

    CSS = """
    Screen { layout: grid; grid-size: 4; grid-rows: 8; }
    Screen > * { height: 8; max-height: 8; min-height: 8; display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*WORD_KEYS]
    palette = ansi_palette()
    binding_of = LookupsApp.binding_of

    def __init__(self) -> None:
        super().__init__()
        self.canned = CannedExplorer()
        self.run_of_heads = HeadRun(self.canned, Queries(self.canned, self.post_message), str, str)  # type: ignore[arg-type]

    def compose(self) -> ComposeResult:
        yield NeuronsTable(id="neurons")
        yield PromptList(id="prompts")
        yield HeadDetail(id="detail")
        yield HeadGrid(id="heads")
        yield VariantList(id="variants")
        yield CandidateList(id="candidates")
        yield AtlasRows(id="atlas")
        yield AblatedRows(id="ablated")
        yield BasketRows(Selection(), id="basket")
        yield ExplainedRows(id="explained")
        yield HeadRunRows(self.run_of_heads, id="run")
        yield StatusLine(id="status")
        yield Hints(id="hints")
        yield TextLines(id="lines")
        yield PackedText(id="packed", bold_first=True)
        yield WrappedText(id="wrapped")
        yield Paragraphs(id="paragraphs")
        yield TypedLine(id="typed", compact=True)

    def fill(self, texts: list[str]) -> None:
        """Put the texts into every widget, as the app's screens do."""
        tokens = [Token(n, text) for n, text in enumerate(texts)]
        values = [4.0 - 0.7 * n for n in range(len(texts))]
        first = make_prompt(texts, len(texts) // 2, values)
        whole = "".join(texts)
        get: Callable[[Any], Any] = self.query_one
        scores = [NeuronScore(NeuronId(5, n), 5, n, 9.0 - n, 0.5, n, t, 9.0) for n, t in enumerate(tokens)]
        get(NeuronsTable).show_neurons(tuple(scores), tokens[0])
        get(PromptList).show_prompts(
            NeuronId(1, len(whole) % 7), (first, replace(first, rank=2, prompt_id=8))
        )
        get(HeadDetail).show_sources(tuple(SourceToken(n, t, values[n]) for n, t in enumerate(tokens)))
        get(HeadGrid).show_heads(0, 0, {})
        get(HeadGrid).show_empty(visible(whole))
        if len(texts) % 2:
            get(HeadGrid).show_heads(
                6, 6, {HeadId(n % 6, n // 6): Cell(v, n % 2 > 0) for n, v in enumerate(values)}
            )
        given = self.canned.activations(NEURON, "a")
        variant = replace(given, tokens=tuple(tokens), activations=tuple(values))
        get(VariantList).show_variants(variant, (given, variant))
        rows = [Candidate(token, None, "begins so") for token in tokens]
        get(CandidateList).show(Candidates(whole, tuple(rows), 0, whole))
        get("#atlas").show_neurons(tuple(AtlasNeuron(NEURON, t, 1.0) for t in tokens), 0)
        ablation = self.canned.ablate(NEURON, HEAD)
        get(AblatedRows).show_prompts(tuple(replace(ablation.prompts[0], token=t) for t in tokens))
        get(BasketRows).take(Selection(tuple(SelectedNeuron(NeuronId(1, t.id), t) for t in tokens)))
        about = self.canned.explaining._explanation(NEURON, HEAD, whole, cached=False)
        about = replace(about, model=whole, endpoint=whole)
        about = replace(about, provenance=replace(about.provenance, model=replace(MODEL, name=whole)))
        get(ExplainedRows).show_explained((Explained(about, None),))
        self.canned.explaining.kept = [Explained(about, None)]
        self.run_of_heads.table = self.canned.head_scores.so_far(NEURON)
        get(HeadRunRows).show_heads(self.run_of_heads.table.heads)
        self._fill_lines(texts, tokens, whole, Explained(about, None))

    def _fill_lines(self, texts: list[str], tokens: list[Token], whole: str, about: Explained) -> None:
        get: Callable[[Any], Any] = self.query_one
        model, corpus = replace(MODEL, name=whole, family=texts[-1]), replace(CORPUS, name=texts[0])
        stage = "ready" if len(texts) % 2 else "loading"
        get(StatusLine).show_status(Status(stage, whole, texts[0], "float32", model, corpus, None))  # type: ignore[arg-type]
        get(Hints).show_message(whole)
        odds = self.canned.predictions(7, 0).positions[0]
        odds = replace(
            odds,
            next_token=tokens[0],
            top=tuple(replace(p, token=tokens[-1]) for p in odds.top),
        )
        figures = replace(self.canned.peak_figures(NEURON).prompts[0], token=tokens[0], next_token=tokens[-1])
        promoted = [replace(self.canned.tokens(NEURON).tokens[0], text=text) for text in texts]
        get(TextLines).show_lines(
            token_line("promotes ", tuple(promoted)),
            predictions_line(odds),
            peak_line(figures),
            (Segment(visible_token(whole)),),
        )
        get(PackedText).show_parts(tuple(visible(text) for text in texts))
        get(WrappedText).show_text(visible(whole))
        get(Paragraphs).show_paragraphs((Paragraph(visible(whole), "strong"), *explained_paragraphs(about)))
        get(TypedLine).value = whole

    def check(self) -> int:
        """Paint every line of every widget; how many there were."""
        lines = 0
        for widget in self.screen.query("*").results(Widget):
            if widget.size.height and not widget.children:
                for y in range(widget.size.height):
                    measure(widget, widget.render_line(y))
                    lines += 1
        return lines


def measure(widget: Widget, strip: Strip) -> None:
    """Raises AssertionError for a line of another width, or one with a control character."""
    text = "".join(segment.text for segment in strip)
    assert not {unicodedata.category(c) for c in text} & BAD, (widget, text)
    assert strip.cell_length == cell_len(text), (widget, text)
    assert strip.cell_length in (widget.size.width, widget.scrollable_content_region.width), (widget, text)


@pytest.mark.parametrize(("width", "plain"), [(240, False), (100, True), (41, False)])
async def test_any_text_is_painted_harmlessly(width: int, plain: bool) -> None:
    app = OneOfEach()
    app.palette = words_palette() if plain else ansi_palette()
    async with app.run_test(size=(width, 60)) as pilot:
        await pilot.pause()

        @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(TEXTS)
        def every_widget(texts: list[str]) -> None:
            app.fill(texts)
            assert app.check() > 100

        every_widget()
        for place in range(0, len(NASTY), 6):  # once more as the layout is once it has followed
            app.fill(list(NASTY[place : place + 6]))
            await pilot.pause()
            app.check()


async def test_a_line_that_is_typed_on_keeps_what_it_holds() -> None:
    app = OneOfEach()
    async with app.run_test(size=(100, 60)) as pilot:
        line = app.query_one(TypedLine)
        line.value = "a\x1b[31mb"
        await pilot.pause()
        assert line.value == "a\x1b[31mb", "the value is exact: it is looked up in the vocabulary"
        assert "".join(s.text for s in line.render_line(0)).startswith("a␛[31mb")
