"""Threads that each do a share of many small operations, every operation on one thread.

1. An operation on a megabyte is over before torch's own threads, which wait without spinning, are awake.
   Threads that work through a share each are woken once a share.
2. torch keeps a number of threads for each thread that calls it, and MKL one for all. The threads are made,
   and told to use one, where the caller uses one (`one_thread`), which then has its own number back.
3. More than `_MOST` wait for Python's lock rather than do anything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import torch

Share = TypeVar("Share")

_MOST = 16


def shares_at_once() -> int:
    """How many shares are worked on at once: as many as torch has threads here, within reason."""
    return min(torch.get_num_threads(), _MOST)


def work_on_shares(work: Callable[[Share], None], shares: Sequence[Share]) -> None:
    """Call `work` with each share, the first one here, each other on a thread; call it within `one_thread`.

    Returns when all are done. Raises what the first one raised that did.
    """
    inference = torch.is_inference_mode_enabled()

    def elsewhere(share: Share) -> None:
        with torch.inference_mode(inference):
            work(share)

    first, *others = shares
    under_way = [_threads(len(others)).submit(elsewhere, share) for share in others]
    try:
        work(first)
    finally:
        wait(under_way)
    for done in under_way:
        done.result()


@contextmanager
def one_thread() -> Iterator[None]:
    """Operations that start here within use one thread each."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    """So many threads, all of them there and each told to use one of torch's; call it within `one_thread`."""
    told = threading.Barrier(count + 1)

    def begin() -> None:
        torch.set_num_threads(1)
        told.wait()

    threads = ThreadPoolExecutor(count, "share", initializer=begin)
    for _ in range(count):  # a thread is made for each: none is idle before all are told
        threads.submit(int)
    told.wait()
    return threads
