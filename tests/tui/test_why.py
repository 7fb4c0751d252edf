"""Why a token is expected, and what fires a neuron, by keyboard: on with a neuron, and all the way back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from tests.tui.canned import BECAUSE, VOCABULARY, CannedExplorer
from tests.tui.driving import LARGE, SMALL, hints, line, press, rest, running, settle, type_text
from tests.tui.head_words import asked
from tests.tui.test_hostile import check_widgets
from tests.tui.views import texts
from tui_lookups.errors import LookupsError
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import Contributions, Token
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.screens.inputs import InputsScreen
from tui_lookups.tui.screens.why import WhyScreen
from tui_lookups.tui.state.contribution_rows import SumRows, rows_of_inputs, rows_of_overview, rows_of_why
from tui_lookups.tui.state.given_text import GIVEN, as_prompt, given_note, given_up_to
from tui_lookups.tui.text.why import removed_paragraphs
from tui_lookups.tui.widgets.contribution_lists import ContributionRows, LayerRows
from tui_lookups.tui.widgets.next_tokens import NextTokens
from tui_lookups.tui.widgets.paragraphs import Paragraphs
from tui_lookups.tui.widgets.text import PackedText, TextLines

NEURON = NeuronId(5, 371)


# --- the sums ---


def check_sums(found: SumRows, contributions: Contributions) -> None:
    """Each view sums to the target but for the remainder."""
    closed = pytest.approx(contributions.target - contributions.remainder)
    assert sum(row.value for row in found.rows) == closed
    assert sum(row.value for row in found.groups) == closed
    assert sum(row.added for row in found.layers) == closed
    assert found.layers[-1].total == closed
    sizes = [abs(row.value) for row in found.rows]
    assert sizes == sorted(sizes, reverse=True)
    for group in found.groups:
        assert group.first is not None


def test_every_view_of_a_logit_sums_to_it() -> None:
    why = CannedExplorer().why("not so", top=7)
    found = rows_of_why(why)
    check_sums(found, why.contributions)
    model = why.provenance.model
    assert f"{model.n_neurons - 7:,} other neurons" in [row.name for row in found.rows]
    own = [row.component for row in found.rows if row.own]
    assert own == list(why.next_token_neurons)
    assert "2 next-token neurons that raise" in [row.name for row in found.groups]
    assert [row.lens for row in found.layers[1:7]] == [layer.lens_token for layer in why.layers]
    largest = found.rows[found.layers[6].first or 0].component
    assert largest is not None
    assert largest.layer == 5


def test_every_view_of_what_a_neuron_reads_sums_to_it() -> None:
    explorer = CannedExplorer()
    inputs = explorer.inputs(NEURON, text="not so")
    found = rows_of_inputs(inputs)
    check_sums(found, inputs.contributions)
    assert all(row.congruence is None for row in found.rows)
    overview = explorer.inputs_overview(NEURON)
    means = rows_of_overview(overview)
    assert means.target == 0, "a mean has no share"
    assert means.layers[-1].total == pytest.approx(sum(overview.by_layer))
    first = explorer.inputs(NeuronId(0, 3), text="not so")
    check_sums(rows_of_inputs(first), first.contributions)


def test_removing_says_the_total_effect_beside_the_direct_one() -> None:
    explorer = CannedExplorer()
    why = explorer.why("not so")
    largest = why.contributions.neurons[0].neuron
    zero, mean = (explorer.removed(largest, "not so", method=method) for method in ("zero", "mean"))
    said = [paragraph.text for paragraph in removed_paragraphs((zero, mean), why)]
    assert said == [
        f"without {largest} (set to zero): ␣because 40.00% → 20.00%, total effect",
        f"without {largest} (set to its mean): ␣because 40.00% → 26.40%, total effect",
        "directly +2.40 of the logit 7.19: by itself, which is not the same",
    ]


# --- a text given by hand, on the walk ---


def test_a_given_text_is_a_prompt_without_a_rank_and_says_what_is_not_as_it_was() -> None:
    explorer = CannedExplorer()
    found = explorer.activations(NEURON, "not so")
    given = given_up_to(found.tokens, 2, explorer.model)
    assert given.text == "not so"
    last = replace(found, activations=(9.0, 0.9, 0.7))
    prompt = as_prompt(last, "auto")
    assert (prompt.rank, prompt.prompt_id, prompt.sign) == (0, GIVEN, 1)
    assert prompt.peak.position == 2, "where it was met, not where it fires most"
    assert given_note(given, prompt) == ""
    other = replace(prompt, tokens=(*prompt.tokens[:1], Token(1, "n"), Token(2, "ot"), prompt.tokens[2]))
    assert "falls into other tokens" in given_note(given, other)
    assert as_prompt(replace(last, activations=(9.0, 0.1, -0.7)), "both").sign == -1


# --- by keyboard ---


def title(app: LookupsApp) -> str:
    return next(iter(app.screen.query(TextLines))).text


def state(app: LookupsApp) -> tuple[object, ...]:
    """What is open on the walk and where its cursors are."""
    walk, panes = app.walk_screen.walk, app.walk_screen.panes
    where = panes.prompts.position, app.walk_screen.focused_pane
    return walk.token, walk.neuron, walk.prompt_id, walk.head, walk.given, *where


async def test_from_a_text_to_an_earlier_neuron_and_all_the_way_back() -> None:
    explorer = CannedExplorer(hostile=False)
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "2", "down", "right")
        first = state(app)
        await press(pilot, "w")
        why = app.screen
        assert isinstance(why, WhyScreen)
        app.post_message(events.Paste("not so but\n"))
        await settle(pilot)
        assert app.focused is why.query_one("#why-text"), "wherever the cursor was"
        await press(pilot, "enter")
        assert asked(explorer, "why")[-1] == ("not so but", None, None, None, None)
        assert title(app).strip().startswith("Why ␣because (40.00%) at 3:")

        await press(pilot, "down", "down")
        rows = why.query_one(ContributionRows)
        chosen = rows.current
        assert chosen is not None
        assert chosen.component == NeuronId(4, 10)
        await press(pilot, "enter")
        assert app.screen is app.walk_screen
        walk = app.walk_screen.walk
        assert (walk.neuron, walk.prompt_id) == (NeuronId(4, 10), GIVEN)
        assert walk.prompt is not None
        assert "".join(token.text for token in walk.prompt.tokens[1:]) == "not so but"
        assert line(app, "#token-facts").startswith("␣because  #")
        assert "› text" in line(app, "#token-facts")
        await press(pilot, "3")
        await rest(pilot)
        assert asked(explorer, "heads")[-1][0] == NeuronId(4, 10)
        assert walk.heads is not None
        assert walk.heads.context == "text"
        assert walk.sources is not None
        await press(pilot, "space")
        assert "cannot be marked" in hints(app)
        await press(pilot, "escape")
        second = state(app)
        await press(pilot, "I")
        inputs = app.screen
        assert isinstance(inputs, InputsScreen)
        assert asked(explorer, "inputs")[-1] == (NeuronId(4, 10), None, "not so but", 3)
        await press(pilot, "v", "v", "v", "down", "down", "enter")
        third = walk.neuron
        assert third is not None
        assert third.layer < 4
        await press(pilot, "down")
        assert walk.prompt_id != GIVEN, "its own prompts stand below the text"

        await press(pilot, "up", "escape")
        assert isinstance(app.screen, InputsScreen)
        assert app.screen.query_one(ContributionRows).cursor == 2
        await press(pilot, "escape")
        assert state(app) == second
        await press(pilot, "escape")
        assert isinstance(app.screen, WhyScreen)
        assert app.screen.query_one("#why-text", Input).value == "not so but"
        assert app.screen.query_one(ContributionRows).current == chosen
        await press(pilot, "escape")
        assert state(app) == first
        assert asked(explorer, "why")[-1] == ("not so but", None, None, None, None), "nothing is asked twice"
        await press(pilot, "escape")
        assert app.walk_screen.focused_pane == "neurons", "from here on escape is the walk's own"


async def test_the_token_the_foil_the_position_and_removing() -> None:
    explorer = CannedExplorer(hostile=True)
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "w")
        screen, walk = app.screen, app.walk_screen.walk
        assert walk.prompt is not None
        peak = walk.prompt.peak.position
        assert asked(explorer, "why") == [(None, walk.prompt_id, peak, None, None)]
        assert check_widgets(screen) > 15
        sums = screen.query_one("#why-sum", PackedText)
        assert sums.parts[:2] == ("logit 7.19", "over the mean")
        assert sums.parts[-1] == "rest 0.00"

        await press(pilot, "d", "m", "m")
        assert len(asked(explorer, "removed")) == 2, "what is known is not asked again"
        removed = screen.query_one(Paragraphs)
        assert removed.text.count("total effect") == 2
        await press(pilot, "down")
        assert "total effect" not in removed.text
        await press(pilot, "left", "down", "enter")
        second = screen.query_one(NextTokens).found[1].token
        assert asked(explorer, "why")[-1] == (None, walk.prompt_id, peak, second.id, None)
        assert not removed.text, "that was about another token"
        await press(pilot, "left", "up", "f")
        assert asked(explorer, "why")[-1][-2:] == (second.id, BECAUSE.id)
        assert "not ␣because" in title(app)
        await press(pilot, "f")
        assert asked(explorer, "why")[-1][-1] is None, "again: the mean"
        await press(pilot, "down", "f")
        assert "not its own foil" in hints(app)

        await press(pilot, "t")
        await type_text(pilot, "river")
        await press(pilot, "enter")
        river = next(token for token in VOCABULARY if token.text == " river")
        assert asked(explorer, "why")[-1][-2] == river.id
        await press(pilot, "F")
        await type_text(pilot, "nothing like it")
        await press(pilot, "enter")
        assert "not one token" in hints(app)
        await press(pilot, "escape")
        assert app.screen is screen
        await press(pilot, "e")
        assert app.focused is screen.query_one("#why-text")
        await press(pilot, "tab", "n", "p", "p")
        assert [call[2] for call in asked(explorer, "why")[-3:]] == [peak + 1, peak, peak - 1]
        assert asked(explorer, "why")[-1][-2] is None, "there the most probable token is asked about"


async def test_a_head_is_opened_in_its_pane_and_layers_and_groups_lead_to_their_largest() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "w", "down", "enter")
        walk = app.walk_screen.walk
        assert (walk.head, walk.neuron) == (HeadId(0, 0), NeuronId(5, 7)), "of the largest neuron it reaches"
        assert app.walk_screen.focused_pane == "detail"
        await rest(pilot)
        assert walk.sources is not None
        assert walk.sources.source_head == HeadId(0, 0)
        await press(pilot, "escape", "v")
        layers = app.screen.query_one(LayerRows)
        assert app.focused is layers
        await press(pilot, "down", "down", "down", "enter")
        rows = app.screen.query_one(ContributionRows)
        assert app.focused is rows
        assert rows.current is not None
        assert rows.current.component is not None
        assert rows.current.component.layer == 2
        await press(pilot, "v", "v")
        assert rows.current is not None
        assert rows.current.name == "18 heads that raise"
        await press(pilot, "enter")
        assert rows.current.component == HeadId(0, 0)
        await press(pilot, "escape", "I", "down", "enter")
        assert (walk.head, walk.neuron, walk.prompt_id) == (HeadId(0, 0), NEURON, 1000), (
            "its own prompt stays"
        )
        await press(pilot, "escape")
        assert isinstance(app.screen, InputsScreen)
        await press(pilot, "a")
        assert title(app) == " What fires L5.N371 over its 20 prompts (full windows)"
        assert "active on" in " ".join(texts(app))
        await press(pilot, "enter")
        assert (walk.neuron, walk.prompt_id) == (NeuronId(4, 7), GIVEN)


async def test_where_there_is_room_the_layers_stand_beside_the_list() -> None:
    async with running(CannedExplorer(hostile=False), LARGE) as (app, pilot):
        await press(pilot, "w")
        await settle(pilot)
        rows, layers = app.screen.query_one(ContributionRows), app.screen.query_one(LayerRows)
        assert rows.display
        assert layers.display
        for listed in (rows, layers, app.screen.query_one(NextTokens)):
            names, *cells = listed.table()
            assert len(cells) == listed.row_count()
            assert {len(row) for row in cells} == {len(names)}
        await press(pilot, "tab")
        assert app.focused is layers
        await pilot.resize_terminal(*SMALL)
        await settle(pilot)
        assert app.focused is rows, "what is not on screen has no keys"


async def test_without_a_prompt_a_text_is_asked_for_and_errors_are_said() -> None:
    explorer = CannedExplorer()
    explorer.fail["first_view"] = LookupsError("No.", "")
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "I")
        assert "Open a neuron and a prompt first" in hints(app)
        await press(pilot, "w", "enter")
        assert "Type or paste a text first" in hints(app)
        explorer.fail["why"] = LookupsError("The text is [too] long.", "Cut it.")
        await type_text(pilot, "not")
        await press(pilot, "enter")
        shown = "\n".join(texts(app))
        assert "The text is [too] long." in shown
        assert "Cut it." in shown
        assert app.focused is app.screen.query_one("#why-text")
        del explorer.fail["why"]
        await press(pilot, "enter")
        assert title(app).startswith(" Why ␣because")
        explorer.fail["removed"] = LookupsError("No corpus.", "Give one.")
        await press(pilot, "m")
        assert hints(app) == "No corpus. Give one."
        explorer.fail["activations"] = LookupsError("It cannot be read.", "")
        await press(pilot, "enter")
        assert "It cannot be read." in "\n".join(texts(app))
        assert app.walk_screen.walk.prompt_id != GIVEN
        assert "Corpus prompt" not in hints(app)
        await press(pilot, "escape")
        assert isinstance(app.screen, WhyScreen)
        await press(pilot, "escape")
        assert app.walk_screen.walk.neuron is None, "as it was left: nothing was open"


async def waits(pilot: Pilot[None], app: LookupsApp, *keys: str) -> str:
    await press(pilot, *keys)
    return " ".join(" ".join(texts(app)).split())


async def test_a_wait_says_what_is_done_and_how_to_stop() -> None:
    explorer = CannedExplorer(hostile=False)
    async with running(explorer, SMALL) as (app, pilot):
        explorer.held = []
        for keys, said in (
            (("w",), ("Running the text", "summing what is in it…")),
            (("escape", "3", "I"), ("Running the text", "what every component writes to it…")),
            (("a",), ("Running each of the neuron's prompts…",)),
        ):
            shown = await waits(pilot, app, *keys)
            assert [each for each in (*said, "esc stops it") if each not in shown] == []
        await press(pilot, "escape")
        explorer.release()
        await settle(pilot)
        assert app.screen is app.walk_screen
