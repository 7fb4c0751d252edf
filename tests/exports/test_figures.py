"""Figures: which answers have one, that its numbers and texts are in it, and that it needs nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest

from tests import fake_sums
from tests.exports.test_report_page import HOSTILE
from tests.fake_answers import BECAUSE, NEURON, FakeExplorer
from tui_lookups.errors import LookupsError
from tui_lookups.exports import drawing, figures
from tui_lookups.exports.figures import svg
from tui_lookups.exports.shades import level
from tui_lookups.ids import HeadId
from tui_lookups.results import Token
from tui_lookups.settings import Settings
from tui_lookups.visible import visible

SVG = "{http://www.w3.org/2000/svg}"
EXPLORER = FakeExplorer(Settings())

ANSWERS: dict[str, Callable[[], Any]] = {
    "neurons": lambda: EXPLORER.neurons(BECAUSE.text),
    "tokens": lambda: EXPLORER.tokens(NEURON),
    "prompts": lambda: EXPLORER.prompts(NEURON),
    "prompts with figures": lambda: EXPLORER.prompts_with_figures(NEURON),
    "activations": lambda: EXPLORER.activations(NEURON, "a"),
    "heads": lambda: EXPLORER.heads(NEURON, prompt=1),
    "sources": lambda: EXPLORER.heads(NEURON, prompt=1, sources=HeadId(3, 1)),
    "overview": lambda: EXPLORER.heads_overview(NEURON),
    "inputs": lambda: fake_sums.inputs(NEURON, True),
    "why": lambda: fake_sums.why(None, 9),
    "atlas": lambda: EXPLORER.atlas(),
    "survey": lambda: EXPLORER.survey(progress=print),
    "served by": lambda: EXPLORER.served_by(HeadId(3, 1), progress=print),
}


def texts(figure: str) -> list[str]:
    return [each.text or "" for each in ElementTree.fromstring(figure).iter(f"{SVG}text")]


@pytest.mark.parametrize("name", ANSWERS)
def test_a_figure_is_black_text_on_white_and_needs_nothing(name: str) -> None:
    root = ElementTree.fromstring(svg(ANSWERS[name]()))
    assert root.get("color") == "#000000"
    assert root[0].attrib == {"width": root.get("width"), "height": root.get("height"), "fill": "#ffffff"}
    tags = {each.tag.removeprefix(SVG) for each in root.iter()}
    assert tags <= {"svg", "title", "text", "rect", "path", "g"}
    assert "sans-serif" in str(root.get("font-family"))
    assert not any("href" in key or "url(" in value for each in root.iter() for key, value in each.items())
    assert len(texts(svg(ANSWERS[name]()))) > 1


def test_numbers_are_beside_their_bars() -> None:
    said = texts(svg(ANSWERS["tokens"]()))
    assert said[1:] == [
        "␣because",
        "+6.125",
        visible(EXPLORER.tokens(NEURON).tokens[1].text),
        "+3.5",
        "␣so",
        "-4.25",
    ]
    bars = list(ElementTree.fromstring(svg(ANSWERS["tokens"]())).iter(f"{SVG}rect"))[1:]
    widths = [float(str(each.get("width"))) for each in bars]
    assert widths[0] / widths[2] == pytest.approx(6.125 / 4.25, rel=1e-3)
    assert [each.get("fill") for each in bars] == [drawing.POSITIVE, drawing.POSITIVE, drawing.NEGATIVE]


def test_the_parts_of_a_sum_are_all_there() -> None:
    found = fake_sums.inputs(NEURON, True)
    said = texts(svg(found))
    for value in (found.contributions.sum, found.contributions.other.embedding, found.contributions.rest):
        assert f"{value:+.4g}" in said or value == found.contributions.rest
    assert (
        said[said.index("heads") + 1] == f"{sum(row.contribution for row in found.contributions.heads):+.4g}"
    )


def test_a_grid_has_a_cell_a_head_and_frames_what_is_active() -> None:
    found = EXPLORER.heads(NEURON, prompt=1)
    paths = [str(each.get("d")) for each in ElementTree.fromstring(svg(found)).iter(f"{SVG}path")]
    *shades, frames = paths
    assert sum(path.count("M") for path in shades) == len(found.heads)
    assert frames.count("M") == sum(head.active for head in found.heads) == 1
    assert any(frames in path for path in shades), "the frame is around its cell"


def test_a_shaded_text_is_the_text_with_its_peak_in_a_frame() -> None:
    prompt = EXPLORER.prompts(NEURON).prompts[0]
    figure = figures.of_prompt(prompt, "L5.N371")
    said = [each.text or "" for each in figure.iter("text")][1:]
    assert "".join(said) == visible("".join(token.text for token in prompt.tokens)).replace(" ", "")
    (framed,) = [each for each in figure.iter("rect") if each.get("stroke")]
    peak = said.index(BECAUSE.text.strip())
    words = list(figure.iter("text"))[1:]
    assert float(str(framed.get("x"))) <= float(str(words[peak].get("x")))
    assert framed.get("y") == str(float(str(words[peak].get("y"))) - 11).removesuffix(".0")


def test_long_texts_break_into_lines_that_fit() -> None:
    tokens = [" word"] * 60
    figure = drawing.shaded(tokens, [1.0] * 60, "a title")
    assert len({each.get("y") for each in figure.iter("rect")}) == 4
    assert all(
        float(str(each.get("x"))) + float(str(each.get("width"))) <= float(str(figure.get("width")))
        for each in figure.iter("rect")
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_a_text(text: str) -> None:
    prompts = EXPLORER.prompts(NEURON, top=1)
    shown = replace(prompts, prompts=(replace(prompts.prompts[0], tokens=(Token(7, text),) * 5),))
    figure = svg(shown)
    assert texts(figure)[2:] == [visible(text).strip()] * 5
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", figure)


def test_an_answer_without_a_figure_is_a_sentence() -> None:
    with pytest.raises(LookupsError, match="no figure"):
        svg(EXPLORER.scan())
    with pytest.raises(LookupsError, match="never fires"):
        svg(replace(EXPLORER.prompts(NEURON), prompts=(), note="It never fires."))


@pytest.mark.parametrize(("value", "shade"), [(0.0, 0), (0.03, 0), (0.05, 1), (0.5, 5), (1.0, 8), (-1.0, -8)])
def test_shades_are_relative_to_the_largest(value: float, shade: int) -> None:
    assert level(value, 1.0) == shade
    assert level(value, 0.0) == 0
