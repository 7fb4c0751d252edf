"""The newest entries are kept, however they were put in."""

from __future__ import annotations

from tui_lookups.recent import Recent


def test_the_oldest_goes_above_the_bound() -> None:
    kept: Recent[str, int] = Recent(2)
    kept["a"], kept["b"], kept["c"] = 1, 2, 3
    assert list(kept.items()) == [("b", 2), ("c", 3)]


def test_what_is_put_in_again_is_the_newest() -> None:
    kept: Recent[str, int] = Recent(2)
    kept["a"], kept["b"], kept["a"], kept["c"] = 1, 2, 3, 4
    assert list(kept.items()) == [("a", 3), ("c", 4)]


def test_every_way_to_put_something_in_is_bounded() -> None:
    kept: Recent[int, int] = Recent(3)
    kept.update((number, number) for number in range(5))
    assert list(kept) == [2, 3, 4]
    assert kept.setdefault(7, 7) == 7
    kept |= {8: 8}
    assert list(kept) == [4, 7, 8]
