"""Two models compared, a neuron in both, and a neuron over revisions, on screen."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.tui.canned import BECAUSE, CannedExplorer
from tests.tui.driving import LARGE, SMALL, hints, press, running, type_text, until
from tests.tui.head_words import asked
from tests.tui.test_hostile import check_widgets
from tui_lookups.errors import LookupsError
from tui_lookups.ids import NeuronId
from tui_lookups.results import ChangedNeuron, MovedNeuron, SelectedNeuron
from tui_lookups.settings import Settings
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.screens.diff import TOP, DiffScreen
from tui_lookups.tui.screens.neuron_diff import NeuronDiffScreen
from tui_lookups.tui.screens.one_line import OneLineScreen
from tui_lookups.tui.screens.revisions import RevisionsScreen
from tui_lookups.tui.state.left_screens import RevisionsPlace
from tui_lookups.tui.state.options import Options
from tui_lookups.tui.state.orders import CHANGED, MOVED, changed_in, moved_in
from tui_lookups.tui.text.continuing import continued_diff, continued_revisions
from tui_lookups.tui.widgets.both_models import PairedPrompts, ShiftRows
from tui_lookups.tui.widgets.diff_rows import ChangedRows, MovedRows
from tui_lookups.tui.widgets.paragraphs import Paragraphs
from tui_lookups.tui.widgets.revision_rows import RevisionRows
from tui_lookups.tui.widgets.text import PackedText, TextLines

Row = TypeVar("Row", MovedNeuron, ChangedNeuron)

NAMES = ("step0", "step1000", "main")


def title(app: LookupsApp, selector: str) -> str:
    return app.screen.query_one(selector, TextLines).text


async def test_the_other_model_is_asked_for_and_its_neurons_are_sorted_marked_and_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    explorer = CannedExplorer()
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "B")
        assert isinstance(app.screen, OneLineScreen)
        await press(pilot, "escape")
        assert app.screen is app.walk_screen, "without another model there is nothing to show"
        await press(pilot, "B")
        await type_text(pilot, "tuned")
        await press(pilot, "enter")
        screen = app.screen
        assert isinstance(screen, DiffScreen)
        assert asked(explorer, "diff") == [("tuned", TOP)]
        expected = explorer.diff("tuned", top=TOP)
        rows = screen.query_one(MovedRows)
        assert rows.neurons == expected.neurons
        assert title(app, "#diff-title").startswith(" demo -> tuned: 30 of 4,608 neurons moved")
        assert check_widgets(screen) > 5
        assert 'top token " since", then " although"' in rows.plain_row(1)
        assert "cosine –" in rows.plain_row(3), "a cosine that is not defined"
        words = screen.query_one(Paragraphs).text
        assert f"{rows.neurons[0].neuron}: writes cosine" in words
        assert "h.5.mlp.c_proj.weight 0.0500 (spectral 0.0499, 100% rank one)" in words

        await press(pilot, "S", "S", "S", "down", "space")
        assert rows.order == "neuron"
        chosen = rows.current
        assert chosen is not None
        assert [row.neuron for row in rows.neurons] == sorted(row.neuron for row in expected.neurons)
        assert app.selection.neurons == (SelectedNeuron(chosen.neuron, chosen.top_token_before),)
        assert rows.plain_row(rows.cursor).endswith(", marked")
        await press(pilot, "b", "d", "escape")
        assert not rows.plain_row(rows.cursor).endswith(", marked"), "it was taken out of the basket"
        await press(pilot, "y")
        assert app.clipboard == str(chosen.neuron)
        await press(pilot, "Y")
        assert len(app.clipboard.splitlines()) == len(expected.neurons) + 1
        await press(pilot, "exclamation_mark")
        assert app.clipboard == "lookups-tui diff demo tuned"

        await press(pilot, "x", "ctrl+u")
        await type_text(pilot, "moved.csv")
        await press(pilot, "enter")
        await until(lambda: app.screen is screen, pilot)
        assert "Written: " in hints(app)
        assert (tmp_path / "moved.csv").read_text("utf-8").count("\n") == len(expected.neurons) + 1
        await press(pilot, "x", "ctrl+u")
        await type_text(pilot, "moved.xyz")
        await press(pilot, "enter", "ctrl+u")
        await type_text(pilot, "moved.json")
        await press(pilot, "enter")
        await until(lambda: app.screen is screen, pilot)
        written = json.loads((tmp_path / "moved.json").read_text("utf-8"))
        assert written["against"]["name"] == "tuned"

        await press(pilot, "g")
        walk = app.walk_screen.walk
        assert app.screen is app.walk_screen
        assert (walk.neuron, walk.token) == (chosen.neuron, chosen.top_token_before)
        assert app.walk_screen.focused_pane == "prompts"
        await press(pilot, "escape")
        rows = app.screen.query_one(MovedRows)
        assert (rows.order, rows.current) == ("neuron", chosen)
        await press(pilot, "escape", "B", "e", "ctrl+u")
        await type_text(pilot, "seed2")
        await press(pilot, "enter")
        assert asked(explorer, "diff")[-1] == ("seed2", TOP)
        assert title(app, "#diff-title").startswith(" demo -> seed2")


async def test_a_neuron_in_both_models_leads_to_its_texts_and_heads_and_back() -> None:
    explorer = CannedExplorer()
    app = LookupsApp(explorer, options=Options(theme="lookups-dark", against="tuned"))
    async with app.run_test(size=LARGE) as pilot:
        await until(lambda: isinstance(app.screen, DiffScreen), pilot)
        await press(pilot, "v")
        changed = app.screen.query_one(ChangedRows)
        assert changed.empty == "Not compared on texts yet.\nr runs both models over the corpus."
        await press(pilot, "r", "S", "S", "down")
        expected = explorer.diff_activations("tuned", top=TOP)
        assert changed.neurons == changed_in("peak", expected.neurons)
        assert "r run" not in hints(app)
        assert title(app, "#diff-title") == " demo -> tuned: activations at 54,649 positions, 4,608 neurons"
        chosen = changed.current
        assert chosen is not None
        await press(pilot, "enter")
        screen = app.screen
        assert isinstance(screen, NeuronDiffScreen)
        assert asked(explorer, "diff_neuron") == [("tuned", chosen.neuron)]
        assert asked(explorer, "diff_heads") == [("tuned", chosen.neuron)]
        prompts, heads = screen.query_one(PairedPrompts), screen.query_one(ShiftRows)
        assert title(app, "#both-title").startswith(
            f" {chosen.neuron} in both: demo -> tuned, correlation 0.8300"
        )
        assert check_widgets(screen) > 5
        assert prompts.row_count() == 16
        first = prompts.prompts[0]
        for row, values in enumerate((first.before, first.after)):
            assert f"activation {values[first.position]:.2f} at" in prompts.plain_row(row)
        await press(pilot, "exclamation_mark")
        assert app.clipboard == f"lookups-tui diff demo tuned --neuron {chosen.neuron}"
        await press(pilot, "tab", "exclamation_mark")
        assert app.clipboard == f"lookups-tui diff demo tuned --neuron {chosen.neuron} --heads"
        assert heads.plain_row(heads.row_count() - 1).startswith("pre-activation, before +")
        await press(pilot, "end", "enter")
        assert hints(app) == "Only a head can be opened."
        await press(pilot, "home", "down")
        head = heads.head
        await press(pilot, "enter")
        walk = app.walk_screen.walk
        assert app.screen is app.walk_screen
        assert (walk.neuron, walk.head) == (chosen.neuron, head)
        assert app.walk_screen.focused_pane == "detail"

        await press(pilot, "escape")
        assert isinstance(app.screen, NeuronDiffScreen), "where the person went on from"
        await press(pilot, "down", "down", "enter")
        prompt = prompts.prompts[1]
        assert app.screen is app.walk_screen
        assert walk.given is not None
        assert walk.given.tokens == prompt.tokens[1:]
        assert walk.given.at == prompt.position - 1
        await press(pilot, "escape", "g")
        assert app.screen is app.walk_screen
        assert (walk.neuron, walk.given) == (chosen.neuron, None)


async def test_what_is_under_way_says_how_far_it_is_stops_and_fails_in_a_sentence() -> None:
    explorer = CannedExplorer()
    async with running(explorer, LARGE) as (app, pilot):
        app.options = Options(against="tuned")
        explorer.held = []
        await press(pilot, "B")
        moved, changed = app.screen.query_one(MovedRows), app.screen.query_one(ChangedRows)
        await until(lambda: moved.empty.startswith("Comparing the weights of both…"), pilot)
        assert "c stops it" in moved.empty
        await press(pilot, "c")
        assert moved.empty == "Stopped.\ne compares again."
        assert "c stop" not in hints(app)
        explorer.release()
        assert moved.row_count() == 0, "the answer was dropped"

        await press(pilot, "escape", "B")
        assert moved is not app.screen.query_one(MovedRows)
        moved, changed = app.screen.query_one(MovedRows), app.screen.query_one(ChangedRows)
        explorer.held = []
        await press(pilot, "r")
        await until(lambda: changed.empty.startswith("Running both models over the corpus…"), pilot)
        await press(pilot, "v", "enter")
        assert isinstance(app.screen, DiffScreen), "one pass over the corpus at a time"
        assert hints(app).startswith("Both models are running over the corpus: wait, or stop that (c)")
        await press(pilot, "c", "v")
        assert changed.empty == "Not compared on texts yet.\nr runs both models over the corpus."
        await press(pilot, "v")
        explorer.release()
        explorer.fail["diff_heads"] = LookupsError("It fires on no prompt.", "Choose [another] neuron.")
        await press(pilot, "enter")
        heads = app.screen.query_one(ShiftRows)
        await until(lambda: heads.empty == "It fires on no prompt.\nChoose [another] neuron.", pilot)
        explorer.fail["diff"] = LookupsError("They are of different depths.", "Compare others.")
        await press(pilot, "escape", "e", "ctrl+u", "x", "enter")
        await until(lambda: moved.empty == "They are of different depths.\nCompare others.", pilot)
        await press(pilot, "x")
        assert hints(app) == "There is nothing to write yet."


async def test_a_neuron_is_followed_over_revisions_which_lead_to_a_comparison() -> None:
    explorer = CannedExplorer()
    neuron = NeuronId(5, 371)
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "at")
        await type_text(pilot, "step0, step1000,main")
        await press(pilot, "enter")
        screen = app.screen
        assert isinstance(screen, RevisionsScreen)
        assert asked(explorer, "over_revisions") == [(neuron, NAMES, BECAUSE.text, False)]
        rows = screen.query_one(RevisionRows)
        assert [row.revision for row in rows.revisions] == list(NAMES)
        assert "cosine 0.233" in rows.plain_row(0)
        assert screen.query_one(PackedText).parts == ("congruence ▁▅█ 2.00 to 6.00",)
        explorer.held = []
        await press(pilot, "r", "down")
        await until(lambda: "c stops it" in screen.query_one(PackedText).parts, pilot)
        assert rows.row_count() == 3, "what is known stays while more is asked for"
        await press(pilot, "c")
        assert screen.query_one(PackedText).parts == ("congruence ▁▅█ 2.00 to 6.00",)
        explorer.release()
        await press(pilot, "r", "down")
        assert asked(explorer, "over_revisions")[-1] == (neuron, NAMES, BECAUSE.text, True)
        parts = screen.query_one(PackedText).parts
        assert parts[:2] == ("congruence ▁▅█ 2.00 to 6.00", "peak ▁▅█ 1.43 to 4.30")
        assert len(parts) == 5, "and the three largest heads"
        assert check_widgets(screen) > 5
        assert "r peaks" not in hints(app)
        await press(pilot, "exclamation_mark")
        line = f"lookups-tui revisions {neuron} --revisions step0,step1000,main --token ' because' --prompts"
        assert app.clipboard == line
        await press(pilot, "enter")
        assert isinstance(app.screen, DiffScreen)
        assert asked(explorer, "diff") == [("demo@step1000", TOP)]
        before = len(asked(explorer, "over_revisions"))
        await press(pilot, "escape", "at")
        assert app.screen.query_one(RevisionRows).cursor == 1
        assert len(asked(explorer, "over_revisions")) == before, "nothing is asked twice"
        explorer.held = []
        await press(pilot, "e", "ctrl+u", "a", "comma", "b", "enter")
        rows = app.screen.query_one(RevisionRows)
        await until(lambda: rows.empty.startswith("Asking each revision in turn…"), pilot)
        await press(pilot, "c")
        assert rows.empty.startswith("Stopped.")
        explorer.release()
        explorer.fail["over_revisions"] = LookupsError("demo is not a model of the hub.", "Name one.")
        await press(pilot, "e", "enter")
        await until(lambda: rows.empty == "demo is not a model of the hub.\nName one.", pilot)


async def test_a_walk_without_a_neuron_has_nothing_to_follow() -> None:
    explorer = CannedExplorer(hold=True)
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "at")
        assert app.screen is app.walk_screen
        assert hints(app).startswith("Open a neuron first (enter)")


@pytest.mark.parametrize("order", MOVED)
def test_orders_of_neurons_that_moved(order: str) -> None:
    rows = CannedExplorer().diff("tuned", top=TOP).neurons
    by: dict[str, Callable[[MovedNeuron], Any]] = {
        "moved": lambda row: -row.moved,
        "write": lambda row: row.write.cosine or 0,
        "read": lambda row: 2.0 if row.read.cosine is None else row.read.cosine,
        "neuron": lambda row: row.neuron,
    }
    in_order(moved_in(order, rows), rows, by[order])  # type: ignore[arg-type]


@pytest.mark.parametrize("order", CHANGED)
def test_orders_of_neurons_that_changed(order: str) -> None:
    rows = CannedExplorer().diff_activations("tuned", top=TOP).neurons
    by: dict[str, Callable[[ChangedNeuron], Any]] = {
        "change": lambda row: -row.change,
        "correlation": lambda row: 2.0 if row.correlation is None else row.correlation,
        "peak": lambda row: -abs(row.peak_after - row.peak_before),
        "neuron": lambda row: row.neuron,
    }
    in_order(changed_in(order, rows), rows, by[order])  # type: ignore[arg-type]


def in_order(found: Sequence[Row], rows: Sequence[Row], key: Callable[[Row], Any]) -> None:
    """The same rows, by this key."""
    assert sorted(found, key=lambda row: row.neuron) == sorted(rows, key=lambda row: row.neuron)
    keys = [key(row) for row in found]
    assert keys == sorted(keys)


def test_what_is_copied_names_both_models_once_and_the_other_settings() -> None:
    settings = Settings(model="owner/name@main", window=64)
    said = continued_diff("command", "b c", "activations", None, settings)
    assert said == "lookups-tui diff owner/name@main 'b c' --activations --window 64"
    python = continued_diff("notebook", "b", "heads", NeuronId(1, 2), settings)
    assert "load_settings(model='owner/name@main', window=64)" in python
    assert "found = explorer.diff_heads('b', NeuronId(1, 2))" in python
    place = RevisionsPlace(NeuronId(1, 2), None, ("a", "b"))
    said = continued_revisions("command", place, settings)
    assert said == "lookups-tui revisions L1.N2 --revisions a,b --model owner/name --window 64"
    assert "explorer.over_revisions(NeuronId(1, 2), ('a', 'b'))" in continued_revisions(
        "notebook", place, settings
    )
