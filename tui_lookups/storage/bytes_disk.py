"""diskcache with a Disk that can neither write nor read pickle (CVE-2025-69872), and a look before opening.

diskcache unpickles any row or key that says it is a pickle, follows the file name that a row gives, and
executes the settings it finds in the database as PRAGMA statements. A cache folder that someone else could
write would so run their code. Here:

1. Keys are text, values are bytes kept inside the database; every other kind of row is refused.
2. No row's file name is ever opened or removed: this cache keeps no files beside the database.
3. Settings and tables are looked at with plain SQL first, and a database with any that this package does
   not write is refused before diskcache sees it.

Imported only by `database.py`, and there on first use.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diskcache import Cache, Disk
from diskcache.core import DBNAME, ENOVAL, MODE_RAW, UNKNOWN

from tui_lookups.storage import connections
from tui_lookups.storage.envelope import RefusedEntryError

SETTINGS: dict[str, int | str] = {
    "statistics": 0,
    "tag_index": 0,
    "eviction_policy": "none",
    "size_limit": 2**62,  # ours is checked before a write; diskcache would drop entries silently
    "cull_limit": 0,
    "sqlite_auto_vacuum": 1,
    "sqlite_cache_size": 2**11,
    "sqlite_cell_size_check": 1,
    "sqlite_journal_mode": "wal",
    "sqlite_mmap_size": 0,  # a mapped file that another process shortens kills this one
    "sqlite_synchronous": 1,
    "sqlite_trusted_schema": 0,
    "disk_min_file_size": 2**62,
    "disk_pickle_protocol": 0,
}
_SETTING_WRITES = {
    "INSERT OR REPLACE INTO Settings VALUES (?, ?)": (0, True),
    "INSERT OR IGNORE INTO Settings VALUES (?, ?)": (0, False),
    "UPDATE Settings SET value = ? WHERE key = ?": (1, True),
}
"""How diskcache writes a setting: which argument is the key, and whether the value there is compared."""

_HELD = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_COUNTERS = frozenset({"count", "size", "hits", "misses"})
_TABLES = frozenset({"Settings", "Cache", "sqlite_sequence"})


class BytesDisk(Disk):  # type: ignore[misc]
    """Keys of text, values of bytes inside the database, and nothing else in either direction."""

    def put(self, key: object) -> tuple[str, bool]:
        if type(key) is not str:
            raise RefusedEntryError(f"A cache key must be text, not {type(key).__name__}.")
        return key, True

    def get(self, key: object, raw: object) -> str:
        if type(key) is not str or not raw:
            raise RefusedEntryError("The cache holds a key that is not text; it was not decoded.")
        return key

    def store(
        self, value: object, read: bool, key: object = UNKNOWN
    ) -> tuple[int, int, None, sqlite3.Binary]:
        if type(value) is not bytes or read:
            raise RefusedEntryError(f"A cached value must be bytes, not {type(value).__name__}.")
        return 0, MODE_RAW, None, sqlite3.Binary(value)

    def fetch(self, mode: object, filename: object, value: object, read: bool) -> bytes:
        if mode != MODE_RAW or filename is not None or type(value) is not bytes or read:
            raise RefusedEntryError("it is of a kind that this cache never writes (such as a pickle)")
        return value

    def filename(self, key: object = UNKNOWN, value: object = UNKNOWN) -> tuple[str, str]:
        raise RefusedEntryError("This cache keeps no files beside its database.")

    def remove(self, file_path: object) -> None:
        """Remove nothing: a file name in a row was put there by someone else and may point anywhere."""


class BytesCache(Cache):  # type: ignore[misc]
    """diskcache on connections of ours (connections.py), that takes no setting from the database.

    It gives up on a database which another process holds (diskcache tries for a minute, and for ever where
    the clock is set back meanwhile), and opens one without writing to it (diskcache writes every setting
    anew, so that nothing could be read while another process writes, or from a full disk).
    """

    def __init__(self, directory: Path, opening: connections.OpeningLock) -> None:
        self._opening = opening
        self._path = directory / DBNAME
        super().__init__(str(directory), connections.TIMEOUT_SECONDS, BytesDisk, **SETTINGS)

    def rows(self, statement: str, parameters: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """Rows by plain SQL, past diskcache, which would decode keys."""
        rows: list[tuple[Any, ...]] = self._con.execute(statement, parameters).fetchall()
        return rows

    @property
    def _con(self) -> connections.Connection:
        """This thread's connection, made ready: SQLite opens the log with the first statement that reads."""
        connection: connections.Connection | None = getattr(self._local, "con", None)
        if connection is None or connection.closed:
            with self._opening():
                connection = connections.connect(self._path)
                try:
                    for key, value in SETTINGS.items():
                        if key.startswith("sqlite_"):
                            _set_pragma(connection, key, value)
                    connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
                except BaseException:
                    connection.close()
                    raise
            self._local.con = connection
        return connection

    @property
    def _sql_retry(self) -> Callable[..., Any]:
        execute = self._sql

        def persist(statement: str, *arguments: Any) -> Any:
            if statement in _SETTING_WRITES and _is_there(execute, statement, *arguments):
                return None
            return _persist(lambda: execute(statement, *arguments))

        return persist

    def reset(self, key: str, value: object = ENOVAL, update: bool = True) -> object:
        if value is not ENOVAL and not _is_our_setting(key, value):
            raise RefusedEntryError(f"The cache database holds a foreign setting named {key!r}.")
        if key.startswith("sqlite_"):  # a pragma, which every connection was given when it was made
            setattr(self, key, value)
            return value
        return super().reset(key, value, update)


def refuse_foreign_tables(connection: sqlite3.Connection) -> None:
    """Raise RefusedEntryError for a database with a table, view or trigger that this package never makes."""
    connection.execute("PRAGMA trusted_schema = 0")
    for kind, name in connection.execute("SELECT type, name FROM sqlite_schema"):
        ours = kind in ("index", "trigger") or (kind == "table" and name in _TABLES)
        if not ours or (kind == "trigger" and not str(name).startswith("Settings_")):
            raise RefusedEntryError(f"The cache database holds a foreign {kind} named {name!r}.")


def refuse_foreign_settings(connection: sqlite3.Connection) -> None:
    """Raise RefusedEntryError for a setting that this package never writes; there may be no table of them."""
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'Settings'").fetchall():
        return
    for key, value in connection.execute("SELECT key, value FROM Settings"):
        if not (type(value) is int if key in _COUNTERS else _is_our_setting(key, value)):
            raise RefusedEntryError(f"The cache database holds a foreign setting named {key!r}.")


def _set_pragma(connection: sqlite3.Connection, key: str, value: object) -> None:
    """Give a connection one of SETTINGS; what it has already is not set again, which may need a lock."""
    pragma = key.removeprefix("sqlite_")
    if connection.execute(f"PRAGMA {pragma}").fetchone() != (value,):
        _persist(lambda: connection.execute(f"PRAGMA {pragma} = {value}").fetchall())


def _persist(execute: Callable[[], Any]) -> Any:
    """What `execute` returns, tried anew while another process holds the database, up to the time-out."""
    deadline = time.monotonic() + connections.TIMEOUT_SECONDS
    while True:
        try:
            return execute()
        except sqlite3.OperationalError as error:
            held = getattr(error, "sqlite_errorcode", 0) & 0xFF in _HELD
            if not held or time.monotonic() > deadline:
                raise
            time.sleep(0.001)


def _is_there(execute: Callable[..., Any], statement: str, values: tuple[Any, Any]) -> bool:
    """Whether the table of settings holds already what this statement of diskcache would write."""
    place_of_key, compared = _SETTING_WRITES[statement]
    key, value = values[place_of_key], values[1 - place_of_key]
    row = execute("SELECT value FROM Settings WHERE key = ?", (key,)).fetchone()
    return row is not None and (not compared or (row[0] == value and type(row[0]) is type(value)))


def _is_our_setting(key: object, value: object) -> bool:
    return key in SETTINGS and type(value) is type(SETTINGS[str(key)]) and value == SETTINGS[str(key)]
