"""Whatever the corpus holds: every painted line is as wide as its widget and carries no control character."""

from __future__ import annotations

import random
import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widget import Widget

from tests.tui.canned import BECAUSE, HOSTILE, CannedExplorer
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import NeuronScore, Peak, Prompt, SourceToken, Token, Trim
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.paint.prompt_lines import Look, heading, one_line, texts_of
from tui_lookups.tui.paint.shading import ansi_palette
from tui_lookups.tui.widgets.head_detail import HeadDetail
from tui_lookups.tui.widgets.neurons_table import NeuronsTable
from tui_lookups.tui.widgets.paragraphs import Paragraphs
from tui_lookups.tui.widgets.prompt_list import PromptList
from tui_lookups.tui.widgets.row_list import RowList
from tui_lookups.tui.widgets.text import PackedText, TextLines, WrappedText
from tui_lookups.tui.widgets.variant_list import VariantList

BAD = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
TEXT = st.text(st.characters(exclude_categories=()), max_size=10) | st.sampled_from(HOSTILE)
NEURON = NeuronId(5, 371)


def check_strip(strip: Any, width: int) -> None:
    text = "".join(segment.text for segment in strip)
    assert cell_len(text) == strip.cell_length
    assert strip.cell_length == width, repr(text)
    assert not {unicodedata.category(c) for c in text} & BAD, repr(text)


def check_widgets(screen: Screen[Any]) -> int:
    """Every line of every line-painting widget on screen."""
    lines = 0
    for widget in screen.query("*"):
        if isinstance(widget, RowList | PromptList | VariantList) and widget.display and widget.size.height:
            for y in range(widget.size.height):
                check_strip(widget.render_line(y), widget.scrollable_content_region.width)
                lines += 1
        elif isinstance(widget, TextLines | WrappedText | PackedText | Paragraphs) and widget.size.height:
            for y in range(widget.size.height):
                check_strip(widget.render_line(y), widget.size.width)
                lines += 1
    return lines


def make_prompt(texts: list[str], peak: int, values: list[float]) -> Prompt:
    tokens = tuple(Token(n, text) for n, text in enumerate(texts))
    following = tokens[peak + 1] if peak + 1 < len(tokens) else None
    return Prompt(
        1,
        7,
        1,
        tokens,
        tuple(values),
        Peak(peak, tokens[peak], values[peak], following),
        Trim(peak // 2, values[peak], peak > 1, texts[0]),
    )


@given(st.lists(TEXT, min_size=1, max_size=20), st.integers(20, 150), st.data())
def test_prompt_lines_have_their_width(texts: list[str], width: int, data: st.DataObject) -> None:
    peak = data.draw(st.integers(0, len(texts) - 1))
    values = data.draw(st.lists(st.floats(-5, 5), min_size=len(texts), max_size=len(texts)))
    prompt = make_prompt(texts, peak, values)
    look = Look(ansi_palette(), 5.0)
    for segments in (one_line(prompt, texts_of(prompt), width, look), heading(prompt, width, look)):
        text = "".join(segment.text for segment in segments)
        assert cell_len(text) == width
        assert not {unicodedata.category(c) for c in text} & BAD


class Shell(App[None]):
    """One of each list, with the palette the app would give."""

    palette = ansi_palette()

    def compose(self) -> ComposeResult:
        yield NeuronsTable(id="neurons")
        yield PromptList(id="prompts")
        yield HeadDetail(id="detail")


async def test_lists_of_hostile_tokens_paint_within_their_width() -> None:
    chance = random.Random(7)
    async with Shell().run_test(size=(73, 40)) as pilot:
        table, prompts, detail = (
            pilot.app.query_one(kind) for kind in (NeuronsTable, PromptList, HeadDetail)
        )
        for _ in range(30):
            texts = [
                chance.choice([*HOSTILE, " word", "漢字", "x" * 90]) for _ in range(chance.randint(1, 40))
            ]
            values = [chance.uniform(-1, 4) for _ in texts]
            peak = chance.randrange(len(texts))
            first = make_prompt(texts, peak, values)
            tokens = [Token(n, text) for n, text in enumerate(texts)]
            scores = [NeuronScore(NEURON, 5, n, 9.0 - n, 0.5, n, t, 9.0) for n, t in enumerate(tokens)]
            table.show_neurons(tuple(scores), BECAUSE)
            prompts.show_prompts(
                NeuronId(1, chance.randrange(9)), (first, replace(first, rank=2, prompt_id=8))
            )
            detail.show_sources(tuple(SourceToken(n, t, values[n]) for n, t in enumerate(tokens)))
            prompts.focus()
            if chance.random() < 0.3:
                prompts.action_more()
            await pilot.pause()
            assert check_widgets(pilot.app.screen) > 20


THEMES = ("lookups-dark", "lookups-light", "ansi-dark")


async def check_in(themes: tuple[str, ...], app: LookupsApp, pilot: Pilot[None], lines: int) -> None:
    for theme in themes:
        if app.theme != theme:
            app.theme = theme
            await pilot.pause()
        assert check_widgets(app.screen) > lines, theme


@pytest.mark.parametrize(("size", "themes"), [((80, 24), THEMES), ((160, 45), THEMES[:1])])
async def test_the_app_paints_hostile_text(size: tuple[int, int], themes: tuple[str, ...]) -> None:
    app = LookupsApp(CannedExplorer(), theme=themes[0])
    async with app.run_test(size=size) as pilot:
        for keys in ((), ("2",), ("z",), ("enter",), ("enter",), ("1", "space", "b")):
            for key in keys:
                await pilot.press(key)
            await pilot.pause()
            await check_in(themes, app, pilot, 3)


@pytest.mark.parametrize(
    ("size", "themes"),
    [
        ((60, 16), THEMES[:1]),
        ((80, 24), THEMES),
        pytest.param((160, 45), THEMES[1:2], marks=pytest.mark.slow),
    ],
)
async def test_the_other_screens_paint_hostile_text(size: tuple[int, int], themes: tuple[str, ...]) -> None:
    explorer = CannedExplorer()
    explorer.explaining.write(NEURON, HeadId(3, 2), " ".join(HOSTILE))
    app = LookupsApp(explorer, theme=themes[0])
    async with app.run_test(size=size) as pilot:
        walks = (
            ("A", "enter", "end"),
            ("escape", "3", "d"),
            ("escape", "e"),
            ("enter",),
            ("s", "enter"),
            ("i",),
        )
        for keys in (*walks, ("i",), ("escape", "P", "x")):
            for key in keys:
                await pilot.press(key)
            await pilot.pause(0.1)
            await check_in(themes, app, pilot, 2)


async def test_texts_of_the_playground_paint_within_their_width() -> None:
    class Small(App[None]):
        palette = ansi_palette()

        def compose(self) -> ComposeResult:
            yield VariantList(id="variants")

    canned = CannedExplorer()
    given = canned.activations(NEURON, "a b")
    tokens = tuple(Token(n, text) for n, text in enumerate([*HOSTILE, "x" * 300]))
    variant = replace(given, tokens=tokens, activations=tuple(0.1 * n for n in range(len(tokens))))
    async with Small().run_test(size=(43, 60)) as pilot:
        shown = pilot.app.query_one(VariantList)
        for width in (43, 8, 2, 100):
            await pilot.resize_terminal(width, 60)
            shown.show_variants(variant, (given, variant))
            await pilot.pause()
            assert check_widgets(pilot.app.screen) > 20


async def test_resizing_at_random_never_breaks_it() -> None:
    chance = random.Random(11)
    app = LookupsApp(CannedExplorer(length=90))
    async with app.run_test(size=(80, 24)) as pilot:
        for _ in range(15):
            width, height = chance.choice(
                [(chance.randint(1, 200), chance.randint(1, 60)), (80, 24), (160, 45)]
            )
            await pilot.resize_terminal(width, height)
            app.screen.focus_next()
            await pilot._wait_for_screen()
            if chance.random() < 0.5:
                await pilot.press(chance.choice(["1", "2", "3", "4", "j", "l", "z", "enter", "escape"]))
            await pilot.pause()
            check_widgets(app.screen)


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(TEXT, min_size=2, max_size=8))
async def test_messages_are_never_markup(texts: list[str]) -> None:
    """What is said on the bottom line and in the notice comes out as it went in."""
    from tui_lookups.tui.widgets.hints import Hints
    from tui_lookups.visible import visible

    class Small(App[None]):
        def compose(self) -> ComposeResult:
            yield WrappedText(id="notice")
            yield Hints(id="hints")

    async with Small().run_test(size=(60, 10)) as pilot:
        for text in texts:
            pilot.app.query_one(WrappedText).show_text(visible(text))
            pilot.app.query_one(Hints).show_message(text)
            await pilot.pause()
            assert pilot.app.query_one(WrappedText).text == visible(text)
            for widget in pilot.app.query(Widget):
                if isinstance(widget, WrappedText | Hints):
                    for y in range(widget.size.height):
                        check_strip(widget.render_line(y), widget.size.width)
