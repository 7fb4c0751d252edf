"""A walk from several tokens as one."""

from __future__ import annotations

import pytest

from tests.tui.canned import BECAUSE, VOCABULARY, CannedExplorer
from tests.tui.driving import LARGE, SMALL, line, press, running, settle
from tests.tui.head_words import asked
from tui_lookups.results import SetScore, Token, TokenSet
from tui_lookups.tui.panes.neurons import NeuronsPane
from tui_lookups.tui.state.token_sets import as_typed, members_of, members_typed, set_candidates, token_name
from tui_lookups.tui.widgets.neurons_table import NeuronsTable
from tui_lookups.tui.widgets.text import WrappedText
from tui_lookups.tui.widgets.token_box import CandidateList
from tui_lookups.tui.widgets.typed_line import TypedLine

TIME = next(token for token in VOCABULARY if token.text == " time")
TYPED = f'"{BECAUSE.text}" "{TIME.text}"'
ANY = TokenSet(BECAUSE.id, BECAUSE.text, (TIME,), "any")


@pytest.mark.parametrize(
    ("typed", "members"),
    [
        (TYPED, (" because", " time")),
        ('"a""b"  "c" ', ("a", "b", "c")),
        ('" because"', ()),
        (" because time", ()),
        ('"a" b', ()),
        ('he said "a" and "b"', ()),
    ],
)
def test_several_texts_in_quotes_are_a_set(typed: str, members: tuple[str, ...]) -> None:
    assert members_typed(typed) == members


def test_a_set_is_offered_in_each_way_and_what_is_no_token_is_said() -> None:
    explorer = CannedExplorer()
    found = set_candidates(explorer, f'{TYPED} "{BECAUSE.text}"', enter="enter")
    assert [row.token for row in found.rows] == [
        TokenSet(BECAUSE.id, BECAUSE.text, (TIME,), as_one) for as_one in ("mean", "any", "all")
    ]
    assert found.exact == 3
    assert "2 tokens as one" in found.note
    refused = set_candidates(explorer, f'{TYPED} "no such"', enter="enter")
    assert refused.rows == ()
    assert refused.note.startswith("no␣such is not one token")


def test_it_is_named_by_its_first_member_and_typed_as_it_was() -> None:
    assert token_name(ANY) == "␣because +1"
    assert as_typed(ANY) == TYPED
    assert members_of(ANY) == (BECAUSE, TIME)
    assert members_of(BECAUSE) == (BECAUSE,)
    assert members_of(None) == ()


async def test_a_walk_from_a_set_is_shown_gone_back_to_and_copied() -> None:
    explorer = CannedExplorer(hostile=False)
    async with running(explorer, LARGE) as (app, pilot):
        walk = app.walk_screen.walk
        before = walk.token
        await press(pilot, "t")
        app.screen.query_one("#token-input", TypedLine).value = TYPED
        await settle(pilot)
        rows = app.screen.query_one(CandidateList)
        assert [row.why for row in rows.found.rows] == ["as one: mean", "as one: any", "as one: all"]
        await press(pilot, "down", "enter")
        assert walk.token == ANY
        assert asked(explorer, "neurons_of_set")[-1] == ((BECAUSE.id, TIME.id), "any")
        assert line(app, "#token-facts").startswith("␣because +1  any")
        pane = app.screen.query_one(NeuronsPane)
        assert "that promote ␣because +1" in str(pane.border_title)
        table = app.screen.query_one(NeuronsTable)
        row = table.under_cursor
        assert isinstance(row, SetScore)
        note = app.screen.query_one("#ranking-note", WrappedText)
        assert "any: ␣because leads; ranks ␣because 1, ␣time 41" in note.text
        await press(pilot, "1", "down")
        assert "any: ␣time leads" in note.text, "it is of the row under the cursor"
        await press(pilot, "space")
        (marked,) = app.selection.neurons
        assert marked.token == TIME, "a neuron is marked for the member that leads"
        assert type(marked.token) is Token
        await press(pilot, "exclamation_mark")
        assert app.clipboard.startswith(f"lookups-tui neurons '#{BECAUSE.id}' '#{TIME.id}' --top")
        assert app.clipboard.endswith("--as-one any")
        await press(pilot, "percent_sign")
        assert f"explorer.neurons_of_set([{BECAUSE.id}, {TIME.id}], as_one='any'" in app.clipboard

        await press(pilot, "left_square_bracket")
        assert walk.token == before
        await press(pilot, "right_square_bracket")
        assert walk.token == ANY
        await press(pilot, "t")
        assert app.screen.query_one("#token-input", TypedLine).value == TYPED
        await press(pilot, "escape", "1", "down", "enter")
        assert walk.ranked is not None
        assert walk.figures is not None
        assert walk.figures.token == TIME, "at its peaks it is looked at for one token"

        state = app.walk_screen.session.state()
        assert state is not None
        assert (state.token, state.token_set) == (BECAUSE, ANY)


async def test_a_session_goes_on_with_the_set() -> None:
    explorer = CannedExplorer()
    async with running(explorer, SMALL) as (app, pilot):
        app.walk_screen.places.open_token(ANY)
        await settle(pilot)
        explorer.session = app.walk_screen.session.state()
    again = CannedExplorer()
    again.session = explorer.session
    async with running(again, SMALL) as (app, pilot):
        await press(pilot, "R")
        assert app.walk_screen.walk.token == ANY
