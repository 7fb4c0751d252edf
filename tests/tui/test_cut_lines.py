"""What matters in a line is on screen at 80 columns: its end is not what gives way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.tui.canned import CannedExplorer, noise
from tests.tui.driving import SMALL, hints, press, rest, running
from tests.tui.head_words import HEAD, NEURON
from tests.tui.views import texts
from tui_lookups.exports.writing import export
from tui_lookups.results import Prompt, SelectedHead, SelectedPrompt, Selection
from tui_lookups.tui.paint import prompt_lines, text_layout
from tui_lookups.tui.paint.prompt_lines import Look, heading, in_words, one_line
from tui_lookups.tui.paint.shading import plain_palette


def far_in(explorer: CannedExplorer) -> Prompt:
    """A prompt with numbers as long as they get: three digits each, the corpus' number five."""
    prompt = explorer.prompt(NEURON, 0)
    shift = 100
    peak = replace(prompt.peak, position=prompt.peak.position + shift)
    assert prompt.trimmed is not None
    trimmed = replace(prompt.trimmed, start=prompt.trimmed.start + shift, activation=prompt.peak.activation)
    return replace(prompt, prompt_id=31415, peak=peak, trimmed=trimmed)


def said(prompt: Prompt, look: Look) -> str:
    return "".join(segment.text for segment in heading(prompt, 80, look))


def test_copies_end_the_line_of_a_prompt_and_stand_in_its_heading() -> None:
    prompt, look = far_in(CannedExplorer()), Look(plain_palette(), 4.3)
    repeated, wide = replace(prompt, copies=41), prompt_lines.texts_of(prompt)
    shown = replace(repeated, peak=CannedExplorer().prompt(NEURON, 0).peak)
    for width in (40, 120):
        line = "".join(segment.text for segment in one_line(shown, wide, width, look))
        assert line.endswith(" x41")
        assert len(line) == width
        once = "".join(segment.text for segment in one_line(replace(shown, copies=1), wide, width, look))
        assert "x41" not in once
        assert line[: width - 4] == once.ljust(width)[: width - 4], "peaks stay in their column"
    assert "x41" in said(repeated, look)
    assert "41 times in the corpus" in in_words(repeated, frozenset())


def test_the_number_of_a_prompt_is_not_cut() -> None:
    prompt, look = far_in(CannedExplorer()), Look(plain_palette(), 4.3)
    line = said(prompt, look)
    assert "keeps 100%" in line
    assert "31415" in line
    assert "…" not in line
    reads = look._replace(sources={}, sources_title="shaded: what L11.H11 reads")
    line = said(prompt, reads)
    assert "shaded: what L11.H11 reads" in line
    assert "31415" in line
    assert "…" not in line


@pytest.mark.parametrize("note", ["the peak is not positive", "the full text does not keep 80 % of the peak"])
def test_why_a_prompt_is_not_trimmed_is_not_cut(note: str) -> None:
    prompt = far_in(CannedExplorer())
    assert prompt.trimmed is not None
    prompt = replace(prompt, trimmed=replace(prompt.trimmed, start=0, trimmed=False, note=note))
    line = said(prompt, Look(plain_palette(), 4.3))
    assert f"not trimmed: {note}" in line
    assert "31415" in line


async def test_the_probability_of_what_follows_is_on_screen() -> None:
    async with running(CannedExplorer(hostile=False), SMALL) as (app, pilot):
        await press(pilot, "2", "right")
        await rest(pilot)
        (line,) = (text for text in texts(app) if "expects " in text)
        assert "then ␣because 1.2%" in line


async def test_a_long_path_keeps_the_name_of_the_file(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 50) / ("b" * 50)
    folder.mkdir(parents=True)
    async with running(CannedExplorer(), SMALL) as (app, pilot):
        app.selection = Selection((), (SelectedPrompt(NEURON, 1000),))
        await press(pilot, "x")
        app.screen.query_one("#path").value = str(folder / "lookups-export-because.json")  # type: ignore[attr-defined]
        await press(pilot, "enter")
        assert hints(app).startswith("Exported to ")
        assert any("/lookups-export-because.json" in text for text in texts(app))


def test_a_text_cut_in_the_middle_keeps_its_ends() -> None:
    assert text_layout.fit_middle("short", 10) == "short"
    assert text_layout.fit_middle("/one/two/three.json", 12) == "/on…ree.json"
    assert len(text_layout.fit_middle("/one/two/three.json", 12)) == 12
    for width in range(8):
        assert len(text_layout.fit_middle(str(noise(width)) * 3, width)) <= width


@pytest.mark.parametrize("count", [1, 2])
async def test_one_thing_is_one_thing(count: int, tmp_path: Path) -> None:
    explorer, path = CannedExplorer(), tmp_path / "x.json"
    heads = (SelectedHead(NEURON, HEAD), SelectedHead(NEURON, HEAD, 1000))[:count]
    export(explorer, Selection(heads=heads), path)
    async with running(explorer, SMALL) as (app, pilot):
        await press(pilot, "O")
        app.screen.query_one("#path").value = str(path)  # type: ignore[attr-defined]
        await press(pilot, "enter")
        named = {
            1: "1 thing marked from the export; b lists it.",
            2: "2 things marked from the export; b lists them.",
        }
        assert hints(app) == named[count]
