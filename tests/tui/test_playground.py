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
from tui_lookups.tui.screens.playground import PlaygroundScreen, TextHeads
from tui_lookups.tui.state.options import Options
from tui_lookups.tui.widgets.head_detail import HeadDetail
from tui_lookups.tui.widgets.hints import Hints
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
        assert "ablate" not in hints(app), "what needs a prompt of the corpus is not offered"
        await press(pilot, "d", "e", "a", "left")
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
        assert not [word for word in ("ablate", "explain", "score", "trim") if word in shown]
        for key, why in (
            ("d", "Ablation works on the neuron's prompts: esc goes back to them."),
            ("e", "Explanations are about the neuron's prompts: esc goes back to them."),
            ("s", "Explanations are about"),
            ("E", "Explanations are about"),
            ("W", "Explanations are about"),
            ("a", "the mean over all prompts is on the main screen"),
            ("c", "always attributed as a whole"),
            ("g", "Both directions are read at once here"),
        ):
            screen.query_one(Hints).say("")
            await press(pilot, key)
            assert app.screen is screen
            assert hints(app).startswith(why) or why in hints(app), key
            assert len(hints(app)) < SMALL[0], "the whole sentence is seen"
        await press(pilot, "tab")
        assert app.focused is screen.query_one(HeadDetail)
        await press(pilot, "a", "d")
        assert "Ablation works on" in hints(app)
