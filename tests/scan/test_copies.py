"""Which windows are copies: whole texts, a changed line, other texts; the same however the corpus grew."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scan.fake_model import MemoryCorpus, random_corpus
from tui_lookups.errors import Cancelled
from tui_lookups.scan import copies
from tui_lookups.scan.copies import FINGERPRINTS, RUN, find_copies, fingerprints

DRAW = np.random.default_rng(0)


def text(tokens: int) -> list[int]:
    return DRAW.integers(1000, 50_000, tokens).tolist()


def originals(windows: list[list[int]]) -> list[int]:
    return find_copies(MemoryCorpus(windows, [0] * len(windows)), lambda: None).originals.tolist()


def test_a_repeated_text_is_a_copy_of_its_first() -> None:
    one, other, short = text(80), text(80), [1, 2]
    found = find_copies(MemoryCorpus([one, other, one, short, one, short], [0] * 6), lambda: None)
    assert found.originals.tolist() == [0, 1, 0, 3, 0, 3]
    assert found.counts.tolist() == [3, 1, 3, 2, 3, 2]


@pytest.mark.parametrize("place", [0, 30, 90], ids=["first", "inside", "last"])
@pytest.mark.parametrize("length", [6, 12])
def test_texts_that_differ_in_a_line_are_copies(place: int, length: int) -> None:
    body = text(90)
    windows = [body[:place] + text(length) + body[place:] for _ in range(6)]
    assert originals(windows) == [0] * 6


def test_windows_whose_borders_a_longer_line_has_shifted_are_copies() -> None:
    """A document of three windows, and the same after ten more tokens."""
    document = text(600)
    cut = [document[start : start + 200] for start in (0, 200, 400)]
    longer = text(10) + document
    shifted = [longer[start : start + 200] for start in (0, 200, 400, 600)]
    assert originals(cut + shifted)[3:6] == [0, 1, 2]


def test_texts_that_share_less_than_half_are_none() -> None:
    shared = text(60)
    windows = [shared + text(140) for _ in range(8)]
    assert originals(windows) == list(range(8))


def test_a_copy_is_one_of_the_text_it_shares_most_with() -> None:
    """Half boilerplate that came with another text first, the rest its own."""
    boilerplate, own = text(60), text(120)
    assert originals([boilerplate + text(120), boilerplate + own, boilerplate + own]) == [0, 1, 1]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 120), st.integers(0, 5), st.integers(1, 400))
def test_what_a_window_is_depends_on_those_before_it_alone(cut: int, seed: int, at_once: int) -> None:
    whole = random_corpus(120, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copies, "_AT_ONCE", at_once)  # however the work is cut
        windows = [window.tolist() for window in whole.windows]
        assert originals(windows[:cut]) == originals(windows)[:cut]


def test_it_is_what_the_definition_says() -> None:
    """One window after the other, with sets."""
    windows = [window.tolist() for window in random_corpus(150, seed=3, window=40, vocabulary=6).windows]
    owner: dict[int, int] = {}
    expected = []
    for number, window in enumerate(windows):
        prints = [int(each) for each in fingerprints([np.array(window)])[0]]
        own = sorted(set(prints) - {2**64 - 1})
        shared = [owner[each] for each in own if each in owner]
        best = max(sorted(set(shared)), key=shared.count, default=None)
        if best is not None and 2 * shared.count(best) >= len(own):
            expected.append(best)
            continue
        expected.append(number)
        for each in own:
            owner.setdefault(each, number)
    assert originals(windows) == expected
    assert 20 < sum(place != each for place, each in enumerate(expected)) < 140


def test_fingerprints_are_distinct_runs_ascending() -> None:
    rows = fingerprints([np.array(text(200)), np.array([7] * 50), np.array([7] * RUN), np.array([1, 2])])
    counts = (rows != 2**64 - 1).sum(1).tolist()
    assert counts == [FINGERPRINTS, 1, 1, 1]
    assert (rows[0][1:] > rows[0][:-1]).all()
    assert rows[1][0] == rows[2][0] != rows[3][0]


def test_tells_how_far_it_is_and_can_be_stopped_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "_AT_ONCE", 100)
    monkeypatch.setattr(copies, "_ROWS_AT_ONCE", 8)
    corpus, told, polls = random_corpus(60), [], []
    find_copies(corpus, lambda: polls.append(1), told.append)
    shares = [each.share for each in told]
    assert shares == sorted(shares)
    assert (shares[0], len(told) > 12, 2 / 3 < shares[-1] < 1) == (0.0, True, True)
    for calls in range(len(polls)):
        left = iter(range(calls))

        def stop(left=left) -> None:
            if next(left, None) is None:
                raise Cancelled

        with pytest.raises(Cancelled):
            find_copies(corpus, stop)


def test_no_windows_and_a_stop() -> None:
    assert originals([]) == []

    def stop() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        find_copies(MemoryCorpus([[1, 2]], [0]), stop)
