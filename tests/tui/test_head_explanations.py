"""Ablation, explanations and scores on the chosen head, by keyboard."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from textual.message import Message
from textual.widgets import Input

from tests.tui.canned import MODEL, CannedExplorer
from tests.tui.canned_explanations import TEXT
from tests.tui.driving import FEW_SIZES, LARGE, SMALL, hints, press, rest, running, settle, type_text
from tests.tui.head_words import HEAD, NEURON, asked, dialog, panel
from tests.tui.views import texts
from tui_lookups.errors import LookupsError
from tui_lookups.exports.reading import read_export
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import SelectedAblation, Selection
from tui_lookups.tui.screens.ablation import AblatedRows, AblationScreen
from tui_lookups.tui.screens.basket import describe
from tui_lookups.tui.screens.send import SendScreen
from tui_lookups.tui.screens.write import WriteScreen
from tui_lookups.tui.state import head_explanations
from tui_lookups.tui.state.head_explanations import HeadExplanations
from tui_lookups.tui.state.queries import Answered, Queries
from tui_lookups.tui.widgets.head_grid import HeadGrid
from tui_lookups.tui.widgets.text import PackedText, WrappedText

# --- ablation ---


@FEW_SIZES
async def test_a_head_is_taken_out(size: tuple[int, int]) -> None:
    explorer = CannedExplorer()
    async with running(explorer, size) as (app, pilot):
        await press(pilot, "3", "d")
        assert isinstance(app.screen, AblationScreen)
        assert "total effect" in str(app.screen.query_one(".dialog").border_title)
        text = dialog(app)
        assert "zero: its output set to zero, at the peak" in text
        assert "head active    10 prompts: activation -1.91, p(token) -29.0 points" in text
        assert "head inactive  10 prompts" in text
        assert "KS distance: activation 1.00 (p 1.1e-05)" in text
        assert app.screen.query_one(AblatedRows).row_count() == 20
        await press(pilot, "m")
        assert "mean: its output set to its mean" in dialog(app)
        await press(pilot, "m", "p")
        assert "resample" in dialog(app)
        assert "at all positions" in dialog(app)
        assert asked(explorer, "ablate")[-1] == (NEURON, HEAD, "resample", "all")
        await press(pilot, "escape")
        parts = app.screen.query_one("#head-facts", PackedText).parts
        assert parts[0].endswith("direct")
        assert parts[1:3] == (
            "-2.15 without it, total effect", "(resample ablation at all positions, full window)",
        )  # fmt: skip
        await press(pilot, "d")
        assert "resample" in dialog(app), "the last one is where it goes on"


async def test_an_ablation_is_marked_exported_and_opened_again(tmp_path: Path) -> None:
    explorer = CannedExplorer()
    marked = SelectedAblation(NEURON, HEAD, "mean", "peak", "full")
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "3", "d", "m", "space")
        assert "[marked]" in dialog(app)
        assert app.selection == Selection(ablations=(marked,))
        explorer.held = []
        await press(pilot, "p", "space")
        assert app.selection == Selection(ablations=(marked,)), "nothing is shown that could be marked"
        explorer.release()
        await settle(pilot)
        assert "[marked]" not in dialog(app), "another one"
        await press(pilot, "escape", "x")
        app.screen.query_one("#path", Input).value = path = str(tmp_path / "a.json")
        await press(pilot, "enter")
        assert read_export(Path(path)).selection() == app.selection
        app.selection = Selection()
        await press(pilot, "O")
        app.screen.query_one("#path", Input).value = path
        await press(pilot, "enter")
        assert app.selection == Selection(ablations=(marked,))
        await press(pilot, "1", "b")
        assert describe(marked) == ("ablation", f"{NEURON} without {HEAD}, mean at the peak")
        assert describe(marked)[1] in " ".join(texts(app))
        await press(pilot, "enter")
        await settle(pilot)
        assert isinstance(app.screen, AblationScreen)
        assert "mean: its output set to its mean over the corpus, at the peak" in dialog(app)
        assert "[marked]" in dialog(app)
        await press(pilot, "space")
        assert not len(app.selection)


async def test_an_ablation_under_way_is_stopped_by_escape() -> None:
    explorer = CannedExplorer()
    async with running(explorer) as (app, pilot):
        await press(pilot, "3")
        explorer.held = []
        await press(pilot, "d")
        assert "esc stops" in dialog(app)
        await press(pilot, "escape")
        explorer.release()
        await settle(pilot)
        assert len(app.screen.query_one("#head-facts", PackedText).parts) == 2


async def test_an_ablation_that_fails_says_why() -> None:
    explorer = CannedExplorer()
    explorer.fail["ablate"] = LookupsError("No [sum] closes.", "Leave out --raw-weights.")
    async with running(explorer) as (app, pilot):
        await press(pilot, "3", "d")
        assert dialog(app) == "No [sum] closes.\nLeave out --raw-weights."


@pytest.mark.parametrize("key", ["d", "e", "s", "E"])
async def test_a_head_that_is_not_shown_is_not_acted_on(key: str) -> None:
    async with running(CannedExplorer(), SMALL) as (app, pilot):
        await press(pilot, "3", "1", "down", key)
        assert hints(app) == f"Choose a head first: 3 shows those behind {NEURON}."
        assert app.screen is app.walk_screen
        await press(pilot, "4", key)
        assert app.screen is not app.walk_screen, "beside its detail it is shown"


@pytest.mark.parametrize("key", ["d", "e", "s", "E"])
async def test_without_a_head_the_keys_say_what_to_do(key: str) -> None:
    async with running(CannedExplorer(), SMALL) as (app, pilot):
        await press(pilot, key)
        assert "Choose a head first" in hints(app)
    explorer = CannedExplorer()
    explorer.fail["first_view"] = LookupsError("No.", "")
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, key)
        assert "Open a neuron first" in hints(app)


async def test_a_head_that_does_not_reach_the_neuron_is_refused() -> None:
    async with running(CannedExplorer()) as (app, pilot):
        await press(pilot, "3")
        app.walk_screen.walk.neuron = NeuronId(2, 1)
        await press(pilot, "e")
        assert "does not reach" in hints(app)


async def test_a_head_that_runs_beside_the_mlp_is_refused_for_that() -> None:
    async with running(CannedExplorer(model=replace(MODEL, own_layer=False))) as (app, pilot):
        await press(pilot, "3")
        app.screen.query_one(HeadGrid).go_to(HeadId(5, 1))
        await press(pilot, "e")
        assert hints(app).startswith("L5.H1 does not reach L5.N371: in this model attention runs beside")
        assert app.screen is app.walk_screen


async def test_the_head_under_the_cursor_is_meant_while_its_message_is_on_the_way() -> None:
    async with running(CannedExplorer()) as (app, pilot):
        await press(pilot, "3")
        app.screen.query_one(HeadGrid).action_move(0, 1)
        app.walk_screen.action_chosen_head("explain")
        await settle(pilot)
        assert str(app.screen.query_one(".dialog").border_title) == "Explain L3.H3 of L5.N371"


async def test_one_group_of_prompts_may_be_empty() -> None:
    explorer = CannedExplorer(n_prompts=1)
    async with running(explorer) as (app, pilot):
        await press(pilot, "3", "d")
        assert "head active     0 prompts" in dialog(app)
        assert "no KS distance: one of the two groups is empty" in dialog(app)


# --- explanations ---


@FEW_SIZES
async def test_explain_then_score(size: tuple[int, int]) -> None:
    explorer = CannedExplorer()
    async with running(explorer, size) as (app, pilot):
        await press(pilot, "3", "e")
        assert isinstance(app.screen, SendScreen)
        assert "1 call to small-1 at http://127.0.0.1:8000/v1" in dialog(app)
        assert "about 812 tokens sent (estimated), at most 200 received" in dialog(app)
        assert "at most 0.0123" in dialog(app)
        assert not asked(explorer, "explain"), "nothing is sent before it is agreed to"
        await press(pilot, "enter")
        assert asked(explorer, "explain") == [(NEURON, HEAD, False)]
        assert app.walk_screen.focused_pane == "detail"
        assert "a [bold]reason[/bold] has been asked for" in panel(app)
        assert hints(app) == "L3.H2 of L5.N371 is explained."
        assert "small-1, 2026-01-01, from 8 active and 12 inactive prompts" in panel(app)
        await press(pilot, "s")
        assert "40 calls" in dialog(app)
        await press(pilot, "enter")
        assert asked(explorer, "score_explanation") == [(NEURON, HEAD, TEXT)]
        text = panel(app)
        assert "score 0.75 on 10 active and 10 inactive held-out prompts" in text
        assert "tp 7  fp 3  tn 7  fn 2  unanswered 1" in text
        assert "baseline: shuffled labels 0.50 ± 0.10 (1.0% as high); control (generic) 0.50" in text


async def test_escape_in_the_dialog_sends_nothing() -> None:
    explorer = CannedExplorer()
    async with running(explorer) as (app, pilot):
        await press(pilot, "3", "e", "escape")
        assert app.screen is app.walk_screen
        assert not asked(explorer, "explain")


async def test_what_the_cache_holds_is_shown_without_asking_and_says_so() -> None:
    explorer = CannedExplorer()
    explorer.explaining.calls = 0
    async with running(explorer) as (app, pilot):
        await press(pilot, "3", "e")
        await settle(pilot)
        assert app.screen is app.walk_screen
        assert ", cached, " in panel(app)
        explorer.explaining.calls = 1
        await press(pilot, "e")
        assert "anew" in str(app.screen.query_one(".dialog").border_title)
        await press(pilot, "enter")
        assert asked(explorer, "explain")[-1] == (NEURON, HEAD, True)


async def test_text_streams_into_the_panel_and_escape_stops_it() -> None:
    explorer = CannedExplorer()
    async with running(explorer, LARGE) as (app, pilot):
        await press(pilot, "3", "e")
        explorer.held = []
        await press(pilot, "enter")
        assert app.walk_screen.explanations.job is not None
        assert "esc stops it" in panel(app)
        await press(pilot, "s")
        assert "One request at a time" in hints(app)
        await press(pilot, "2", "j")
        assert app.walk_screen.focused_pane == "prompts", "the walk goes on meanwhile"
        await press(pilot, "escape")
        assert app.walk_screen.explanations.job is None
        assert app.walk_screen.focused_pane == "prompts"
        assert "stopped" in hints(app)
        explorer.release()
        await settle(pilot)
        assert panel(app) == ""


async def test_news_on_the_way_is_shown() -> None:
    explorer = CannedExplorer()
    async with running(explorer, LARGE) as (app, pilot):
        await press(pilot, "3")
        seen: list[str] = []
        words = app.walk_screen.explanations
        changed = words._changed

        def watch() -> None:
            changed()
            seen.append(panel(app))

        words._changed = watch
        await press(pilot, "e", "enter", "s", "enter")
        assert any(text.startswith(TEXT[:10] + "…") for text in seen)
        assert any("#####----- 10 of 20 answered (50%), 1 failed, 0:01 left" in text for text in seen)


async def test_without_a_key_a_sentence_says_what_to_set() -> None:
    explorer = CannedExplorer()
    explorer.fail["explain"] = LookupsError("OPENAI_API_KEY is not set.", "Set it, or --base-url.")
    async with running(explorer) as (app, pilot):
        await press(pilot, "3", "e", "enter")
        assert panel(app) == "OPENAI_API_KEY is not set.\nSet it, or --base-url."
        await press(pilot, "2", "j", "enter")
        assert app.walk_screen.walk.heads is not None, "everything else works"


async def test_a_plan_that_fails_says_why_in_the_dialog() -> None:
    explorer = CannedExplorer()
    explorer.fail["plan"] = LookupsError("It is active on none.", "Choose another.")
    async with running(explorer) as (app, pilot):
        await press(pilot, "3", "e", "enter")
        assert isinstance(app.screen, SendScreen)
        assert dialog(app) == "It is active on none.\nChoose another."


async def test_words_of_ones_own_are_kept_and_scored() -> None:
    explorer = CannedExplorer()
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "3", "E", "enter")
        assert isinstance(app.screen, WriteScreen)
        assert "empty" in app.screen.query_one("#problem", WrappedText).text
        await type_text(pilot, "after not")
        await press(pilot, "enter")
        assert "after not\nwritten by hand" in panel(app)
        await press(pilot, "s", "enter")
        assert asked(explorer, "score_explanation") == [(NEURON, HEAD, "after not")]
        assert "score 0.75" in panel(app)


async def test_what_was_explained_before_is_there_when_the_head_is_looked_at() -> None:
    explorer = CannedExplorer()
    explorer.explaining.write(NEURON, HEAD, "from yesterday")
    async with running(explorer) as (app, pilot):
        await press(pilot, "3")
        await rest(pilot)
        assert "from yesterday" in panel(app)
        await press(pilot, "right")
        await rest(pilot)
        assert panel(app) == ""


async def test_a_score_that_arrives_does_not_call_off_the_look_up_of_another_head() -> None:
    explorer = CannedExplorer()
    explorer.explaining.write(NEURON, HeadId(3, 3), "of the other head")
    async with running(explorer) as (app, pilot):
        await press(pilot, "3", "E")
        await type_text(pilot, "after not")
        await press(pilot, "enter", "s")
        explorer.held = []
        await press(pilot, "enter", "3", "right")
        await rest(pilot)
        held, explorer.held = explorer.held, []
        assert len(held) > 1, "the score, and the look-up of the head under the cursor"
        held[0]()
        await settle(pilot)
        for work in held[1:]:
            work()
        explorer.release()
        await settle(pilot)
        assert "is scored" in hints(app)
        assert "of the other head" in panel(app)


# --- nothing to send with ---


async def test_without_a_key_the_dialog_says_what_to_set_and_sends_nothing() -> None:
    explorer = CannedExplorer()
    explorer.explaining.problem = ("OPENAI_API_KEY is not set.", "Set it, or --base-url.")
    async with running(explorer, SMALL) as (app, pilot):
        for key in ("e", "s"):
            await press(pilot, "3", key, "enter")
            assert isinstance(app.screen, SendScreen)
            assert dialog(app).endswith(
                "OPENAI_API_KEY is not set.\nSet it, or --base-url.\n"
                "Nothing can be sent until that is fixed; everything else works."
            )
            assert str(app.screen.query_one(".dialog").border_subtitle) == "esc close"
            await press(pilot, "escape")
        assert not asked(explorer, "explain")
        assert not asked(explorer, "score_explanation")
        await press(pilot, "2", "j", "enter")
        assert app.walk_screen.walk.heads is not None, "everything else works"


def test_what_is_known_of_heads_is_kept_of_the_last_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_explanations, "_KEPT", 3)
    explorer, posted = CannedExplorer(), list[Message]()
    queries = Queries(explorer, posted.append)
    words = HeadExplanations(explorer, queries, lambda: None, lambda _: None)

    def asks(number: int) -> bool:
        """Whether looking at a head puts a question."""
        words.look_up(NEURON, HeadId(3, number))
        asked = bool(posted)
        for message in posted:
            assert isinstance(message, Answered)
            queries.deliver(message)
        posted.clear()
        return asked

    assert [number for number in range(5) if asks(number)] == [0, 1, 2, 3, 4]
    assert [number for number in (4, 3, 2) if asks(number)] == []
    assert asks(0)
    assert words.newest(NEURON, HeadId(3, 1)) is None
