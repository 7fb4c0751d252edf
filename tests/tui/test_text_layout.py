"""Wrapping and snippets: nothing is lost, nothing is wider than the line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.tui.canned import HOSTILE
from tui_lookups.tui.paint.text_layout import fit, pack, snippet, wrap_tokens
from tui_lookups.visible import visible

TEXTS = st.lists(
    (st.text(max_size=12) | st.sampled_from([*HOSTILE, " word", "longer", "漢字漢字漢字"]))
    .map(visible)
    .filter(bool),
    min_size=1,
    max_size=40,
)


def test_words_stay_together() -> None:
    lines = wrap_tokens([" he", " went", " down", "wards"], 12)
    assert ["".join(span.text for span in line) for line in lines] == [" he went", " downwards"]


def test_a_long_token_is_cut_between_cells() -> None:
    lines = wrap_tokens(["漢字漢"], 5)
    assert ["".join(span.text for span in line) for line in lines] == ["漢字", "漢"]


@given(TEXTS, st.integers(2, 60))
def test_wrapping_keeps_every_token_in_order(texts: list[str], width: int) -> None:
    lines = wrap_tokens(texts, width)
    spans = [span for line in lines for span in line]
    assert "".join(span.text for span in spans) == "".join(texts)
    assert [span.token for span in spans] == sorted(span.token for span in spans)
    assert {span.token for span in spans} == set(range(len(texts)))
    for line in lines:
        assert sum(span.width for span in line) <= width
        assert all(span.width == cell_len(span.text) for span in line)


@given(TEXTS, st.integers(3, 90), st.data())
def test_a_snippet_fills_its_width_and_ends_the_peak_at_the_divider(
    texts: list[str], width: int, data: st.DataObject
) -> None:
    peak = data.draw(st.integers(0, len(texts) - 1))
    line = snippet(texts, peak, width)
    assert sum(cell_len(span.text) for span in line) == width
    divider = next(i for i, span in enumerate(line) if span.token == -1 and span.text == "│")
    assert line[divider - 1].token == peak
    assert sum(span.width for span in line[:divider]) == max(1, (width - 1) * 3 // 5)


def test_snippet_cost_does_not_grow_with_the_prompt() -> None:
    class Counting(list[str]):
        reads = 0

        def __getitem__(self, index: int) -> str:  # type: ignore[override]
            Counting.reads += 1
            return super().__getitem__(index)

    snippet(Counting([" word"] * 100_000), 50_000, 80)
    assert Counting.reads < 200


@given(st.text(max_size=30).map(visible), st.integers(0, 40))
def test_fit_is_exact(text: str, width: int) -> None:
    assert cell_len(fit(text, width)) == width
    assert cell_len(fit(text, width, right=True)) == width


def test_pack_breaks_between_parts_only() -> None:
    assert pack(("heads +3.1", "mlps +0.9", "= 4.0 (rest 0.00)"), 22) == (
        "heads +3.1  mlps +0.9",
        "= 4.0 (rest 0.00)",
    )
    assert pack((), 10) == ()
