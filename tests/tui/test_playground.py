"""The playground, by keyboard: what is typed, pinned, fires nothing, and the heads of a text."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.tui.canned import MODEL, CannedExplorer
from tests.tui.driving import FEW_SIZES, SMALL, hints, press, rest, running, settle, type_text, until
from tests.tui.head_words import asked
from tests.tui.views import texts
from tui_lookups.answering.peak_inputs import input_of_text
from tui_lookups.errors import LookupsError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import SignSetting
from tui_lookups.results.firing import firing_sign
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.paint.shading import LEVELS
from tui_lookups.tui.screens.ablation import AblatedRows, AblationScreen
from tui_lookups.tui.screens.playground import PlaygroundScreen, TextHeads
from tui_lookups.tui.state.options import Options
from tui_lookups.tui.widgets.head_detail import HeadDetail
from tui_lookups.tui.widgets.hints import Hints
from tui_lookups.tui.widgets.text import TextLines
from tui_lookups.tui.widgets.variant_list import VariantList


async def type_and_wait(explorer: CannedExplorer, pilot: Pilot[None], text: str) -> None:
    """Type, until what the line then holds was asked about."""
    await type_text(pilot, text)
    typed = pilot.app.screen.query_one("#text", Input).value
    await until(lambda: asked(explorer, "activations")[-1:] == [typed], pilot)


@pytest.mark.parametrize(
    ("gated", "sign", "values", "marked"),
    [
        (False, "auto", (9.0, 0.2, -0.5), "peak 0.20 at 1"),
        (True, "auto", (9.0, 0.2, -0.5), "peak -0.50 at 2"),
        (True, "auto", (9.0, 0.5, -0.2), "peak 0.50 at 1"),
        (True, "+", (9.0, 0.2, -0.5), "peak 0.20 at 1"),
        (False, "-", (-9.0, 0.2, -0.5), "peak -0.50 at 2"),
    ],
)
async def test_the_peak_that_is_marked_is_the_one_heads_are_asked_for(
    gated: bool, sign: SignSetting, values: tuple[float, ...], marked: str
) -> None:
    explorer = CannedExplorer(model=replace(MODEL, gated=gated))
    found = replace(explorer.activations(NeuronId(5, 371), "a b"), activations=values)
    explorer.activations = lambda neuron, text: found  # type: ignore[method-assign]
    app = LookupsApp(explorer, options=Options(sign=sign))
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        await press(pilot, "P")
        await type_text(pilot, "a b")
        await rest(pilot)
        assert marked in " ".join(" ".join(texts(app)).split())
    asked = input_of_text(values, [0, 1, 2], sign=firing_sign(sign, gated=gated))
    assert marked.endswith(f" at {asked.position}")


async def test_a_text_that_hardly_fires_the_neuron_is_hardly_shaded() -> None:
    explorer = CannedExplorer()
    faint = replace(explorer.activations(NeuronId(5, 371), "a"), activations=(0.0, 0.04))
    explorer.activations = lambda neuron, text: faint  # type: ignore[method-assign]
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "P")
        await type_text(pilot, "a")
        variants = app.screen.query_one(VariantList)
        await until(lambda: variants.variants == (faint,), pilot)

        def shade() -> object:
            line = variants.render_line(1)
            return next(each.style.bgcolor for each in line if each.style and each.text.strip() == "a")

        strongest = app.palette.shade(LEVELS).bgcolor
        assert shade() != strongest
        variants.show_variants(faint, ())
        assert shade() == strongest, "with nothing to compare with"


async def test_a_text_that_does_not_fire_the_neuron_says_so_and_its_heads_stay_pale() -> None:
    explorer = CannedExplorer()
    silent = replace(explorer.activations(NeuronId(5, 371), "a b"), activations=(0.0, -0.001, -0.1))
    explorer.activations = lambda neuron, text: silent  # type: ignore[method-assign]
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "P")
        await type_text(pilot, "a b")
        await press(pilot, "enter")
        await rest(pilot)
        shown = " ".join(" ".join(texts(app)).split())
        assert "This text does not fire L5.N371: peak 0.00, maximum in the corpus 4.31" in shown
        assert "+++ from 3.23" in shown
        assert "* active" in shown
        assert not any("+++" in text for text in texts(app) if text.startswith("L"))
        read = "".join(segment.text for segment in app.screen.query_one(HeadDetail).row(0, 40))
        assert not [strong for strong in ("+++", "---") if strong in read], "nor do the tokens shine"
        del explorer.activations
        await press(pilot, "shift+tab", "shift+tab")
        await type_and_wait(explorer, pilot, " so so")
        assert "does not fire" not in " ".join(texts(app))


async def test_what_is_typed_in_a_playground_that_is_opened_again_replaces_the_text() -> None:
    explorer = CannedExplorer()
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "P")
        await type_and_wait(explorer, pilot, "not so")
        await press(pilot, "escape", "P")
        assert app.screen.query_one("#text", Input).value == "not so"
        await type_text(pilot, "but")
        assert app.screen.query_one("#text", Input).value == "but"


@FEW_SIZES
async def test_the_playground_follows_what_is_typed(size: tuple[int, int]) -> None:
    explorer = CannedExplorer()
    async with running(explorer, size) as (app, pilot):
        await press(pilot, "P")
        screen = app.screen
        assert isinstance(screen, PlaygroundScreen)
        await type_and_wait(explorer, pilot, "not so")
        assert len(asked(explorer, "activations")) < len("not so"), "not a question for every key"
        variants = screen.query_one(VariantList)
        assert [token.text for token in variants.variants[0].tokens][1:] == ["not", " so"]

        await press(pilot, "ctrl+n")
        await type_and_wait(explorer, pilot, " but")
        assert [v.text for v in variants.variants] == ["not so but", "not so"]
        await press(pilot, "ctrl+n", "ctrl+n")
        assert "pinned already" in hints(app)

        await press(pilot, "enter")
        grid = screen.query_one(TextHeads)
        assert app.focused is grid
        assert screen.heads is not None
        assert screen.heads.context == "text"
        assert grid.head == HeadId(3, 2)
        assert screen.query_one(HeadDetail).source is not None
        assert "explain" not in hints(app), "what needs a prompt of the corpus is not offered"
        await press(pilot, "e", "a", "left")
        await rest(pilot)
        assert app.screen is screen
        assert ("heads", (NeuronId(5, 371), None, HeadId(3, 1), None)) in explorer.calls

        await press(pilot, "escape")
        assert app.screen is app.walk_screen
        await press(pilot, "P")
        assert isinstance(app.screen, PlaygroundScreen)
        assert app.screen.text == "not so but"
        assert len(app.screen.pinned) == 2


async def test_enter_before_the_figures_came_waits_for_them() -> None:
    async with running(CannedExplorer()) as (app, pilot):
        await press(pilot, "P")
        await type_text(pilot, "not")
        await press(pilot, "enter")
        assert isinstance(app.screen, PlaygroundScreen)
        assert app.screen.heads is not None


async def test_the_playground_needs_a_neuron_and_says_errors() -> None:
    explorer = CannedExplorer()
    explorer.fail["first_view"] = LookupsError("No.", "")
    async with running(explorer) as (app, pilot):
        await press(pilot, "P")
        assert "Open a neuron first" in hints(app)
    explorer = CannedExplorer()
    explorer.fail["activations"] = LookupsError("The text is [too] long.", "Cut it.")
    async with running(explorer) as (app, pilot):
        await press(pilot, "P")
        await type_and_wait(explorer, pilot, "x")
        assert app.screen.query_one(VariantList).empty == "The text is [too] long.\nCut it."


async def test_keys_that_do_not_apply_in_the_playground_say_why() -> None:
    explorer = CannedExplorer()
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "P")
        await type_and_wait(explorer, pilot, "not")
        await press(pilot, "enter")
        screen = app.screen
        shown = hints(app)
        assert "ablate" in shown
        assert not [word for word in ("explain", "score", "trim") if word in shown]
        for key, why in (
            ("e", "Explanations are about the neuron's prompts: esc goes back to them."),
            ("s", "Explanations are about"),
            ("E", "Explanations are about"),
            ("W", "Explanations are about"),
            ("a", "the mean over all prompts is on the main screen"),
            ("c", "always attributed as a whole"),
            ("g", "Both directions are read at once here"),
        ):
            screen.query_one(Hints).show_message("")
            await press(pilot, key)
            assert app.screen is screen
            assert hints(app).startswith(why) or why in hints(app), key
            assert len(hints(app)) < SMALL[0], "the whole sentence is seen"
        await press(pilot, "tab")
        assert app.focused is screen.query_one(HeadDetail)
        await press(pilot, "a", "E")
        assert "Explanations are about" in hints(app)


async def test_the_playground_says_what_is_expected_after_the_token_under_the_cursor() -> None:
    explorer = CannedExplorer()
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "P")
        await type_and_wait(explorer, pilot, "not so but")
        line = app.screen.query_one("#playground-next", TextLines)
        await until(lambda: "after 3 ␣but: then" in line.text, pilot)
        assert asked(explorer, "predictions") == [("not so but", 3)]
        await press(pilot, "down", "left", "h")
        await until(lambda: "after 1 not: then" in line.text, pilot)
        assert len(asked(explorer, "predictions")) == 1, "a stretch of positions is answered at once"
        await press(pilot, "home")
        assert "after 0" in line.text
        await press(pilot, "end", "l")
        assert "after 3" in line.text


async def test_shades_are_of_the_corpus_or_of_the_texts_and_say_which() -> None:
    explorer = CannedExplorer()
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "P", "ctrl+g")
        title = app.screen.query_one("#playground-title", TextLines)
        assert "full colour" not in title.text, "nothing is shaded yet"
        await type_and_wait(explorer, pilot, "not so")
        variants = app.screen.query_one(VariantList)
        await until(lambda: variants.variants, pilot)
        largest = max(abs(value) for value in variants.variants[0].activations)
        variants.by_text = False
        variants.show_variants(variants.variants[0], (), 4.31)
        assert variants.scale_words() == "full colour 4.31, the largest in the corpus"
        await press(pilot, "ctrl+g")
        assert f"full colour {largest:.2f}, the largest in the text" in title.text
        variants.show_variants(variants.variants[0], (), 0.0)
        await press(pilot, "ctrl+g")
        assert "The corpus has no maximum yet" in hints(app)


async def test_two_texts_stand_token_by_token_with_the_difference() -> None:
    explorer = CannedExplorer()
    async with running(explorer, (160, 45)) as (app, pilot):
        await press(pilot, "P", "ctrl+o")
        assert "Pin a text first" in hints(app)
        await type_and_wait(explorer, pilot, "not so but")
        await press(pilot, "ctrl+n")
        await type_and_wait(explorer, pilot, " he")
        await until(lambda: len(app.screen.query_one(VariantList).variants) == 2, pilot)
        await press(pilot, "ctrl+o")
        shown = [" ".join(line.split()) for line in texts(app)]
        at = next(n for n, line in enumerate(shown) if line.startswith("typed against pinned 1"))
        assert shown[at + 1].startswith("typed <|endoftext|> not ␣so ␣but ␣he")
        assert shown[at + 3].startswith("pinned 1 <|endoftext|> not ␣so ␣but ·")
        assert shown[at + 5].split()[:5] == ["change", "+0.00", "+0.00", "+0.00", "+0.00"]
        await press(pilot, "ctrl+o")
        assert not any("against" in line for line in texts(app))


async def test_a_head_is_taken_out_on_the_text() -> None:
    explorer = CannedExplorer()
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "P")
        await type_and_wait(explorer, pilot, "not so")
        await press(pilot, "enter", "d")
        await until(lambda: isinstance(app.screen, AblationScreen), pilot)
        await until(lambda: app.screen.query_one(AblatedRows).row_count(), pilot)
        shown = " ".join(" ".join(texts(app)).split())
        assert "zero: its output set to zero, at the peak, this text" in shown
        assert "KS distance" not in shown
        assert shown.index("with it") < shown.index("without it")
        await press(pilot, "space", "m", "m")
        await settle(pilot)
        assert [call[2] for call in asked(explorer, "ablate")] == ["zero", "mean", "zero"], "none to draw"
        await press(pilot, "escape")
        assert isinstance(app.screen, PlaygroundScreen)
        assert app.selection.ablations == ()
