"""Enter on a row of the basket opens the thing on the walk."""

from __future__ import annotations

from tests.tui.canned import BECAUSE, CannedExplorer
from tests.tui.driving import SMALL, hints, press, rest, running
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import SelectedHead, SelectedNeuron, SelectedPrompt, Selection
from tui_lookups.tui.widgets.head_grid import HeadGrid
from tui_lookups.tui.widgets.prompt_list import PromptList

NEURON = SelectedNeuron(NeuronId(2, 40), BECAUSE)
PROMPT = SelectedPrompt(NeuronId(3, 41), 1004)
HEAD = SelectedHead(NeuronId(4, 42), HeadId(2, 3), 1006)
OVER_ALL = SelectedHead(NeuronId(4, 42), HeadId(1, 1), None)
MARKED = Selection((NEURON,), (PROMPT,), (HEAD, OVER_ALL))


async def test_a_neuron_opens() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        app.selection = MARKED
        await press(pilot, "b", "enter")
        walk = app.walk_screen.walk
        assert app.screen is app.walk_screen
        assert (walk.token, walk.neuron) == (BECAUSE, NEURON.neuron)
        assert app.walk_screen.focused_pane == "prompts"
        assert app.selection == MARKED
        await press(pilot, "left_square_bracket")
        assert walk.neuron == NeuronId(5, 371), "it is a step that can be taken back"


async def test_a_prompt_opens() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        app.selection = MARKED
        await press(pilot, "b", "down", "enter")
        walk = app.walk_screen.walk
        assert (walk.neuron, walk.prompt_id) == (PROMPT.neuron, PROMPT.prompt_id)
        assert app.focused is app.screen.query_one(PromptList)


async def test_heads_open_on_their_prompt_and_over_all() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        app.selection = MARKED
        await press(pilot, "b", "down", "down", "enter")
        await rest(pilot)
        walk = app.walk_screen.walk
        assert (walk.neuron, walk.prompt_id, walk.head) == (HEAD.neuron, HEAD.prompt_id, HEAD.head)
        assert app.screen.query_one(HeadGrid).head == HEAD.head
        assert not walk.over_all
        await press(pilot, "b", "end", "enter")
        await rest(pilot)
        assert (walk.neuron, walk.head, walk.over_all) == (OVER_ALL.neuron, OVER_ALL.head, True)
        await press(pilot, "b", "end", "up", "enter")
        await rest(pilot)
        assert (walk.head, walk.over_all) == (HEAD.head, False)


async def test_what_was_taken_out_stays_out_and_an_empty_basket_opens_nothing() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        app.selection = Selection((NEURON,), (PROMPT,))
        await press(pilot, "b", "d", "enter")
        assert app.selection == Selection((), (PROMPT,))
        assert app.walk_screen.walk.neuron == PROMPT.neuron
        await press(pilot, "b", "d", "enter")
        assert app.screen is not app.walk_screen


async def test_from_a_screen_over_the_walk_the_thing_opens_on_the_walk() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        app.selection = MARKED
        await press(pilot, "A", "home", "down", "b", "enter")
        assert app.screen is app.walk_screen
        assert app.walk_screen.walk.neuron == NEURON.neuron
        await press(pilot, "A")
        assert app.screen.query_one("#layers").cursor == 1, "the atlas is as it was left"  # type: ignore[attr-defined]


async def test_a_prompt_that_is_not_in_the_list_is_said_not_to_be() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        app.selection = Selection((), (SelectedPrompt(NeuronId(3, 41), 99_999),))
        await press(pilot, "b", "enter")
        assert app.walk_screen.walk.neuron == NeuronId(3, 41)
        assert "99999 is not among" in hints(app).replace(",", "")


async def test_a_head_opens_on_the_texts_it_was_marked_on() -> None:
    explorer = CannedExplorer(hostile=False)
    async with running(explorer, SMALL) as (app, pilot):
        trimmed = SelectedHead(HEAD.neuron, HEAD.head, HEAD.prompt_id, "trimmed")
        app.selection = Selection((), (), (trimmed, SelectedHead(HEAD.neuron, HEAD.head, 1007, "full")))
        walk = app.walk_screen.walk
        for keys, context in (("b", "trimmed"), ("bj", "full")):
            await press(pilot, *keys, "enter")
            await rest(pilot)
            assert walk.heads is not None
            assert walk.heads.context == context
            assert walk.head == HEAD.head
