"""The result cache: answers on disk, for several processes and threads; it may miss, it is never wrong.

1. A key is a hash of what was asked (keys.py).
2. A value is bytes in an envelope (`envelope.py`) inside a diskcache database that knows no pickle
   (`bytes_disk.py`). A value that does not open is reported in `problems`, dropped and answered as a miss;
   one that opens but is of another version is dropped where it can be computed again, else read as far as
   its fields go.
3. A database that is damaged as a whole, or was written by someone else, is set aside and replaced; what
   cannot be computed again is taken over from a damaged one, and the rest is computed again (`database.py`).
4. What processes that were killed have left in the folder is removed when the database is opened
   (leftovers.py).
5. A write that fails (disk full, locked, over the size limit) is reported, and the answer still stands; a
   cache that cannot be opened or read at all raises CacheError.

Beside the database (`results/`) lie the folders `indexes/`, `corpora/` and `models/`, one sub-folder a key,
whose content belongs to the code that writes it; `info`, `verify` and `clear` cover them.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Literal, TypeVar

from tui_lookups.errors import CacheError
from tui_lookups.results import CacheInfo
from tui_lookups.storage import codec, envelope
from tui_lookups.storage.database import Database
from tui_lookups.storage.files import empty_folder, make_private_directory, reason, subfolders, tree_size
from tui_lookups.storage.keys import check_kind, make_key
from tui_lookups.storage.salvage import IRREPLACEABLE

T = TypeVar("T")
Folder = Literal["indexes", "corpora", "models"]

FOLDERS: tuple[Folder, ...] = ("indexes", "corpora", "models")
SIZE_LIMIT_SETTING = "cache_size_limit"
_MOST_PROBLEMS = 200
_MEASURE_AGAIN_SECONDS = 30.0

_log = logging.getLogger(__name__)


class ResultCache:
    """Results by key in `directory`; nothing is touched before the first use.

    `size_limit` is bytes for everything below `directory` (None: no limit); a write that would cross it is
    refused and reported, nothing is evicted. `database_directory` puts the database elsewhere than the
    arrays, for a `directory` on a network file system. Safe to use from several threads and processes.
    """

    def __init__(
        self, directory: Path, size_limit: int | None = None, *, database_directory: Path | None = None
    ) -> None:
        self.directory = directory
        self._size_limit = size_limit
        self._lock = threading.RLock()  # the two below
        self._problems: dict[str, None] = {}
        self._folder_bytes = (float("-inf"), 0)
        self._database = Database(
            database_directory or directory / "results", self._make_directories, self._report
        )

    # --- keys ---

    def key(self, kind: str, /, **parts: object) -> str:
        """The key of a question: "kind:sha256". `parts` are plain JSON values (mapping keys are text).

        Raises TypeError or ValueError for a part that JSON would spell ambiguously or not at all.
        """
        return make_key(kind, parts)

    # --- values ---

    def get(self, kind: str, key: str) -> bytes | None:
        """The bytes put under `key`, or None. Raises CacheError when the cache cannot be read at all."""
        try:
            sealed = self._database.get(key)
        except envelope.RefusedEntryError as error:
            self._drop(key, error.message)
            return None
        if sealed is None:
            return None
        try:
            return envelope.unseal(kind, key, sealed)
        except envelope.DamagedEntryError as error:
            self._drop(key, str(error))
            return None

    def put(self, kind: str, key: str, payload: bytes) -> None:
        """Keep `payload` under `key`. What prevents it is added to `problems`, not raised."""
        check_kind(kind)
        sealed = envelope.seal(kind, key, payload)
        try:
            self.refuse_if_full(len(sealed), f"a result of kind {kind}")
            self._database.change(lambda database: database.set(key, sealed))
        except CacheError as error:
            self._report(f"A result was not kept: {error}")

    def get_result(self, kind: str, key: str, type_: type[T]) -> T | None:
        """The dataclass put under `key`, or None. Raises CacheError as `get` does."""
        payload = self.get(kind, key)
        if payload is None:
            return None
        try:
            return codec.from_json_bytes(type_, payload, ours=True)
        except codec.DecodeError as error:
            if kind in IRREPLACEABLE:
                return self._of_another_version(key, payload, type_)
            self._drop(key, error.message)
            return None

    def put_result(self, kind: str, key: str, value: object) -> None:
        """Keep a dataclass of results/ under `key`. Raises NumericalError for NaN or infinite numbers."""
        self.put(kind, key, codec.to_json_bytes(value))

    def forget(self, key: str) -> None:
        """Delete what is kept under `key`, if anything is. What prevents it is added to `problems`."""
        try:
            self._database.change(lambda database: database.delete(key))
        except CacheError as error:
            self._report(str(error))

    def keys(self, kind: str) -> list[str]:
        """The keys of every entry of this kind, in no particular order. Raises CacheError as `get` does."""
        check_kind(kind)
        rows = self._database.rows(
            "SELECT key FROM Cache WHERE typeof(key) = 'text' AND substr(key, 1, ?) = ?",
            (len(kind) + 1, f"{kind}:"),
        )
        return [str(key) for (key,) in rows]

    # --- the folders beside the database ---

    def folder(self, name: Folder) -> Path:
        """The folder `name` below the cache directory, made private (0700) if it is not there.

        Raises CacheError.
        """
        make_private_directory(self.directory, tighten=False)
        path = self.directory / name
        make_private_directory(path)
        return path

    def refuse_if_full(self, wanted: int, what: str) -> None:
        """Raise CacheError when `wanted` more bytes would cross the size limit."""
        if self._size_limit is None:
            return
        used = self._database.size() + self._other_bytes()
        if used + wanted > self._size_limit:
            raise CacheError(
                f"The cache holds {used:,} bytes and {what} needs {wanted:,} more, which crosses the limit "
                f"of {self._size_limit:,} bytes.",
                f"Raise the setting {SIZE_LIMIT_SETTING} or empty the cache with `lookups-tui cache clear`.",
            )

    # --- the whole ---

    @property
    def problems(self) -> tuple[str, ...]:
        """What was refused, dropped or not kept so far, one sentence each, oldest first."""
        with self._lock:
            return tuple(self._problems)

    def info(self) -> CacheInfo:
        """What the cache folder holds; makes nothing. Raises CacheError when it cannot be read."""
        sizes: dict[str, int] = {}
        entries = 0
        if self._database.is_there():
            for kind, count, size in self._database.rows(
                "SELECT CASE WHEN typeof(key) = 'text' AND instr(key, ':') > 0"
                " THEN substr(key, 1, instr(key, ':') - 1) ELSE 'unknown' END AS kind,"
                " COUNT(*), COALESCE(SUM(LENGTH(value)), 0) FROM Cache GROUP BY kind ORDER BY kind"
            ):
                sizes[str(kind)] = int(size)
                entries += int(count)
        for name in FOLDERS:
            if (self.directory / name).is_dir():
                sizes[name] = tree_size(self.directory / name)
        total = self._database.size() + sum(sizes.get(name, 0) for name in FOLDERS)
        indexes = len(subfolders(self.directory / "indexes"))
        problems = (*self.problems, *map(_set_aside_sentence, self._database.set_aside()))
        return CacheInfo(str(self.directory), entries, total, sizes, indexes, problems)

    def stale(self) -> tuple[str, ...]:
        """One sentence each about entries, indexes and corpora in a format that this version does not read.

        They are in nobody's way but take room. Raises CacheError when the cache cannot be read.
        """
        from tui_lookups.storage import stale

        there = self._database.is_there()
        ((entries,),) = self._database.rows(*stale.COUNT_ENTRIES) if there else [(0,)]
        folders = {name: subfolders(self.directory / name) for name in ("indexes", "corpora")}
        return stale.sentences(int(entries), folders)

    def clear(self) -> CacheInfo:
        """Remove every result, every database set aside and everything in the three folders; what is left.

        Links are not followed: a folder that is one is left alone and reported, like one that another
        process is writing to.
        """
        with self._lock:
            self._problems.clear()
            self._folder_bytes = (float("-inf"), 0)
        self._database.clear()
        for name in FOLDERS:
            self._clear_folder(self.directory / name)
        return self.info()

    def verify(self) -> tuple[str, ...]:
        """Check the database, every entry and every array folder; one sentence per damage found.

        Damaged entries are dropped; damaged arrays are left for the code that wrote them, which computes
        them again. Raises CacheError when the cache cannot be read.
        """
        from tui_lookups.storage.arrays import verify_folder

        problems: list[str] = []
        if self._database.is_there():
            problems += self._verify_database()
        for name in FOLDERS:
            for folder in subfolders(self.directory / name):
                problems += verify_folder(folder)
        for sentence in problems:
            self._report(sentence)
        return tuple(problems)

    def close(self) -> None:
        """Let go of the database; later calls raise CacheError. Other threads' connections end with them."""
        self._database.close()

    # --- inside ---

    def _make_directories(self) -> None:
        from tui_lookups.storage.leftovers import sweep

        make_private_directory(self.directory, tighten=False)
        make_private_directory(self._database.directory)
        for folder in (self.directory, self.directory / "models"):
            sweep(folder)

    def _of_another_version(self, key: str, payload: bytes, type_: type[T]) -> T | None:
        """An entry that is whole, as its checksum says, but has other fields than this version's.

        An earlier version's lacks fields that have defaults; what does not fit all the same is left alone.
        """
        try:
            return codec.from_json_bytes(type_, payload)
        except codec.DecodeError as error:
            self._report(f"The cached entry {key[:24]} cannot be read and is left alone: {error.message}")
            return None

    def _drop(self, key: str, why: str) -> None:
        """Report a damaged entry and delete its row; a row that cannot be deleted is reported again later."""
        self._report(f"The cached entry {key[:24]} was dropped: {why.rstrip('.')}.")
        self.forget(key)

    def _verify_database(self) -> list[str]:
        before = len(self.problems)
        report = [str(text) for (text,) in self._database.rows("PRAGMA integrity_check(20)")]
        if report and report != ["ok"]:
            self._database.replace_damaged(report[0].splitlines()[0])
        for rowid, key, raw, mode, filename in self._database.rows(
            "SELECT rowid, key, raw, mode, filename FROM Cache"
        ):
            if type(key) is not str or not raw or mode != 1 or filename is not None:
                self._delete_row(rowid)
                self._report(
                    f"Row {rowid} of the cache was dropped: it is of a kind this cache never writes."
                )
            else:
                self.get(key.partition(":")[0], key)
        return list(self.problems[before:])

    def _delete_row(self, rowid: int) -> None:
        self._database.change(lambda database: database.rows("DELETE FROM Cache WHERE rowid = ?", (rowid,)))

    def _other_bytes(self) -> int:
        """Bytes of the folders beside the database, measured at most every half minute."""
        with self._lock:
            measured, total = self._folder_bytes
        if time.monotonic() - measured > _MEASURE_AGAIN_SECONDS:
            total = sum(tree_size(self.directory / name) for name in FOLDERS)
            with self._lock:
                self._folder_bytes = (time.monotonic(), total)
        return total

    def _clear_folder(self, folder: Path) -> None:
        if folder.is_symlink():
            self._report(f"{folder} is a link and was left alone; empty what it points to by hand.")
            return
        if not folder.is_dir():
            return
        try:
            for held in empty_folder(folder):
                self._report(f"{held} was left alone: another process is writing there.")
        except OSError as error:
            self._report(f"{folder} could not be emptied: {reason(error)}.")

    def _report(self, sentence: str) -> None:
        with self._lock:
            if sentence in self._problems or len(self._problems) >= _MOST_PROBLEMS:
                return
            self._problems[sentence] = None
        _log.warning("%s", sentence)


def _set_aside_sentence(place: Path) -> str:
    return (
        f"{place} is a database that was damaged, or not this tool's, and was set aside; "
        "`lookups-tui cache clear` removes it."
    )
