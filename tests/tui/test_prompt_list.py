"""The prompt list: cost independent of its size, cursor kept, lines found by arithmetic."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.app import App, ComposeResult

from tests.tui.canned import CannedExplorer
from tui_lookups.ids import NeuronId
from tui_lookups.results import Prompt
from tui_lookups.tui.paint import prompt_layouts, prompt_lines
from tui_lookups.tui.paint.shading import ansi_palette
from tui_lookups.tui.widgets import painting
from tui_lookups.tui.widgets.prompt_list import PromptList

NEURON = NeuronId(5, 371)


class Shell(App[None]):
    palette = ansi_palette()

    def compose(self) -> ComposeResult:
        yield PromptList(id="prompts")


def many(count: int, length: int) -> tuple[Prompt, ...]:
    """`count` prompts of `length` tokens that share their tokens."""
    one = CannedExplorer(hostile=False, length=length).prompt(NEURON, 0)
    while len(one.tokens) < length:
        one = replace(one, tokens=one.tokens * 2, activations=one.activations * 2)
    return tuple(replace(one, rank=n + 1, prompt_id=n) for n in range(count))


async def test_ten_thousand_long_prompts_cost_what_is_on_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    wrapped: list[int] = []
    cleaned: list[int] = []
    wrap, texts_of = prompt_layouts.wrap_tokens, prompt_lines.texts_of
    monkeypatch.setattr(prompt_layouts, "wrap_tokens", lambda t, w: (wrapped.append(len(t)), wrap(t, w))[1])
    monkeypatch.setattr(prompt_lines, "texts_of", lambda p: (cleaned.append(p.prompt_id), texts_of(p))[1])
    async with Shell().run_test(size=(80, 24)) as pilot:
        prompts = pilot.app.query_one(PromptList)
        prompts.show_prompts(NEURON, many(10_000, 1_000))
        await pilot.pause()
        assert len(set(cleaned)) <= 24
        wrapped.clear()
        for key in ("j", "end", "home", "pagedown"):
            await pilot.press(key)
        assert len(wrapped) <= 4, "only the open prompt is ever laid out"
        assert len(set(cleaned)) <= 24 * 5
        assert prompts.index == 10


async def test_every_line_belongs_to_one_prompt() -> None:
    async with Shell().run_test(size=(80, 24)) as pilot:
        prompts = pilot.app.query_one(PromptList)
        prompts.show_prompts(NEURON, CannedExplorer().prompts(NEURON).prompts)
        await pilot.pause()
        for keys in (("j", "j", "j"), ("z",), ("end",)):
            for key in keys:
                await pilot.press(key)
            places = [prompts._locate(line) for line in range(prompts.virtual_size.height)]
            assert places == sorted(places)
            assert {index for index, _ in places} == set(range(20))
            assert len(set(places)) == len(places)


async def test_the_token_cursor_is_always_on_screen() -> None:
    async with Shell().run_test(size=(60, 12)) as pilot:
        prompts = pilot.app.query_one(PromptList)
        prompts.show_prompts(NEURON, CannedExplorer(length=400).prompts(NEURON).prompts)
        await pilot.pause()
        for key in ("j", "j", "m", *["l"] * 12, "j", "z", *["h"] * 12, "k", "end", "home"):
            await pilot.press(key)
            lines = prompts._token_lines(prompts.position)
            top = prompts.scroll_offset.y
            assert lines
            assert top <= lines[0] <= lines[-1] < top + prompts.scrollable_content_region.height


async def test_an_update_keeps_prompt_token_and_place() -> None:
    async with Shell().run_test(size=(80, 24)) as pilot:
        prompts = pilot.app.query_one(PromptList)
        found = CannedExplorer().prompts(NEURON).prompts
        prompts.show_prompts(NEURON, found[10:])
        for key in ("j", "j", "l"):
            await pilot.press(key)
        current, position = prompts.current, prompts.position
        assert current is not None
        prompts.show_prompts(NEURON, found)
        await pilot.pause()
        assert prompts.current == current
        assert prompts.position == position
        prompts.show_prompts(NEURON, found[:5])
        assert prompts.index == 0, "the prompt is gone: back to the first"
        prompts.show_prompts(NEURON, ())
        assert prompts.current is None


async def test_the_peak_is_marked_without_colour() -> None:
    async with Shell().run_test(size=(80, 24)) as pilot:
        prompts = pilot.app.query_one(PromptList)
        prompts.show_prompts(NEURON, CannedExplorer(hostile=False).prompts(NEURON).prompts)
        await pilot.pause()
        text = "\n".join("".join(s.text for s in prompts.render_line(y)) for y in range(24))
        assert text.count(" but│ because") == len([row for row in text.splitlines() if "│" in row])
        assert " but│ because" in text


async def test_an_untouched_list_follows_its_first_prompt_and_a_held_one_keeps_its_own() -> None:
    class Empty(Shell):
        AUTO_FOCUS = None

    old, better = many(3, 20), many(4, 20)[::-1]  # prompt 3 is new and now first, prompt 0 is last
    async with Empty().run_test(size=(80, 24)) as pilot:
        prompts = pilot.app.query_one(PromptList)
        for held, expected in ((False, 3), (True, 0)):
            prompts.show_prompts(None, ())
            prompts.show_prompts(NEURON, old)
            if held:
                prompts.hold()
            prompts.show_prompts(NEURON, better)
            assert prompts.current is not None
            assert prompts.current.prompt_id == expected


async def test_of_painted_lines_the_last_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(painting, "_STRIPS_KEPT", 50)
    async with Shell().run_test(size=(60, 20)) as pilot:
        prompts = pilot.app.query_one(PromptList)
        prompts.show_prompts(NEURON, many(3, 64))
        prompts.focus()
        painted: set[object] = set()
        for _ in range(40):
            await pilot.press("right")
            await pilot.pause()  # until it is painted
            painted.update(prompts._strips)
        assert len(prompts._strips) == 50 < len(painted)
