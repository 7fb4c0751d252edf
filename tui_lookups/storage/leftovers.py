"""Folders for work under way, and the removal of what processes that were killed have left.

1. `working_folder` makes `.lookups-PURPOSE-XXXXXXXX/` with a lock inside, which it holds to the end: the
   system releases it when the process dies, however it dies. The work lies one level below, so that it can
   be renamed into place without the lock.
2. `sweep` looks at a folder's own entries, by name. A working folder goes when nobody holds its lock and it
   is older than the moment between being made and being locked. A temporary file of `write_atomically`
   has no lock: it goes after hours, in which no write of ours can still be under way.
3. What bears another name, is a link, or cannot be removed stays.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tui_lookups.storage.files import folder_lock, reason

UNLOCKED_SECONDS = 60.0
"""Age from which a working folder that nobody holds is taken for left behind."""
WRITING_SECONDS = 6 * 3600.0
"""Age from which a temporary file is."""

_WORKING = re.compile(r"\.lookups-[a-z]+-[a-z0-9_]{8}")
_TEMPORARY = re.compile(r"\.lookups-[0-9a-f]{16}\.tmp")

_log = logging.getLogger(__name__)


@contextmanager
def working_folder(parent: Path, purpose: str) -> Iterator[Path]:
    """An empty private folder (0700) below `parent`, which exists; removed at the end with what is in it.

    `purpose` is one word in lower case. Raises OSError when it cannot be made.
    """
    outer = Path(tempfile.mkdtemp(prefix=f".lookups-{purpose}-", dir=parent))
    try:
        with folder_lock(outer):
            work = outer / purpose
            work.mkdir(mode=0o700)
            yield work
    finally:
        shutil.rmtree(outer, ignore_errors=True)


def sweep(folder: Path) -> tuple[Path, ...]:
    """Remove what was left in `folder`, not below it; what was removed, sorted. Raises nothing."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.name.startswith(".lookups-"))
    except OSError:  # no such folder, or none that we may read: nothing of ours to remove
        return ()
    return tuple(folder / name for name in names if _removed(folder / name))


def _removed(path: Path) -> bool:
    try:
        status = path.lstat()
        age = time.time() - status.st_mtime
        if _TEMPORARY.fullmatch(path.name) and stat.S_ISREG(status.st_mode):
            if age < WRITING_SECONDS:
                return False
            path.unlink()
        elif _WORKING.fullmatch(path.name) and stat.S_ISDIR(status.st_mode):
            if age < UNLOCKED_SECONDS:
                return False
            with folder_lock(path) as held:
                if not held:
                    return False
                shutil.rmtree(path)
        else:
            return False
    except OSError as error:  # gone meanwhile, or a place that refuses; it is tried again the next time
        _log.info("%s was left behind and stays: %s", path, reason(error))
        return False
    _log.info("%s was left behind by a process that was killed, and was removed", path)
    return True
