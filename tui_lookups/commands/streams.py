"""The standard streams: an answer written to stdout, and streams that are closed, full or read by nobody.

Of a stream that was closed before this process began (`>&-`) Python has None:

1. A file that is opened later would get the number of the closed one, and what a library prints to that
   number would land in the file. So the numbers are taken first.
2. Input is empty, and what is said on stderr goes nowhere. Writing to stdout fails as it does where a disk is
   full: an answer that nobody can get is no success.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from tui_lookups.errors import LookupsError

_REFUSED = (errno.EBADF, errno.ENOSPC, errno.EDQUOT, errno.EIO)


def fill_closed_streams() -> None:
    """Put something in the place of every standard stream that is closed. Call it first of all."""
    for name, mode, access in (
        ("stdin", "r", os.O_RDONLY),
        ("stdout", "w", os.O_RDONLY),  # which refuses what is written
        ("stderr", "w", os.O_WRONLY),
    ):
        if getattr(sys, name) is None:
            lowest = os.open(os.devnull, access)  # the number of the closed one
            setattr(sys, name, os.fdopen(lowest, mode, encoding="utf-8", errors="backslashreplace"))


class ReaderLeft(Exception):
    """Whoever reads our stdout closed it, as `| head` does: not an error."""


@contextmanager
def answering() -> Iterator[None]:
    """Around writing an answer. Raises ReaderLeft, and LookupsError where stdout refuses it."""
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderLeft from error
    except OSError as error:
        raise _unwritable(error) from error


def _unwritable(error: OSError) -> LookupsError:
    return LookupsError(
        f"The answer cannot be written: {error.strerror or error}.", "Check where stdout goes."
    )


def refused_by_stdout(error: Exception) -> LookupsError | None:
    """What `error` says where it comes of stdout, to which click prints --help and --version; else None."""
    if isinstance(error, OSError) and error.errno in _REFUSED and error.filename is None:
        return _unwritable(error)
    return None


def write(data: bytes) -> None:
    """All of `data` to stdout. An unbuffered stdout (python -u) may take a part of it at a time."""
    sys.stdout.flush()
    rest = memoryview(data)
    while rest:
        rest = rest[sys.stdout.buffer.write(rest) :]
    sys.stdout.buffer.flush()


def leave(status: int) -> NoReturn:
    """End the process at once: daemon threads may be inside torch, where a normal exit can hang."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # the reader is gone, and `run` has said so where it matters
            continue
    os._exit(status)
