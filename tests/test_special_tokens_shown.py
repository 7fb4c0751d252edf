"""A peak on a special token says so wherever it is shown, and a corpus says how many it has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.fake_answers import CORPUS, PROVENANCE, STATS, FakeExplorer, prompt
from tui_lookups.commands.tables import render, to_text
from tui_lookups.ids import NeuronId
from tui_lookups.results import Activations, NeuronPrompts, Prompt, ScanSummary, Token
from tui_lookups.settings import Settings
from tui_lookups.tui.paint.prompt_lines import Look, gutter, heading, in_words
from tui_lookups.tui.paint.shading import plain_palette


def on_a_special_token(special: bool | None) -> Prompt:
    plain = prompt(1)
    return replace(plain, peak=replace(plain.peak, special=special))


def table(result: object) -> str:
    import io

    return to_text(render(result), io.StringIO())


@pytest.mark.parametrize("special", [True, False, None])
def test_in_tables(special: bool | None) -> None:
    listed = NeuronPrompts(
        NeuronId(5, 371),
        Token(4, " because"),
        1.0,
        STATS,
        (on_a_special_token(special),),
        1,
        1,
        PROVENANCE,
        "",
    )
    assert ("(special token)" in table(listed)) == bool(special)


@pytest.mark.parametrize("special", [True, False, None])
def test_in_the_app(special: bool | None) -> None:
    shown, look = on_a_special_token(special), Look(plain_palette(), 1.0)
    assert ("*" in "".join(segment.text for segment in gutter(shown, look, open_=False))) == bool(special)
    assert ("(special token)" in "".join(s.text for s in heading(shown, 200, look))) == bool(special)
    assert ("a special token" in in_words(shown, frozenset())) == bool(special)


def test_in_the_table_of_a_typed_text() -> None:
    tokens = (Token(0, "<s>"), Token(1, " cat"), Token(2, "</s>"))
    found = Activations(NeuronId(5, 371), "x", tokens, (0.0, 1.0, 2.0), PROVENANCE, special=(0, 2))
    rows = table(found).splitlines()
    assert ["(special token)" in row for row in rows[-3:]] == [True, False, True]


@pytest.mark.parametrize("special", [True, False, None])
def test_in_the_table_of_heads_on_a_text(special: bool | None) -> None:
    found = replace(FakeExplorer(Settings()).heads(NeuronId(5, 371)), special=special)
    assert (f"at position {found.position} (special token)" in table(found)) == bool(special)


@pytest.mark.parametrize("count", [None, 0, 1234])
def test_in_the_description_of_a_corpus(count: int | None) -> None:
    corpus = replace(CORPUS, special_tokens=count)
    scanned = replace(PROVENANCE, corpus=corpus)
    summary = ScanSummary(1, 2, 3, 4.0, 5.0, 0, "index", scanned, 0)
    assert ("1,234 spelled out" in table(summary)) == bool(count)
    sentence = "1,234 special tokens are spelled out in the texts."
    assert (sentence in corpus.remarks) == bool(count)
