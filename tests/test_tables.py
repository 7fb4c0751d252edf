"""Tables: what is marked, left out and sorted, and that foreign text stays text."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from tests.fake_answers import BECAUSE, HOSTILE, NEURON, TOKENS, FakeExplorer, head_rows
from tui_lookups.commands import tables, tables_analysis  # noqa: F401 - registers renderers
from tui_lookups.ids import HeadId
from tui_lookups.results import PromptKind, Token
from tui_lookups.settings import Settings


def text_of(result: object, stream: io.TextIOBase | None = None) -> str:
    return tables.to_text(tables.render(result), stream or io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))


@pytest.fixture
def explorer() -> FakeExplorer:
    return FakeExplorer(Settings())


def test_a_type_without_a_table_is_a_defect() -> None:
    with pytest.raises(TypeError, match="no table for int"):
        tables.render(3)


def test_the_peak_is_marked_and_what_is_trimmed_away_is_dim() -> None:
    shown = tables.around(TOKENS, 3, start=1)
    assert shown.plain == "He went[/INST]␛[31m⏎\\u202e| because| he"
    dim = [shown.plain[span.start : span.end] for span in shown.spans if span.style == "dim"]
    assert dim == ["He", " he"]


def test_a_long_prompt_is_cut_on_both_sides_of_the_peak() -> None:
    tokens = [Token(i, f" w{i:02}") for i in range(90)]
    shown = tables.around(tokens, 50, before=8, after=8).plain
    assert shown == "… w48 w49| w50| w51 w52…"
    assert tables.around(tokens, 0, before=8, after=4).plain == "| w00| w01…"


def test_heads_come_by_size_with_the_sum_and_nothing_else_hidden(explorer: FakeExplorer) -> None:
    lines = text_of(explorer.heads(NEURON, prompt=1, sources=HeadId(3, 1))).splitlines()
    heads = [line.split()[0] for line in lines if line.startswith("L")]
    assert heads == ["L0.H1", "L3.H1", "L3.H0", "L0.H0"]
    assert (
        "heads -0.280  mlps +4.000  embedding +0.100  attention biases +0.200  bias +0.230  =  4.250"
        in lines[3]
    )
    assert "pre-activation 4.250, remainder 0.0e+00" in lines[3]
    assert any("L3.H1 reads" in line for line in lines)


def test_gated_heads_show_gate_and_up(explorer: FakeExplorer) -> None:
    gated = tuple(replace(score, gate=0.5, up=score.attribution - 0.5) for score in head_rows())
    table = text_of(replace(explorer.heads(NEURON, prompt=1), heads=gated))
    assert "gate" in table
    assert "+0.500" in table


def test_many_heads_are_cut_and_the_cut_is_said(explorer: FakeExplorer) -> None:
    scores = tuple(replace(head_rows()[0], head=HeadId(0, i), index=i) for i in range(30))
    table = text_of(replace(explorer.heads(NEURON, prompt=1), heads=scores))
    assert "10 more heads; --json has them all." in table
    assert table.count("L0.H") == 20


def test_a_layer_without_heads_and_a_neuron_without_prompts_say_so(explorer: FakeExplorer) -> None:
    assert "No head reaches this neuron." in text_of(replace(explorer.heads(NEURON, prompt=1), heads=()))
    assert "No prompt yet." in text_of(replace(explorer.prompts(NEURON), prompts=()))
    assert "No neuron fits." in text_of(replace(explorer.neurons(" because"), neurons=()))


def test_copies_are_a_column_where_there_are_any(explorer: FakeExplorer) -> None:
    found = explorer.prompts(NEURON)
    assert "copies" not in text_of(found)
    table = text_of(replace(found, prompts=tuple(replace(each, copies=41) for each in found.prompts)))
    assert "copies" in table
    assert "x41" in table


def test_a_neuron_that_never_fires_is_said_to(explorer: FakeExplorer) -> None:
    note = "L5.N371 never fires on these 506 prompts: its activation is between -0.1 and -0."
    assert note in text_of(replace(explorer.prompts(NEURON), prompts=(), note=note))
    assert note in text_of(replace(explorer.heads_overview(NEURON), heads=(), note=note))


def test_worth_explaining_says_on_which_texts(explorer: FakeExplorer) -> None:
    found = explorer.heads_overview(NEURON)
    assert "of these full windows; explanations go by the trimmed prompts" in text_of(found)
    assert "of these trimmed prompts, which explanations" in text_of(replace(found, context="trimmed"))


@pytest.mark.parametrize(
    ("kind", "title"),
    [
        ("top", f"Prompts that fire {NEURON}  "),
        ("random", f"Random prompts of {NEURON}  "),
        ("deciles", f"One prompt of each decile of {NEURON}, lowest first  "),
    ],
)
def test_prompts_are_called_what_they_are(explorer: FakeExplorer, kind: PromptKind, title: str) -> None:
    """With the figures at their peaks and without."""
    found = explorer.prompts_with_figures(NEURON, kind=kind)
    for shown in (found, replace(found, figures=(), figures_note="raw weights")):
        assert text_of(shown).startswith(title)


def test_the_sign_of_a_ranking_is_said_where_there_is_a_choice(explorer: FakeExplorer) -> None:
    for found in (explorer.neurons(" because"), explorer.atlas()):
        provenance = found.provenance
        gated = replace(provenance, model=replace(provenance.model, gated=True))
        assert "sign" not in text_of(found)
        assert "sign +" in text_of(replace(found, provenance=gated))
        assert "sign -" in text_of(replace(found, sign="-"))


def test_a_corpus_that_was_scanned_before_shows_no_speed(explorer: FakeExplorer) -> None:
    found = replace(explorer.scan(), seconds=0.0, tokens_per_second=0.0, resumed_from=506, prompts=506)
    lines = text_of(found).splitlines()
    assert "scanned  before; there was nothing left to do" in lines
    assert not any(line.startswith(("seconds", "tokens per second", "resumed from")) for line in lines)
    assert "tokens per second" in text_of(replace(found, seconds=2.0, tokens_per_second=9.0))


def test_all_zero_activations_draw_no_bar(explorer: FakeExplorer) -> None:
    flat = replace(explorer.activations(NEURON, "x"), activations=(0.0,) * 5)
    assert "+" not in text_of(flat)


def test_rows_do_not_wrap_into_a_pipe_and_do_on_a_terminal(
    explorer: FakeExplorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm-256color")
    long = replace(explorer.neurons(" because"), token=Token(1, "x" * 300))
    assert "x" * 300 in text_of(long)
    wrapped = text_of(long, Terminal()).splitlines()
    assert max(len(line.replace("\x1b[1m", "").replace("\x1b[0m", "")) for line in wrapped) <= 40
    assert "".join(wrapped).count("x") >= 300


def test_markup_and_emoji_codes_are_left_alone() -> None:
    table = tables.to_text(tables.facts([("[bold]a[/]", ":smile: " + HOSTILE.text)]), io.StringIO())
    assert "[bold]a[/]" in table
    assert ":smile: [/INST]␛[31m" in table


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2 * 10**9, "2.0 GB"), (5 * 10**15, "5000.0 TB")],
)
def test_sizes(size: int, text: str) -> None:
    assert tables.size_text(size) == text


def test_a_token_shows_its_spaces() -> None:
    assert tables.token_text(BECAUSE).plain == "␣because"
