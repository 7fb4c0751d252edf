"""Shares of work on threads of which each uses one of torch's."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from tui_lookups.scan.threads import one_thread, shares_at_once, work_on_shares


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_each_share_has_a_thread_with_one_of_torchs_and_the_caller_keeps_its_own() -> None:
    together, seen = threading.Barrier(3, timeout=60), []

    def work(share: int) -> None:
        together.wait()  # all three at once, or never
        seen.append((share, torch.get_num_threads(), torch.is_inference_mode_enabled()))

    for _ in range(2):  # the second time the threads are there
        shares = range(shares_at_once())
        with torch.inference_mode(), one_thread():
            work_on_shares(work, shares)
        assert sorted(seen) == [(share, 1, True) for share in range(3)]
        assert torch.get_num_threads() == 3
        seen.clear()


def test_a_new_thread_of_somebody_elses_has_the_callers_number() -> None:
    """torch tells a thread how many to use at its first operation, by what was set last anywhere."""
    with one_thread():
        work_on_shares(lambda _: None, range(3))
    seen: list[int] = []
    other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert seen == [3]


@pytest.mark.parametrize("failing", [0, 2])
def test_an_error_is_raised_when_all_are_done(failing: int) -> None:
    done = []

    def work(share: int) -> None:
        if share == failing:
            raise MemoryError(f"share {share}")
        done.append(share)

    with one_thread(), pytest.raises(MemoryError, match=f"share {failing}"):
        work_on_shares(work, range(3))
    assert sorted(done) == sorted({0, 1, 2} - {failing})
    assert torch.get_num_threads() == 3


def test_one_thread_is_for_what_is_within() -> None:
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3
