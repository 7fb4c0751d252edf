"""Which prompts lower the token that was asked for, though they fire the neuron most.

See method.md, section 2, Sign.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tui.canned import CannedExplorer
from tests.tui.driving import LARGE, rest, running
from tests.tui.head_words import NEURON
from tests.tui.views import texts
from tui_lookups.results import NeuronPrompts, Token
from tui_lookups.tui.text.prompt_facts import against_line

CAT = Token(7, " cat")


@pytest.mark.parametrize(
    ("congruence", "signs", "said"),
    [
        (0.31, (1, -1, -1), "2 of 3 fire against ␣cat: activation below zero, congr. +0.31"),
        (-0.31, (1, -1, -1), "1 of 3 fire against ␣cat: activation above zero, congr. -0.31"),
        (0.31, (1, 1, 1), None),
        (-0.31, (-1, -1, -1), None),
    ],
)
def test_prompts_against_the_token_are_counted(
    congruence: float, signs: tuple[int, ...], said: str | None
) -> None:
    prompt = CannedExplorer().prompt(NEURON, 0)
    line = against_line(CAT, congruence, [replace(prompt, sign=sign) for sign in signs])
    assert (None if line is None else "".join(segment.text for segment in line)) == said


class Gated(CannedExplorer):
    """Its prompts fire the neuron negatively."""

    def prompts(self, *given, **more) -> NeuronPrompts:
        found = super().prompts(*given, **more)
        return replace(found, prompts=tuple(replace(prompt, sign=-1) for prompt in found.prompts))


@pytest.mark.parametrize(("explorer", "shown"), [(Gated, True), (CannedExplorer, False)])
async def test_the_prompts_pane_says_so(explorer: type[CannedExplorer], shown: bool) -> None:
    async with running(explorer(hostile=False), LARGE) as (app, pilot):
        await rest(pilot)
        assert ("fire against ␣because" in "\n".join(texts(app))) is shown
