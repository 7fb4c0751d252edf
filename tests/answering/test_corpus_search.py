"""All prompts of the corpus that hold a text: which, how far, and what cannot be found."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tui_lookups.errors import Cancelled, LookupsError
from tui_lookups.explorer import Explorer
from tui_lookups.model_thread import CURRENT_TOKEN, CancelToken
from tui_lookups.results import CorpusHits
from tui_lookups.results.matches import spans_of
from tui_lookups.settings import load_settings

TEXTS = ("The cat sat", "on the mat", "a cat, the cat", "日本", "no")


@pytest.fixture(scope="module")
def explorer(
    tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Explorer]:
    folder = tmp_path_factory.mktemp("searched")
    corpus = folder / "a.jsonl"
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    settings = load_settings(
        model=str(tiny_folder("gpt2")), corpus=str(corpus), cache_dir=folder / "cache", device="cpu"
    )
    made = Explorer(settings)
    yield made
    made.close()


def test_every_prompt_that_holds_it_in_the_order_of_the_corpus_whichever_its_case(explorer: Explorer) -> None:
    found = explorer.search_corpus("THE cat")
    assert [hit.prompt_id for hit in found.hits] == [0, 2]
    assert (found.looked, found.prompts, found.capped, found.note) == (5, 5, False, "")
    for hit in found.hits:
        for first, last in hit.spans:
            held = "".join(token.text for token in hit.tokens[first : last + 1])
            assert "the cat" in held.casefold()
    assert len(explorer.search_corpus("cat").hits[1].spans) == 2


def test_begin_of_text_is_in_no_text(explorer: Explorer) -> None:
    bos = explorer.model_info().bos
    assert bos is not None
    assert explorer.search_corpus(bos.text).hits == ()


def test_it_ends_with_the_most_hits_and_says_how_far_it_came(explorer: Explorer) -> None:
    found = explorer.search_corpus("cat", most=1)
    assert (len(found.hits), found.looked, found.capped) == (1, 1, True)
    assert not explorer.search_corpus("cat", most=2).hits[2:]


def test_letters_that_tokens_cut_into_bytes_are_not_found_and_that_is_said(explorer: Explorer) -> None:
    found = explorer.search_corpus("日")
    assert found.hits == ()
    assert "cut letters of it into bytes" in found.note


def test_nothing_is_refused(explorer: Explorer) -> None:
    with pytest.raises(LookupsError, match="nothing to search for"):
        explorer.search_corpus("")


def test_what_nobody_waits_for_ends(explorer: Explorer) -> None:
    token = CancelToken()
    token.cancel()
    before = CURRENT_TOKEN.set(token)
    try:
        with pytest.raises(Cancelled):
            explorer.search_corpus("cat")
    finally:
        CURRENT_TOKEN.reset(before)


def test_what_there_is_so_far_is_told(explorer: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui_lookups.answering.corpus_search._TOLD_SECONDS", 0.0)
    monkeypatch.setattr("tui_lookups.answering.corpus_search._WINDOWS", 1)
    told: list[CorpusHits] = []
    last = explorer.search_corpus("cat", so_far=told.append)
    assert [(each.looked, len(each.hits)) for each in told] == [(0, 0), (1, 1), (2, 1), (3, 2), (4, 2)]
    assert told[-1].hits == last.hits


@pytest.mark.parametrize(
    ("needle", "pieces", "spans"),
    [
        ("b", ("a", "b", "b"), ((1, 1), (2, 2))),
        ("bc", ("ab", "cd"), ((0, 1),)),
        ("aa", ("aaa", "a"), ((0, 0), (0, 1))),
        ("x", ("a",), ()),
        ("", ("a",), ()),
        ("b", ("a", "", "b"), ((2, 2),)),
    ],
)
def test_places_are_the_pieces_that_hold_them(
    needle: str, pieces: tuple[str, ...], spans: tuple[tuple[int, int], ...]
) -> None:
    assert spans_of(needle, pieces) == spans
