"""Each step of the tour speaks of what is on screen, wherever the person was before or goes meanwhile."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tui.canned import MODEL, CannedExplorer, noise
from tests.tui.driving import FEW_SIZES, LARGE, SMALL, press, rest, running
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.results import HeadAttributions
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.state.history import Place
from tui_lookups.tui.widgets.head_grid import HeadGrid


def tour(app: LookupsApp) -> str:
    return app.walk_screen.tour_text


class Lowering(CannedExplorer):
    """The strongest head reads a token that holds the neuron down."""

    def _attributions(self, neuron, found, sources, trimmed):  # type: ignore[no-untyped-def]
        made: HeadAttributions = super()._attributions(neuron, found, sources, trimmed)
        heads = tuple(
            replace(row, attribution=-2.5) if row.head == HeadId(1, 4) else row for row in made.heads
        )
        read = tuple(
            replace(source, attribution=-0.75 if source.position == 2 else 0.1 * noise(source.position))
            for source in made.sources
        )
        return replace(made, heads=heads, sources=read)


@FEW_SIZES
async def test_the_last_steps_are_of_the_strongest_head_wherever_the_cursor_was(
    size: tuple[int, int],
) -> None:
    async with running(CannedExplorer(), size) as (app, pilot):
        await press(pilot, "3", "home", "up", "up", "up", "4", "1")
        await rest(pilot)
        walk = app.walk_screen.walk
        assert walk.head == HeadId(0, 0)
        await press(pilot, "T", "T", "T", "T")
        await rest(pilot)
        assert "L3.H2 brings +1.92 of " in tour(app)
        assert walk.head == app.screen.query_one(HeadGrid).head == HeadId(3, 2)
        await press(pilot, "left", "T")
        await rest(pilot)
        assert "Tour 5/5: L3.H2 " in tour(app)
        assert walk.sources is not None
        largest = max(walk.sources.sources, key=lambda source: abs(source.attribution))
        assert f"{largest.attribution:+.2f}" in tour(app)


class Below(CannedExplorer):
    """A gated neuron that fires below zero; what its strongest head reads is `share`."""

    share = -0.75

    def _attributions(self, neuron, found, sources, trimmed):  # type: ignore[no-untyped-def]
        made: HeadAttributions = super()._attributions(neuron, found, sources, trimmed)
        heads = tuple(
            replace(row, attribution=-2.5) if row.head == HeadId(1, 4) else row for row in made.heads
        )
        read = tuple(replace(s, attribution=self.share * (s.position == 2)) for s in made.sources)
        return replace(made, heads=heads, sources=read, target=replace(made.target, value=-3.0))


@pytest.mark.parametrize(
    ("share", "does"),
    [(-0.75, "makes the neuron fire (-0.75)"), (0.75, "keeps the neuron from firing (+0.75)")],
)
async def test_below_zero_a_negative_share_is_what_makes_a_gated_neuron_fire(share: float, does: str) -> None:
    explorer = Below(model=replace(MODEL, gated=True))
    explorer.share = share
    async with running(explorer, LARGE) as (app, pilot):
        await press(pilot, "T", "T", "T", "T")
        await rest(pilot)
        assert "L1.H4 brings -2.50 of -3.00" in tour(app)
        await press(pilot, "T")
        await rest(pilot)
        assert does in tour(app)


async def test_what_holds_the_neuron_down_is_not_said_to_raise_it() -> None:
    async with running(Lowering(), LARGE) as (app, pilot):
        await press(pilot, "T", "T", "T", "T")
        await rest(pilot)
        assert "L1.H4 takes -2.50 from " in tour(app)
        await press(pilot, "T")
        await rest(pilot)
        assert "which lowers the neuron (-0.75)" in tour(app)


@FEW_SIZES
async def test_a_step_about_one_prompt_leaves_the_overview(size: tuple[int, int]) -> None:
    async with running(CannedExplorer(), size) as (app, pilot):
        await press(pilot, "3", "a", "1", "T", "T", "T", "T")
        await rest(pilot)
        assert not app.walk_screen.walk.over_all
        assert "L3.H2 brings" in tour(app)
        await press(pilot, "a")
        assert app.walk_screen.walk.over_all, "the person may look at it"
        assert "brings" not in tour(app)
        assert "a: one prompt again" in tour(app)
        await press(pilot, "a")
        assert "L3.H2 brings" in tour(app)


@FEW_SIZES
async def test_the_tour_follows_the_persons_own_moves(size: tuple[int, int]) -> None:
    async with running(CannedExplorer(), size) as (app, pilot):
        await press(pilot, "T")
        assert tour(app).startswith("Tour 1/5")
        await press(pilot, "3")
        await rest(pilot)
        assert tour(app).startswith("Tour 4/5")
        await press(pilot, "n", "enter")
        await rest(pilot)
        walk = app.walk_screen.walk
        assert tour(app).startswith(f"Tour 5/5: {walk.head} "), "of the head the person opened"
        assert walk.head != HeadId(3, 2)
        await press(pilot, "2")
        assert tour(app).startswith("Tour 3/5")
        await press(pilot, "1")
        assert tour(app).startswith("Tour 2/5")


async def test_the_person_may_walk_the_heads_in_its_step() -> None:
    async with running(CannedExplorer(), SMALL) as (app, pilot):
        await press(pilot, "T", "T", "T", "T")
        await rest(pilot)
        await press(pilot, "left")
        await rest(pilot)
        assert app.walk_screen.walk.head == HeadId(3, 1), "the cursor is put on a head once"
        await press(pilot, "c")
        await rest(pilot)
        assert app.walk_screen.walk.head == HeadId(3, 1)


@pytest.mark.parametrize("listed", [True, False])
async def test_a_neuron_raises_the_token_only_where_it_does(listed: bool) -> None:
    async with running(CannedExplorer(), LARGE) as (app, pilot):
        walk = app.walk_screen.walk
        assert walk.token is not None
        if not listed:
            app.walk_screen.places.open_place(Place(walk.token, NeuronId(0, 1)))
        await press(pilot, "T", "T")
        await rest(pilot)
        if listed:
            assert "when neuron L5.N371 fires, it raises “␣because” (congruence 6.12" in tour(app)
        else:
            assert "when neuron L0.N1 fires, it raises “␣because” most" in tour(app)
            assert "congruence" not in tour(app)


async def test_only_the_first_prompt_fires_the_neuron_hardest() -> None:
    async with running(CannedExplorer(), LARGE) as (app, pilot):
        await press(pilot, "T", "T", "T")
        assert "Tour 3/5: the text that fires L5.N371 hardest. " in tour(app)
        await press(pilot, "j")
        assert "Tour 3/5: one text of L5.N371. " in tour(app)
