"""Finding text in prompts, and what the model expects after the token under the cursor."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.tui.canned import BOS, CannedExplorer
from tests.tui.driving import LARGE, SMALL, hints, line, press, rest, running, type_text
from tui_lookups.ids import NeuronId
from tui_lookups.results import Prompt, Token
from tui_lookups.tui.text.prompt_search import Found, Match, find_text
from tui_lookups.tui.widgets.prompt_list import PromptList


def prompt_of(*texts: str) -> Prompt:
    one = CannedExplorer(hostile=False).prompt(NeuronId(5, 371), 0)
    tokens = (BOS, *(Token(number, text) for number, text in enumerate(texts)))
    return replace(one, tokens=tokens, activations=(0.0,) * len(tokens))


def test_a_match_may_cross_tokens_and_ignores_case() -> None:
    prompts = (prompt_of(" It", " was", " The", "re"), prompt_of(" no"), prompt_of("there", " THERE"))
    found = find_text(prompts, "there")
    assert found.matches == (Match(0, 3, 4), Match(2, 1, 1), Match(2, 2, 2))
    assert found.prompts == 2
    assert found.tokens(0) == {3, 4}
    assert found.words(3) == "3 times in 2 of these 3 prompts"
    assert find_text(prompts, "xyz").words(3) == "not in these 3 prompts"
    assert find_text(prompts, "") == Found()
    assert Found().words(3) == "searching these 3 prompts"
    assert find_text(prompts[:1], "there").words(1) == "once in this prompt"


def test_matches_go_round() -> None:
    found = find_text((prompt_of(" a", " b", " a"), prompt_of(" b", " a")), " a")
    assert found.step(0, 0, 1) == Match(0, 1, 1)
    assert found.step(0, 1, 1) == Match(0, 3, 3)
    assert found.step(1, 2, 1) == Match(0, 1, 1)
    assert found.step(0, 1, -1) == Match(1, 2, 2)
    assert Found("x").step(0, 0, 1) is None


@given(st.lists(st.text(max_size=4), min_size=1, max_size=8), st.text(min_size=1, max_size=3))
def test_every_match_holds_the_text(texts: list[str], needle: str) -> None:
    prompt = prompt_of(*texts)
    for match in find_text((prompt,), needle).matches:
        held = "".join(token.text for token in prompt.tokens[match.first : match.last + 1])
        assert needle.casefold() in held.casefold()


async def test_slash_finds_n_goes_on_and_escape_ends() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "2", "slash")
        await type_text(pilot, "road")
        prompts = app.screen.query_one(PromptList)
        count = prompts.found.words(20)
        assert "of these 20 prompts" in count
        assert line(app, "#find-count") == count
        await press(pilot, "enter")
        assert app.focused is prompts
        assert hints(app).startswith("n next, N before, esc ends it.")
        assert line(app, "#find-count") == count
        first = (prompts.index, prompts.position)
        assert prompts.position in prompts.found.tokens(prompts.index)
        await press(pilot, "n")
        assert (prompts.index, prompts.position) > first
        await press(pilot, "N")
        assert (prompts.index, prompts.position) == first
        await press(pilot, "escape")
        assert prompts.found == Found()
        assert not app.screen.query_one("#find-line").display
        assert app.walk_screen.focused_pane == "prompts", "the first escape ends the search only"
        await press(pilot, "n")
        assert (prompts.index, prompts.position) != first, "without a search n is the next prompt"


async def test_what_the_model_expects_is_asked_for_when_the_token_cursor_rests() -> None:
    explorer = CannedExplorer(hostile=False)
    async with running(explorer, LARGE) as (app, pilot):
        await press(pilot, "2")
        await rest(pilot)
        assert not [call for call in explorer.calls if call[0] == "predictions"], "nobody asked yet"
        await press(pilot, "m", "right", "right", "left", "right")
        prompts = app.screen.query_one(PromptList)
        assert prompts.current is not None
        await rest(pilot)
        asked = [call[1] for call in explorer.calls if call[0] == "predictions"]
        assert asked == [(prompts.current.prompt_id, prompts.position)], "one question once it rests"
        said = line(app, "#predictions")
        assert said.startswith("then ␣because 1.2%  expects ")
        assert said.count("%") == 6
        await press(pilot, "right")
        await rest(pilot)
        assert line(app, "#predictions") != said
        assert len([call for call in explorer.calls if call[0] == "predictions"]) == 1, "known by now"
