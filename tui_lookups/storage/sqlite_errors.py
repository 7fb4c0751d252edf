"""What SQLite's and the system's errors mean for the cache: damage to be dropped, or a place that refuses."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tui_lookups.errors import CacheError
from tui_lookups.storage.files import reason

# What SQLite says of the place, not of the database.
_PLACE = frozenset(
    (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_PROTOCOL,
    )
)


def first_cause(error: Exception) -> Exception:
    """The first SQLite error of a chain: diskcache's rollback fails after some and hides what went wrong."""
    while isinstance(error.__context__, sqlite3.Error):
        error = error.__context__
    return error


def is_damage(error: Exception) -> bool:
    """Whether `error`, raised by diskcache or SQLite, says that the database is not what it was made to be.

    The statements are constants of diskcache, so "no such column" or "syntax error" can only come from
    damaged tables; SQLite's messages then may not even be UTF-8, and rows may have another shape than
    diskcache unpacks (ValueError, TypeError, KeyError).
    """
    error = first_cause(error)
    if isinstance(error, ValueError | TypeError | KeyError):
        return True
    if not isinstance(error, sqlite3.DatabaseError) or isinstance(error, sqlite3.ProgrammingError):
        return False
    if str(error).startswith("cannot "):  # rollback, commit, start: the connection's state, not the file's
        return False
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) not in _PLACE


def translated(error: Exception, results: Path, action: str) -> CacheError:
    """One clear CacheError for what SQLite or the system said; anything else is raised as it is."""
    from diskcache import Timeout

    error = first_cause(error)
    hint = "Name another folder with --cache-dir or LOOKUPS_CACHE_DIR."
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if isinstance(error, Timeout | TimeoutError) or code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        why, hint = "another process holds it, or it cannot be written", "Try again in a moment. " + hint
    elif code == sqlite3.SQLITE_FULL:
        why, hint = "the disk is full", "Make room, or name another folder with --cache-dir."
    elif code == sqlite3.SQLITE_READONLY:
        why = "it is read-only"
    elif isinstance(error, OSError):
        why = reason(error)
    elif isinstance(error, sqlite3.Error):
        why = str(error)
    else:
        raise error
    return CacheError(f"The cache in {results} could not be {action}: {why}.", hint)
