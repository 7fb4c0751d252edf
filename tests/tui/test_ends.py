"""Keys that move say where there is nothing further to move to."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.tui.canned import CannedExplorer
from tests.tui.driving import LARGE, hints, press, rest, running, type_text
from tui_lookups.tui.paint.prompt_layouts import scrolled_to

WHERE: dict[str, tuple[Sequence[str], str]] = {
    "before": (["left_square_bracket"], "This is where the walk began."),
    "after": (["right_square_bracket"], "There is nothing to go forward to."),
    "neuron": (["1", "k"], "This is the first neuron."),
    "neurons": (["1", "end", "pagedown"], "This is the last neuron."),
    "prompt": (["2", "k"], "This is the first prompt."),
    "prompts": (["2", "end", "pagedown"], "This is the last prompt."),
    "match": (["2", "end", "n"], "This is the last prompt."),
    "token": (["2", *["left"] * 32], "This is the first token of the prompt."),
    "layer": (["3", *["k"] * 4], "There is no layer above."),
    "head": (["3", "home", "h"], "There is no further head."),
    "listed": (["3", "v", "k"], "This is the first head."),
    "sources": (["4", "home", "k"], "This is the first row."),
}


@pytest.mark.parametrize("where", WHERE)
async def test_a_key_that_finds_nothing_further_says_so(where: str) -> None:
    keys, said = WHERE[where]
    async with running(CannedExplorer(hostile=False), LARGE) as (app, pilot):
        await rest(pilot)
        await press(pilot, *keys[:-1])
        assert not hints(app).startswith("Th")
        await press(pilot, keys[-1])
        assert hints(app).startswith(said)


async def test_a_text_that_is_not_there_has_no_next_place() -> None:
    async with running(CannedExplorer(hostile=False)) as (app, pilot):
        await press(pilot, "2", "slash")
        await type_text(pilot, "zebra")
        await press(pilot, "enter", "n")
        assert hints(app).startswith("The text is not in these 20 prompts.")


@pytest.mark.parametrize(
    ("top", "height", "prompt", "token", "wanted"),
    [
        (0, 10, range(2, 6), [3], 0),
        (0, 5, range(2, 6), [3], 1),
        (9, 5, range(2, 6), [3], 2),
        (0, 4, range(2, 12), [8], 5),
        (9, 4, range(2, 12), [3], 2),
        (7, 4, range(2, 12), [8], 7),
    ],
)
def test_a_list_is_scrolled_as_little_as_shows_the_token(
    top: int, height: int, prompt: range, token: list[int], wanted: int
) -> None:
    assert scrolled_to(top, height, prompt, token) == wanted
