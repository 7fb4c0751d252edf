"""Atlas, other kinds of prompts, history and the last session, by keyboard."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from typing import Any

import pytest

from tests.tui.canned import BECAUSE, MODEL, CannedExplorer
from tests.tui.driving import FEW_SIZES, SMALL, hints, line, press, rest, running, settle, type_text, until
from tests.tui.views import texts
from tui_lookups.errors import CacheError, LookupsError, NumericalError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import Atlas, SelectedNeuron, Selection, SessionState
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.palette_commands import entries
from tui_lookups.tui.screens.atlas import AtlasRows, AtlasScreen, LayerRows
from tui_lookups.tui.screens.help import HelpScreen
from tui_lookups.tui.widgets.head_detail import HeadDetail
from tui_lookups.tui.widgets.head_grid import HeadGrid
from tui_lookups.tui.widgets.prompt_list import PromptList

# --- atlas ---


@FEW_SIZES
async def test_the_atlas_opens_a_neuron_and_its_token(size: tuple[int, int]) -> None:
    async with running(CannedExplorer(), size) as (app, pilot):
        await press(pilot, "A")
        assert isinstance(app.screen, AtlasScreen)
        assert app.screen.query_one(LayerRows).cursor == 5, "the layer of the open neuron"
        await press(pilot, "home", "down", "down", "enter", "down")
        assert [layer.layer for layer in app.screen.query_one(LayerRows).found] == list(range(6))
        rows = app.screen.query_one(AtlasRows)
        chosen = rows.neurons[1]
        assert chosen.neuron.layer == 2
        await press(pilot, "enter")
        assert app.walk_screen.walk.neuron == chosen.neuron
        assert app.walk_screen.walk.token == chosen.top_token
        assert app.walk_screen.focused_pane == "prompts"
        await press(pilot, "A")
        assert app.screen.query_one(LayerRows).cursor == 2, "the atlas is as it was left"
        assert app.screen.query_one(AtlasRows).cursor == 1
        await press(pilot, "h")
        assert app.focused is app.screen.query_one(LayerRows)
        await press(pilot, "escape", "left_square_bracket")
        assert app.walk_screen.walk.token == BECAUSE
        assert app.walk_screen.walk.neuron == NeuronId(5, 371)


async def test_escape_leaves_the_walk_as_it_was() -> None:
    async with running(CannedExplorer()) as (app, pilot):
        await press(pilot, "2", "j", "j")
        before = app.walk_screen.places.here()
        await press(pilot, "A", "down", "escape")
        assert app.walk_screen.places.here() == before
        assert app.focused is app.walk_screen.query_one(PromptList)


async def test_the_atlas_can_be_given_up_while_it_is_worked_out() -> None:
    explorer = CannedExplorer(hold=True)
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "A")
        assert "esc stops it" in app.screen.query_one(LayerRows).empty
        await press(pilot, "escape")
        assert app.screen is app.walk_screen
        explorer.release()
        await settle(pilot)
        assert app.screen is app.walk_screen


async def test_an_atlas_that_fails_says_why() -> None:
    explorer = CannedExplorer()
    explorer.fail["atlas"] = NumericalError("NaN in [layer] 3.", "Try --dtype float32.")
    async with running(explorer) as (app, pilot):
        await press(pilot, "A")
        assert app.screen.query_one(AtlasRows).empty == "NaN in [layer] 3.\nTry --dtype float32."


async def test_help_and_the_palette_know_the_atlas() -> None:
    async with running(CannedExplorer()) as (app, pilot):
        assert "Open the atlas of next-token neurons (A)" in {
            entry.title for entry in entries(app, app.screen)
        }
        await press(pilot, "A", "question_mark")
        assert isinstance(app.screen, HelpScreen)
        rows = app.screen.rows()
        assert ("", "Atlas") in rows
        assert any("layer's neurons" in what for _, what in rows)


async def test_the_atlas_says_which_layer_it_reads() -> None:
    explorer = CannedExplorer()
    told, atlas = threading.Event(), explorer.atlas
    explorer.threads = True

    def slowly(**named: Any) -> Atlas:
        made = atlas(**named)
        told.wait(60)
        return made

    explorer.atlas = slowly  # type: ignore[method-assign]
    try:
        async with running(explorer, SMALL) as (app, pilot):
            await press(pilot, "A")
            rows = app.screen.query_one(LayerRows)
            await until(lambda: "Reading layer 2 of 6" in rows.empty, pilot)
            told.set()
            await until(lambda: len(rows.found) == 6, pilot)
    finally:
        told.set()


# --- at the peak, and other kinds of prompts ---


async def test_the_peak_of_the_open_prompt_in_figures() -> None:
    explorer = CannedExplorer()
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "2")
        text = line(app, "#peak-figures")
        assert "logit direct to ␣because (p 41.2%); next ␣because (p 25.0%)" in text
        assert any(row.rstrip().endswith("(p 25.0%)") for row in texts(app)), "all of it fits"
        facts = line(app, "#prompt-facts")
        assert re.search(r"peaks per prompt 0\.0 █\S+ 4\.3  mean 0\.020", facts)
        assert any(row.rstrip().endswith("max 4.31") for row in texts(app)), "all of it fits"
        assert app.walk_screen.walk.prompt_figures is not None
        first = app.walk_screen.walk.prompt_figures.logit_contribution
        assert f"{first:+.2f} logit" in text
        await press(pilot, "j")
        assert f"{first:+.2f} logit" not in line(app, "#peak-figures")


async def test_figures_wait_for_the_scan_and_say_why_there_are_none() -> None:
    explorer = CannedExplorer(scanned=253)
    async with running(explorer) as (app, pilot):
        assert not any(name == "peak_figures" for name, _ in explorer.calls)
        explorer.fail["peak_figures"] = LookupsError("Logits need folded weights.", "")
        explorer.scanned = 506
        app.walk_screen.steps.neurons.poll()
        await settle(pilot)
        assert line(app, "#peak-figures") == "Logits need folded weights."


async def test_kinds_of_prompts_go_round() -> None:
    explorer = CannedExplorer()
    async with running(explorer) as (app, pilot):
        await press(pilot, "2", "K")
        assert app.walk_screen.walk.kind == "random"
        assert "Random prompts of L5.N371" in app.screen.query_one("#prompts-pane").words  # type: ignore[attr-defined]
        assert len(app.screen.query_one(PromptList).prompts) == 17
        assert ("peak_figures", (NeuronId(5, 371), "random")) in explorer.calls
        await press(pilot, "enter")
        assert app.walk_screen.walk.heads is not None
        assert app.walk_screen.walk.heads.prompt_id == app.walk_screen.walk.prompt_id
        await press(pilot, "2", "K", "K")
        assert app.walk_screen.walk.kind == "top"
        assert len(app.screen.query_one(PromptList).prompts) == 20


# --- history and session ---


async def test_back_and_forward_by_keys() -> None:
    async with running(CannedExplorer()) as (app, pilot):
        walk = app.walk_screen.walk
        await press(pilot, "down", "down", "enter", "j", "j")
        second, prompt = walk.neuron, walk.prompt_id
        await press(pilot, "t")
        await type_text(pilot, " time")
        await press(pilot, "enter")
        assert walk.token != BECAUSE
        await press(pilot, "left_square_bracket")
        assert (walk.token, walk.neuron, walk.prompt_id) == (BECAUSE, second, prompt)
        assert "␣because" in line(app, "#token-facts")
        await press(pilot, "backspace")
        assert walk.neuron == NeuronId(5, 371)
        await press(pilot, "left_square_bracket")
        assert "where the walk began" in hints(app)
        await press(pilot, "right_square_bracket")
        assert (walk.neuron, walk.prompt_id) == (second, prompt), "the prompt is as it was left"
        assert app.screen.query_one(PromptList).current is not None
        assert app.screen.query_one(PromptList).current.prompt_id == prompt  # type: ignore[union-attr]


async def test_the_path_is_on_the_token_line() -> None:
    async with running(CannedExplorer(), SMALL) as (app, pilot):
        await press(pilot, "3")
        assert "› L5.N371 › prompt 1 › L3.H2" in line(app, "#token-facts")


async def test_a_session_comes_back() -> None:
    explorer = CannedExplorer()
    async with running(explorer) as (app, pilot):
        assert app.walk_screen.session.state() is None, "nothing was done that is worth keeping"
        await press(pilot, "down", "down", "enter", "j", "space", "enter")
        await rest(pilot)
        saved = app.walk_screen.session.state()
        assert saved is not None
        assert app.walk_screen.session.save() == ""
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "R")
        await settle(pilot)
        assert app.walk_screen.session.state() == saved
        assert app.selection == saved.basket
        assert app.screen.query_one(PromptList).current.prompt_id == saved.prompt_id  # type: ignore[union-attr]
        await press(pilot, "left_square_bracket")
        assert app.walk_screen.walk.neuron == NeuronId(5, 371)


async def test_the_last_session_is_offered_once_unless_the_person_has_gone_somewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    explorer = CannedExplorer()
    marked = Selection((SelectedNeuron(NeuronId(2, 2), None),))
    explorer.session = SessionState(None, NeuronId(2, 2), None, None, marked)
    offer = "R goes back to your last session at L2.N2, 1 marked."
    async with running(explorer, SMALL) as (app, pilot):
        await until(lambda: hints(app) == offer, pilot)
    monkeypatch.setattr("tui_lookups.tui.app._PAINTED_SECONDS", 3600.0)  # not before the keys
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "down", "enter")
        app.begin_loading()
        await rest(pilot)
        assert explorer.started == 2
        assert hints(app) != offer


async def test_a_session_that_is_not_there_or_damaged_is_said() -> None:
    explorer = CannedExplorer()
    async with running(explorer) as (app, pilot):
        await press(pilot, "R")
        assert "No session" in hints(app)
        explorer.fail["load_session"] = LookupsError("The saved session is damaged.", "It is ignored.")
        await press(pilot, "R")
        assert hints(app) == "The saved session is damaged. It is ignored."


async def test_a_session_that_cannot_be_saved_is_told() -> None:
    explorer = CannedExplorer()
    explorer.fail["save_session"] = CacheError("The disk is full.", "Make room.")
    async with running(explorer) as (app, pilot):
        await press(pilot, "space")
        assert app.walk_screen.session.save() == "The disk is full. Make room."


async def test_a_session_whose_prompt_is_gone_opens_the_first() -> None:
    explorer = CannedExplorer()
    marked = Selection((SelectedNeuron(NeuronId(2, 2), None),))
    explorer.session = SessionState(BECAUSE, NeuronId(2, 2), 99_999, HeadId(1, 1), marked)
    app = LookupsApp(explorer, theme="lookups-dark")
    async with app.run_test(size=SMALL) as pilot:
        await settle(pilot)
        await press(pilot, "R")
        assert app.walk_screen.walk.neuron == NeuronId(2, 2)
        assert app.walk_screen.walk.prompt_id == 1000
        assert app.walk_screen.walk.wanted_prompt is None


# --- a typed head ---


@FEW_SIZES
async def test_a_typed_head_is_shown_on_the_open_prompt(size: tuple[int, int]) -> None:
    async with running(CannedExplorer(), size) as (app, pilot):
        walk = app.walk_screen.walk
        await press(pilot, "2", "j")
        prompt = walk.prompt_id
        await press(pilot, "t")
        await type_text(pilot, "L4.H4")
        await press(pilot, "down", "enter")  # the first row is what it serves
        await rest(pilot)
        assert (walk.neuron, walk.prompt_id, walk.head) == (NeuronId(5, 371), prompt, HeadId(4, 4))
        assert app.focused is app.walk_screen.query_one(HeadDetail)
        assert walk.sources is not None
        assert walk.sources.source_head == HeadId(4, 4)
        assert app.walk_screen.query_one(HeadGrid).head == HeadId(4, 4)


async def test_a_typed_head_that_cannot_be_shown_says_why() -> None:
    explorer = CannedExplorer()
    explorer.fail["first_view"] = LookupsError("No.", "")
    async with running(explorer, SMALL) as (app, pilot):
        for typed, why in (
            ("L4.H4", "Open a neuron first"),
            ("5.371", ""),
            ("1.17", ""),
            ("L4.H4", "L4.H4 does not reach L1.N17"),
        ):
            await press(pilot, "t")
            await type_text(pilot, typed)
            await press(pilot, *["down"] * ("H" in typed), "enter")
            assert hints(app).startswith(why) if why else app.walk_screen.walk.neuron is not None
        assert app.walk_screen.walk.neuron == NeuronId(1, 17)
        assert app.walk_screen.focused_pane == "prompts"


async def test_a_typed_head_beside_the_mlp_is_said_to_be_there() -> None:
    async with running(CannedExplorer(model=replace(MODEL, own_layer=False)), SMALL) as (app, pilot):
        await press(pilot, "t")
        await type_text(pilot, "L5.H1")
        await press(pilot, "down", "enter")
        assert hints(app).startswith("L5.H1 does not reach L5.N371: in this model attention runs beside")
