"""This process's connections to its cache databases, and the two locks that hold around them.

POSIX drops every lock that a process holds on a file when the process closes any descriptor of that file,
and a child made by a fork inherits SQLite's belief in locks, but not the locks. Either way another process
takes the database from under this one, and it is torn. So:

1. A database file that exists is opened by SQLite alone, here.
2. Whoever uses SQLite does so within `in_use`. A fork waits until nobody does and closes every connection of
   the process first; parent and child each open anew.
3. `OpeningLock` lies in a file of its own beside the database: a connection is opened under it, shared, and
   the database's files are made and renamed under it, alone. SQLite opens the write-ahead log by its name,
   which is another database's log when the files change names in between.
4. `writing` is the lock of writes and checkpoints: releases of SQLite before 3.51.3 can tear a database
   when two checkpoints and a write meet, and waiters of its own lock may starve.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from weakref import WeakSet

from tui_lookups.errors import CacheError
from tui_lookups.storage.files import waiting_lock

TIMEOUT_SECONDS = 5.0
"""How long a statement, or an opening, waits for another process."""
_FORK_SECONDS = 4 * TIMEOUT_SECONDS
"""How long a fork waits for this process's own statements."""


class Connection(sqlite3.Connection):
    """A connection that is closed before a fork, on whichever thread that is."""

    closed = False

    def close(self) -> None:
        self.closed = True
        super().close()


class _Forks:
    """Keeps count of who uses SQLite, so that a fork meets nobody."""

    def __init__(self) -> None:
        self.open: WeakSet[Connection] = WeakSet()
        self.carried_over = False
        self._turn = threading.Condition()
        self._users = 0

    @contextmanager
    def in_use(self) -> Iterator[None]:
        with self._turn:
            self._users += 1
        try:
            yield
        finally:
            with self._turn:
                self._users -= 1
                self._turn.notify_all()

    def before(self) -> None:
        self._turn.acquire()
        if self._turn.wait_for(lambda: not self._users, _FORK_SECONDS):
            for connection in list(self.open):
                connection.close()

    def in_parent(self) -> None:
        self._turn.release()

    def in_child(self) -> None:
        self.carried_over = self._users > 0
        self._turn, self._users = threading.Condition(), 0


_FORKS = _Forks()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_FORKS.before, after_in_parent=_FORKS.in_parent, after_in_child=_FORKS.in_child
    )

in_use = _FORKS.in_use
"""Around everything that opens or uses a connection."""


def connect(path: Path) -> Connection:
    """A connection to an existing database; call it within `in_use`. Raises sqlite3.Error, CacheError."""
    if _FORKS.carried_over:
        raise CacheError(
            "The cache cannot be used in this process, which was forked while another thread was using it.",
            "Start processes by spawning, or before the cache is used.",
        )
    address = path.absolute().as_uri() + "?mode=rw"
    connection = sqlite3.connect(
        address, TIMEOUT_SECONDS,
        isolation_level=None, uri=True, check_same_thread=False, factory=Connection,
    )  # fmt: skip
    _FORKS.open.add(connection)
    return connection


class OpeningLock:
    """The lock under which the files of the database in `directory` are opened, made and renamed.

    A thread that holds it has it already. Raises OSError, TimeoutError where another process keeps it.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / ".lock"
        self._held = threading.local()

    @contextmanager
    def __call__(self, *, alone: bool = False) -> Iterator[None]:
        if getattr(self._held, "now", False):
            yield
            return
        with waiting_lock(self._path, TIMEOUT_SECONDS, shared=not alone):
            self._held.now = True
            try:
                yield
            finally:
                self._held.now = False


def writing(directory: Path, timeout: float | None = None) -> AbstractContextManager[None]:
    """Hold the database in `directory` for writing; open the connection first. Raises as OpeningLock does."""
    return waiting_lock(directory / ".writing", TIMEOUT_SECONDS if timeout is None else timeout)
