"""What cannot be computed again, read out of a damaged database as far as SQLite can still read it.

1. Rows are read in the order of the table, and, where that ends with an error, in the opposite order and
   then one by one: by the row numbers that the index of keys holds, and by every number up to the last.
2. A value counts when it opens under its key (envelope.py): damage gives a row less, never a wrong one.
3. Nothing is taken out of a database that somebody else made.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from tui_lookups.storage import connections, envelope

EXPLAINED, CHAT_ANSWERS, HUB_REVISION, NOTES = "explained", "chat_answers", "hub_revision", "notes"
"""Explanations by models and people with their scores; what models answered; which data a corpus was; what
people wrote of neurons, prompts and heads."""
IRREPLACEABLE = (EXPLAINED, CHAT_ANSWERS, HUB_REVISION, NOTES)
"""The kinds of entries that no model can compute again; whoever keeps such a kind adds it here."""

_MOST_ROWS = 1_000_000
"""Row numbers that are tried one by one: a minute at most."""
_FOR_NOW = frozenset((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM))
"""What passes; a place that refuses otherwise (a bad disk) may do so for ever."""
_LEAST_ROW = 128
"""Fewer bytes than an entry takes; tells how many there may be."""
_WANTED = ", ".join(f"'{kind}'" for kind in IRREPLACEABLE)
_TEXT = "CAST(key AS TEXT)"
_COLUMNS = (
    f"SELECT rowid, key, CASE WHEN substr({_TEXT}, 1, instr({_TEXT}, ':') - 1) IN ({_WANTED}) THEN value END"
    " FROM Cache NOT INDEXED"
)

_log = logging.getLogger(__name__)

Entries = dict[str, bytes]


def readable_entries(path: Path) -> Entries:
    """The irreplaceable entries of the database at `path`, sealed, by key; call it within `in_use`.

    Raises RefusedEntryError for a database that this package did not write, sqlite3.Error where it cannot be
    read for now (another process holds it), and nothing for damage.
    """
    from tui_lookups.storage.bytes_disk import refuse_foreign_tables

    try:
        with closing(connections.connect(path)) as connection:
            connection.text_factory = partial(str, encoding="utf-8", errors="replace")
            connection.execute("PRAGMA query_only = 1")
            connection.execute("PRAGMA writable_schema = 1")  # what is read of a damaged schema is used
            with suppress(sqlite3.Error):
                connection.execute("SELECT 1 FROM sqlite_schema")  # ... by the statements after the first
            refuse_foreign_tables(connection)
            return dict(_entries(connection, path.stat().st_size))
    except sqlite3.Error as error:
        if (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _FOR_NOW:
            raise  # it stays marked, and is read by whoever opens the cache next
        _log.warning("nothing can be read out of %s: %s", path, error)
        return {}


def in_words(entries: Entries) -> str:
    """What became of `entries`: "12 explanations and 3 scores were saved; the rest is computed again"."""
    explained = [key for key in entries if key.startswith(f"{EXPLAINED}:")]
    counts = {
        "explanation": len(explained),
        "score": sum(_is_scored(key, entries[key]) for key in explained),
        "answer to a request": sum(key.startswith(f"{CHAT_ANSWERS}:") for key in entries),
        "note": sum(key.startswith(f"{NOTES}:") for key in entries),
    }
    parts = [f"{count} {_plural(name, count)}" for name, count in counts.items() if count]
    if not parts:
        return "it gave back no explanations, and results are computed again"
    listed = " and ".join((", ".join(parts[:-1]), parts[-1])) if len(parts) > 1 else parts[0]
    return f"{listed} {'was' if sum(counts.values()) == 1 else 'were'} saved; the rest is computed again"


def _plural(name: str, count: int) -> str:
    head, space, rest = name.partition(" ")
    return name if count == 1 else f"{head}s{space}{rest}"


def _is_scored(key: str, sealed: bytes) -> bool:
    try:
        return json.loads(envelope.unseal(EXPLAINED, key, sealed))["score"] is not None
    except (ValueError, KeyError, TypeError):  # an entry of another version, which stays as it is
        return False


def _entries(connection: sqlite3.Connection, size: int) -> Iterator[tuple[str, bytes]]:
    last = size // _LEAST_ROW
    for order in ("ASC", "DESC"):
        whole = True
        try:
            for row in connection.execute(f"{_COLUMNS} ORDER BY rowid {order}"):
                last = max(last, row[0])
                yield from _entry(row)
        except sqlite3.Error:
            whole = False
        if whole:
            return
    rowids = dict.fromkeys(_rowids(connection))
    last = min(max(last, *rowids, 0), _MOST_ROWS)
    for rowid in (*rowids, *(number for number in range(1, last + 1) if number not in rowids)):
        try:
            row = connection.execute(f"{_COLUMNS} WHERE rowid = ?", (rowid,)).fetchone()
        except sqlite3.Error:
            continue
        if row is not None:
            yield from _entry(row)


def _rowids(connection: sqlite3.Connection) -> list[int]:
    """The row numbers that the index of keys still tells, from both of its ends."""
    rowids: list[int] = []
    for order in ("ASC", "DESC"):
        try:
            rowids.extend(
                rowid
                for (rowid,) in connection.execute(
                    f"SELECT rowid FROM Cache INDEXED BY Cache_key_raw ORDER BY key {order}, raw {order}"
                )
            )
        except sqlite3.Error:
            continue
    return rowids


def _entry(row: tuple[int, object, object]) -> Iterator[tuple[str, bytes]]:
    """The entry in a row, if it is one of ours and whole."""
    _, key, value = row
    if not isinstance(key, str) or not isinstance(value, bytes):
        return
    try:
        envelope.unseal(key.partition(":")[0], key, value)
    except envelope.DamagedEntryError:
        return
    yield key, value
