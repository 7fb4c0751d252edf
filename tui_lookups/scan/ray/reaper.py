"""Run as a program beside a Ray that was started here: ends what is left of it when its owner dies.

1. Its stdin is a pipe whose other end the owner alone holds: it ends when the owner does, however that is.
2. Every process that Ray started carries the folder of this Ray in its environment. The system kills those
   that the owner started itself; helpers of theirs would wait a minute for them, and are killed here. One
   that has given itself a title ("ray::DashboardAgent") may have written it over that very variable: it is
   known by a file of the folder, its log, that it holds open.
3. It is over when many looks in a row have found none, not one: a process that was forked before its
   parent was killed shows an empty environment while its program is put in place.
4. The folder is removed.

Standard library only, and nothing of this package: it starts at once and stays small.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

MARK = "LOOKUPS_RAY_FOLDER"
"""Variable that holds the folder in the environment of Ray's processes."""

_MOST_SECONDS = 60.0
"""How long this may take: a busy machine needs a while to end a process that holds much memory."""

_QUIET_LOOKS, _BETWEEN_SECONDS = 10, 0.05
"""So many looks in a row must find nothing."""


def marked(folder: str) -> list[int]:
    """Processes of this user that carry the folder; none where there is no /proc."""
    wanted, processes = f"{MARK}={folder}".encode(), []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes()
            if wanted in environment.split(b"\0") or _is_titled_and_holds(entry, folder):
                processes.append(int(entry.name))
        except OSError:  # it has ended, or is another user's
            continue
    return processes


def _is_titled_and_holds(entry: Path, folder: str) -> bool:
    if not (entry / "cmdline").read_bytes().startswith(b"ray::"):
        return False
    return any(os.readlink(file).startswith(f"{folder}/") for file in (entry / "fd").iterdir())


def reap(folder: str) -> None:
    """Kill the processes that carry the folder, and remove it."""
    deadline, quiet = time.monotonic() + _MOST_SECONDS, 0
    while quiet < _QUIET_LOOKS and time.monotonic() < deadline:
        left = marked(folder)
        quiet = 0 if left else quiet + 1
        for process in left:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(_BETWEEN_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    reap(sys.argv[1])
