"""Databases that are damaged, or somebody else's, set aside under another name: never deleted unread.

1. `cache.db` and its side files become `cache.db.damaged-N`; the newest KEPT of them stay.
2. One that is still to be read (salvage.py) is marked by an empty file beside it, made before the renaming
   and removed once what was read is in the new database. Whoever opens the cache after a process that was
   killed in between finds the mark and goes on.
3. Side files that such a process left without their database follow it.

Everything here is done under the OpeningLock, alone.
"""

from __future__ import annotations

import re
from pathlib import Path

from tui_lookups.storage.files import sync_directory

DATABASE = "cache.db"
SIDE_FILES = ("-wal", "-shm")
KEPT = 2
"""How many databases stay set aside."""

_SET_ASIDE = re.compile(rf"{re.escape(DATABASE)}\.damaged-([1-9][0-9]{{0,8}})")
_UNREAD = ".unread"


def set_aside(directory: Path, *, unread: bool) -> Path:
    """Give the database in `directory` its new name, which is returned; the oldest go. Raises OSError."""
    earlier = all_in(directory)
    number = 1 + (_number(earlier[-1]) if earlier else 0)
    path = directory / f"{DATABASE}.damaged-{number}"
    if unread:
        _mark(path).touch(mode=0o600)
    else:
        was_read(path)  # the mark of a process that was killed before it came to the renaming
    (directory / DATABASE).rename(path)
    move_side_files(directory)
    for old in [path for path in earlier if not _mark(path).exists()][: 1 - KEPT]:
        remove(old)
    sync_directory(directory)
    return path


def move_side_files(directory: Path) -> None:
    """Let side files without a database follow the one that was set aside last. Raises OSError."""
    if (directory / DATABASE).exists():
        return
    databases = all_in(directory)
    for side in SIDE_FILES:
        left = directory / f"{DATABASE}{side}"
        if not left.exists():
            continue
        if databases and not _beside(databases[-1], side).exists():
            left.rename(_beside(databases[-1], side))
        else:
            left.unlink()


def all_in(directory: Path) -> tuple[Path, ...]:
    """The databases that were set aside in `directory`, oldest first. Raises OSError."""
    if not directory.is_dir():
        return ()
    paths = [path for path in directory.iterdir() if _SET_ASIDE.fullmatch(path.name)]
    return tuple(sorted(paths, key=_number))


def unread_in(directory: Path) -> tuple[Path, ...]:
    """Those of them that are still to be read. Raises OSError."""
    return tuple(path for path in all_in(directory) if _mark(path).exists())


def was_read(place: Path) -> None:
    """Take the mark from a database that was set aside. Raises OSError."""
    _mark(place).unlink(missing_ok=True)


def remove(place: Path) -> None:
    """Delete a database that was set aside. Raises OSError."""
    for path in (*(_beside(place, side) for side in SIDE_FILES), place, _mark(place)):
        path.unlink(missing_ok=True)


def size(place: Path) -> int:
    """Bytes of a database (or of one set aside) with its side files; files that vanish are skipped."""
    total = 0
    for path in (place, *(_beside(place, side) for side in SIDE_FILES)):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def _number(place: Path) -> int:
    match = _SET_ASIDE.fullmatch(place.name)
    assert match is not None, place
    return int(match[1])


def _beside(place: Path, side: str) -> Path:
    return place.with_name(place.name + side)


def _mark(place: Path) -> Path:
    return place.with_name(place.name + _UNREAD)
