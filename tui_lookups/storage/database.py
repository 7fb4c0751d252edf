"""The database of the result cache: opened once a process, held to its place, replaced when it is damaged.

1. It is opened on first use under a shared lock; made, and set aside, by one process alone
   (connections.py).
2. Before and after each use its file is compared by its inode with the one that was opened: what another
   process has set aside, or a person removed, is let go, and a write to it is made again in the new one.
3. A database that is damaged as a whole, or was written by someone else, is set aside (set_aside.py). What
   cannot be computed again is read out of a damaged one (salvage.py) and put into the new one.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import sqlite3
import stat
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tui_lookups.errors import CacheError
from tui_lookups.storage import connections, salvage
from tui_lookups.storage import set_aside as aside
from tui_lookups.storage.envelope import RefusedEntryError
from tui_lookups.storage.files import create_private, is_present
from tui_lookups.storage.sqlite_errors import first_cause, is_damage, translated

if TYPE_CHECKING:
    from tui_lookups.storage.bytes_disk import BytesCache

T = TypeVar("T")
Inode = tuple[int, int]

_ATTEMPTS = 3
"""How often something is asked or written while the database is replaced under it."""

_log = logging.getLogger(__name__)


class Database:
    """The diskcache in `directory`, for several threads and processes.

    `prepare` makes the folders before the database is opened; `report` is told in a sentence what was set
    aside. Every method but `close` raises CacheError when the database cannot be opened, read or written.
    """

    def __init__(self, directory: Path, prepare: Callable[[], None], report: Callable[[str], None]) -> None:
        self.directory = directory
        self.path = directory / aside.DATABASE
        self._prepare = prepare
        self._report = report
        self._opening = connections.OpeningLock(directory)
        self._lock = threading.RLock()  # opening and replacing; never held during a query
        self._cache: BytesCache | None = None
        self._inode: Inode | None = None
        self._closed = False

    # --- use ---

    def get(self, key: str) -> bytes | None:
        """The sealed value under `key`, None too where the database was damaged. Raises RefusedEntryError."""
        stored: bytes | None = self._read(lambda cache: cache.get(key), None)
        return stored

    def rows(self, statement: str, parameters: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """Rows by plain SQL that reads; none where the database was damaged."""
        return self._read(lambda cache: cache.rows(statement, parameters), [])

    def change(self, change: Callable[[BytesCache], object]) -> None:
        """Make `change`, more than once where the database is replaced under it: it must not matter."""
        for _ in range(_ATTEMPTS):
            with connections.in_use():
                cache, inode = self._open()
                try:
                    cache.rows("SELECT 1")  # opens this thread's connection before others are kept waiting
                    with connections.writing(self.directory):
                        change(cache)
                except Exception as error:  # noqa: BLE001 - raised by `_damage` where it is none
                    cache.close()  # a failed commit may have left its transaction open
                    damage = "" if _inode(self.path) != inode else self._damage(error, "written")
                else:
                    damage = ""
                if damage:
                    self._replace(damage, inode)
                elif _inode(self.path) == inode:
                    return
        raise CacheError(
            f"The cache in {self.directory} could not be written: its database is replaced again and again.",
            "Find out what else works on this folder, or name another one with --cache-dir.",
        )

    def replace_damaged(self, why: str) -> None:
        """Set the database aside, which is damaged as `why` says."""
        with connections.in_use():
            _, inode = self._open()
            self._replace(f"The cache database is damaged ({why}).", inode)

    # --- the files ---

    def is_there(self) -> bool:
        """Whether there is a database."""
        return is_present(self.path)

    def size(self) -> int:
        """Bytes of the database, its side files, and those that were set aside."""
        return sum(aside.size(path) for path in (self.path, *self.set_aside()))

    def set_aside(self) -> tuple[Path, ...]:
        """The databases that were set aside, oldest first."""
        try:
            return aside.all_in(self.directory)
        except OSError as error:
            raise translated(error, self.directory, "read") from error

    def clear(self) -> None:
        """Delete every entry, and every database that was set aside."""
        if self.is_there():
            self.change(lambda cache: cache.clear())
            self.change(lambda cache: cache.rows("PRAGMA wal_checkpoint(TRUNCATE)"))  # room on the disk now
        try:
            if aside.all_in(self.directory):
                with self._opening(alone=True):
                    for path in aside.all_in(self.directory):
                        aside.remove(path)
        except OSError as error:
            raise translated(error, self.directory, "emptied") from error

    def close(self) -> None:
        """Let go of the database; other threads' connections end with them.

        The write-ahead log goes into the database first, unless another process is at it: what lies in the
        log is lost as a whole, without a word, when one byte of it is damaged.
        """
        with connections.in_use(), self._lock:
            cache, self._cache, self._closed = self._cache, None, True
            if cache is None:
                return
            try:
                if _inode(self.path) == self._inode:
                    cache.rows("PRAGMA busy_timeout = 0")
                    with connections.writing(self.directory, timeout=0.0):
                        cache.rows("PRAGMA wal_checkpoint(TRUNCATE)")
            except (sqlite3.Error, OSError, CacheError) as error:
                _log.info("the write-ahead log stays as it is: %s", error)
            finally:
                cache.close()

    # --- inside: opening ---

    def _read(self, read: Callable[[BytesCache], T], otherwise: T) -> T:
        for _ in range(_ATTEMPTS):
            with connections.in_use():
                cache, inode = self._open()
                try:
                    return read(cache)
                except CacheError:
                    raise
                except Exception as error:  # noqa: BLE001 - raised by `_damage` where it is none
                    damage = "" if _inode(self.path) != inode else self._damage(error, "read")
                if damage:
                    self._replace(damage, inode)
        return otherwise

    def _open(self) -> tuple[BytesCache, Inode | None]:
        """The diskcache and the inode of its file, opened on first use."""
        with self._lock:
            if self._closed:
                raise CacheError("The cache is closed.")
            if self._cache is not None and _inode(self.path) != self._inode:
                _log.info("%s is no longer the database that was opened", self.path)
                self._let_go()
            if self._cache is None:
                self._prepare()
                try:
                    self._open_or_replace()
                except CacheError:
                    raise
                except Exception as error:
                    raise translated(error, self.directory, "opened") from error
            assert self._cache is not None
            return self._cache, self._inode

    def _open_or_replace(self) -> None:
        inode = _inode(self.path)
        try:
            with self._opening():
                if _has_content(self.path) and not aside.unread_in(self.directory):
                    return self._open_in_place()
            why, foreign = "", False
        except RefusedEntryError as error:
            why, foreign = error.message, True
        except Exception as error:  # noqa: BLE001 - raised by `_damage` where it is none
            why, foreign = self._damage(error, "opened"), False
        if why:
            return self._replace(why, inode, foreign=foreign)
        with self._opening(alone=True):
            return self._make("The cache database was damaged.")

    def _open_in_place(self) -> None:
        """Open the database that is there. Raises RefusedEntryError, sqlite3.Error, OSError."""
        from tui_lookups.storage.bytes_disk import BytesCache

        _refuse_what_is_no_file(self.path)
        with self._opening():
            if _has_content(self.path):
                with closing(connections.connect(self.path)) as connection:
                    _refuse_foreign(connection)
            self._cache = BytesCache(self.directory, self._opening)
            self._inode = _inode(self.path)

    def _let_go(self) -> None:
        if self._cache is not None:
            self._cache.close()
            self._cache = None

    # --- inside: making and replacing, alone ---

    def _make(self, why: str) -> None:
        """Make the database unless it is there, and put into it what those set aside still have to give."""
        aside.move_side_files(self.directory)
        if not os.path.lexists(self.path):
            # Mode 0600 whatever the umask (SQLite gives its side files the same). The file gets its name when
            # no descriptor of it is left to be closed.
            temporary = self.directory / f".lookups-{secrets.token_hex(8)}.tmp"
            create_private(temporary).close()
            temporary.rename(self.path)
        self._open_in_place()
        for path in aside.unread_in(self.directory):
            saved = self._saved_from(path)
            aside.was_read(path)
            self._report(f"{why} It was set aside as {path.name}; {salvage.in_words(saved)}.")

    def _saved_from(self, place: Path) -> salvage.Entries:
        """What is read out of a database that was set aside, in the new one now."""
        assert self._cache is not None
        try:
            entries = salvage.readable_entries(place)
        except RefusedEntryError as error:
            _log.warning("nothing was taken out of %s: %s", place.name, error.message)
            return {}
        with self._cache.transact():
            for key, sealed in entries.items():
                self._cache.add(key, sealed)
        return entries

    def _damage(self, error: Exception, action: str) -> str:
        """What is wrong with a damaged database. Raises CacheError when `error` says something else.

        It is replaced once `error` is handled: what goes wrong then would seem to come of it.
        """
        if not is_damage(error):
            raise translated(error, self.directory, action) from error
        return f"The cache database is damaged ({first_cause(error)})."

    def _replace(self, why: str, inode: Inode | None, *, foreign: bool = False) -> None:
        """Set the database with this inode aside, unless another process has, and open a new one."""
        try:
            with self._lock, self._opening(alone=True):
                self._let_go()
                if _inode(self.path) != inode:
                    self._report(f"{why} Another process has set it aside; results are computed again.")
                else:
                    aside_at = aside.set_aside(self.directory, unread=not foreign)
                    if foreign:
                        self._report(
                            f"{why} It was set aside as {aside_at.name}, and nothing was taken out of it; "
                            "results are computed again."
                        )
                self._make(why)
        except (sqlite3.Error, OSError) as error:
            self._report(why)
            raise translated(error, self.directory, "started afresh") from error


def _refuse_foreign(connection: sqlite3.Connection) -> None:
    """Raise RefusedEntryError for a database of somebody else, sqlite3.Error for one that is damaged."""
    from tui_lookups.storage.bytes_disk import refuse_foreign_settings, refuse_foreign_tables

    try:
        refuse_foreign_tables(connection)
        refuse_foreign_settings(connection)
    except RefusedEntryError:
        (report,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if report != "ok":  # what looks foreign is what the damage left
            raise sqlite3.DatabaseError(str(report).splitlines()[0]) from None
        raise


def _inode(path: Path) -> Inode | None:
    """What tells a file from another one that has its name later; None where there is none to be seen."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _has_content(path: Path) -> bool:
    with suppress(FileNotFoundError):
        return path.lstat().st_size > 0
    return False


def _refuse_what_is_no_file(path: Path) -> None:
    """Raise OSError for a link, which may point anywhere, and for what SQLite would refuse without reason."""
    mode = path.lstat().st_mode
    if stat.S_ISREG(mode):
        refused = 0 if os.access(path, os.R_OK | os.W_OK) else errno.EACCES
    else:
        refused = errno.ELOOP if stat.S_ISLNK(mode) else errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
    if refused:
        raise OSError(refused, os.strerror(refused), str(path))
