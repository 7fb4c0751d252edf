"""Folders of NumPy arrays with checksums, committed as a whole: what the scan's index and a corpus lie in.

1. Each array is one .npy file under a name never used before, so no write touches what is committed.
2. `commit` writes manifest.json last, by rename. It lists every array with file, SHA-256, shape and dtype,
   beside a description of the caller's. What a crash leaves is not listed, is never read, and is removed
   by the next commit.
3. `open` maps arrays read-only and compares a file with its SHA-256 the first time this process meets it.
4. One writer at a time holds the folder's lock (released when the process dies); readers need none.

.npy is read with allow_pickle=False: object arrays are refused.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from tui_lookups.errors import CacheError, LookupsError, UnavailableError
from tui_lookups.storage.files import (
    create_private,
    file_digest,
    folder_lock,
    make_private_directory,
    reason,
    sync_directory,
    write_atomically,
)

MANIFEST = "manifest.json"
FORMAT_VERSION = 1
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,60}")
_FILE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,60}\.[A-Za-z][A-Za-z0-9_]{0,60}\.[0-9a-f]{16}\.npy")
_HINT = "It is dropped and computed again; check the disk if this comes back."
_HEADER_BYTES = 128
_LOST = frozenset((errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EIO))
"""What the system says of a file that will not come back; not of a want of memory, files or permission."""

_verified: dict[tuple[str, int, int, int], str] = {}
"""Digests of files this process has read whole, by path, size, modification time and inode."""


@dataclass(frozen=True, slots=True)
class ArrayFile:
    """One committed array as the manifest lists it."""

    file: str
    sha256: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is committed: the caller's `description`, and `arrays[block][key]`."""

    description: dict[str, Any]
    arrays: dict[str, dict[str, ArrayFile]]


class ArrayFolder:
    """Blocks of named arrays below `path`. Making one touches no disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def manifest(self) -> Manifest | None:
        """What is committed, None when nothing is.

        Raises CacheError when the manifest is damaged, UnavailableError when it cannot be read now.
        """
        try:
            data = (self.path / MANIFEST).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _unread(self.path / MANIFEST, error) from error
        return _read_manifest(self.path, data)

    def open(self, block: str, *, verify: bool = True) -> dict[str, npt.NDArray[Any]]:
        """The arrays of `block`, memory-mapped and read-only.

        With `verify` a file's checksum is compared the first time this process opens it. Raises CacheError
        when nothing is committed under that name or it is damaged: drop the folder and compute again;
        UnavailableError when it cannot be read now.
        """
        while True:
            manifest = self.manifest()
            if manifest is None or block not in manifest.arrays:
                raise CacheError(f"There are no arrays named {block} in {self.path}.", _HINT)
            entries = manifest.arrays[block]
            try:
                return {key: _open_array(self.path, entry, verify) for key, entry in entries.items()}
            except CacheError:
                # A commit of another process may have replaced the files since the manifest was read.
                if self.manifest() == manifest:
                    raise

    @contextmanager
    def writing(self) -> Iterator[ArrayWriter | None]:
        """Hold the folder for writing; yields None when another process or thread holds it.

        What was written and not committed when the block ends is removed. Raises CacheError.
        """
        make_private_directory(self.path)
        try:
            with folder_lock(self.path) as held:
                if not held:
                    yield None
                    return
                writer = ArrayWriter(self)
                try:
                    yield writer
                finally:
                    writer.abandon()
        except OSError as error:
            raise CacheError(
                f"{self.path} could not be written: {reason(error)}.",
                "Make room, or name another folder with --cache-dir.",
            ) from error

    def held(self) -> bool:
        """Whether another process or thread is writing to the folder now."""
        if not self.path.is_dir():
            return False
        try:
            with folder_lock(self.path) as free:
                return not free
        except OSError:  # it may have been removed since; who writes there finds out why not
            return False

    def drop(self) -> bool:
        """Remove the folder and what is in it, unless somebody is writing there: then False.

        Raises CacheError.
        """
        try:
            if not self.path.exists():
                return True
            with folder_lock(self.path) as free:
                if not free:
                    return False
                # The manifest goes first: a crash half-way leaves a folder that says it holds nothing.
                (self.path / MANIFEST).unlink(missing_ok=True)
                shutil.rmtree(self.path)
                return True
        except OSError as error:
            raise CacheError(f"{self.path} could not be removed: {reason(error)}.") from error


class ArrayWriter:
    """Writes into a folder it holds. Blocks committed before stay until they are replaced or dropped."""

    def __init__(self, folder: ArrayFolder) -> None:
        self._path = folder.path
        committed = _committed_or_nothing(folder)
        self._committed = committed.arrays if committed else {}
        self._arrays = {block: dict(entries) for block, entries in self._committed.items()}
        self._open: list[Appender] = []

    def write(self, block: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Write a block of arrays whole, in place of the block of that name. Raises OSError."""
        make_private_directory(self._path)  # somebody may have removed it by hand
        entries: dict[str, ArrayFile] = {}
        for key, array in arrays.items():
            _check_dtype(array.dtype)
            name = _new_name(block, key)
            with create_private(self._path / name) as file:
                np.lib.format.write_array(file, np.asarray(array, order="C"), allow_pickle=False)
                _synchronise(file)
            entries[key] = ArrayFile(name, file_digest(self._path / name), array.shape, array.dtype.str)
        self._arrays[block] = entries

    def appender(self, block: str, key: str, dtype: npt.DTypeLike) -> Appender:
        """A one-dimensional array written piece by piece, in place of `block`'s array `key`."""
        _check_dtype(np.dtype(dtype))
        made = Appender(self._path, block, key, np.dtype(dtype))
        self._open.append(made)
        return made

    def remove(self, block: str) -> None:
        """Leave `block` out of the next commit."""
        self._arrays.pop(block, None)

    def commit(self, description: Mapping[str, Any]) -> None:
        """Make everything written so far, and `description` (plain JSON), what the folder holds.

        Raises OSError; the folder then still holds what it held before.
        """
        for made in self._open:
            self._arrays.setdefault(made.block, {})[made.key] = made.finish()
        self._open.clear()
        sync_directory(self._path)
        write_atomically(self._path / MANIFEST, _manifest_bytes(description, self._arrays), private=True)
        self._committed = {block: dict(entries) for block, entries in self._arrays.items()}
        self._remove_leftovers()

    def abandon(self) -> None:
        """Close and remove what was written since the last commit."""
        for made in self._open:
            made.close()
        self._open.clear()
        self._remove_leftovers()

    def _remove_leftovers(self) -> None:
        listed = {entry.file for entries in self._committed.values() for entry in entries.values()}
        if not self._path.is_dir():
            return  # cleared by another process, with everything in it
        for path in self._path.iterdir():
            ours = _FILE.fullmatch(path.name) or (path.name.startswith(".lookups-") and path.suffix == ".tmp")
            if ours and path.name not in listed:
                path.unlink(missing_ok=True)


class Appender:
    """A one-dimensional .npy file that grows; the header with its length is written at the end."""

    def __init__(self, folder: Path, block: str, key: str, dtype: np.dtype[Any]) -> None:
        self.block, self.key, self.length = block, key, 0
        self._dtype = dtype
        self._path = folder / _new_name(block, key)
        self._file = create_private(self._path)
        self._file.write(b"\0" * _HEADER_BYTES)

    def append(self, values: npt.NDArray[Any]) -> None:
        """Add `values` [n]. Raises OverflowError when the dtype cannot hold them, OSError."""
        fitting = values.astype(self._dtype, copy=False)
        if fitting is not values and not np.array_equal(fitting, values):
            raise OverflowError(f"{self.block}.{self.key} cannot hold such values as {self._dtype}")
        self._file.write(np.ascontiguousarray(fitting).data)
        self.length += len(values)

    def finish(self) -> ArrayFile:
        """Write the header, put the file on the disk and describe it."""
        self._file.seek(0)
        self._file.write(_npy_header(self._dtype, self.length))
        _synchronise(self._file)
        self._file.close()
        return ArrayFile(self._path.name, file_digest(self._path), (self.length,), self._dtype.str)

    def close(self) -> None:
        self._file.close()


def verify_folder(path: Path) -> list[str]:
    """One sentence per damage found in an array folder; none for a folder without a manifest of ours.

    Reads every file whole, whatever this process has read before.
    """
    try:
        manifest = ArrayFolder(path).manifest()
    except (CacheError, UnavailableError) as error:
        return [error.message]
    if manifest is None:
        return []
    problems = []
    for entries in manifest.arrays.values():
        for entry in entries.values():
            try:
                if file_digest(path / entry.file) != entry.sha256:
                    problems.append(f"{path / entry.file} is damaged: its checksum does not match.")
            except OSError as error:
                problems.append(f"{path / entry.file} could not be read: {reason(error)}.")
    return problems


def _committed_or_nothing(folder: ArrayFolder) -> Manifest | None:
    """A damaged manifest commits to nothing: the writer starts afresh, its reader has reported it."""
    try:
        return folder.manifest()
    except CacheError:
        return None


def _open_array(folder: Path, entry: ArrayFile, verify: bool) -> npt.NDArray[Any]:
    path = folder / entry.file
    try:
        if verify:
            _verify(path, entry)
        empty = 0 in entry.shape  # nothing to map
        array: npt.NDArray[Any] = np.load(path, mmap_mode=None if empty else "r", allow_pickle=False)
    except OSError as error:
        raise _unread(path, error) from error
    except (ValueError, EOFError) as error:
        why = str(error) if isinstance(error, EOFError) else reason(error)
        raise CacheError(f"The array file {path} could not be read: {why}.", _HINT) from error
    if array.shape != entry.shape or array.dtype.str != entry.dtype:
        raise CacheError(f"The array file {path} is damaged: shape or type differ from the manifest.", _HINT)
    array.flags.writeable = False
    return array


def _unread(path: Path, error: OSError) -> LookupsError:
    """What an error of the system says of a file: gone or unreadable for good, or to be had another time."""
    if error.errno in _LOST:
        return CacheError(f"{path} could not be read: {reason(error)}.", _HINT)
    return UnavailableError(
        f"{path} could not be read: {reason(error)}.", "It was left in place; fix that and try again."
    )


def _verify(path: Path, entry: ArrayFile) -> None:
    status = path.stat()
    seen = (str(path), status.st_size, status.st_mtime_ns, status.st_ino)
    digest = _verified.get(seen)
    if digest is None:
        digest = _verified[seen] = file_digest(path)
    if digest != entry.sha256:
        raise CacheError(f"The array file {path} is damaged: its checksum does not match.", _HINT)


def _manifest_bytes(description: Mapping[str, Any], arrays: dict[str, dict[str, ArrayFile]]) -> bytes:
    body = {
        "format": FORMAT_VERSION,
        "description": dict(description),
        "arrays": {
            block: {
                key: {"file": e.file, "sha256": e.sha256, "shape": list(e.shape), "dtype": e.dtype}
                for key, e in entries.items()
            }
            for block, entries in arrays.items()
        },
    }
    return json.dumps({**body, "checksum": _body_checksum(body)}, allow_nan=False, indent=1).encode("ascii")


def _read_manifest(folder: Path, data: bytes) -> Manifest:
    damaged = CacheError(f"{folder / MANIFEST} is damaged.", _HINT)
    try:
        body = json.loads(data)
        checksum = body.pop("checksum")
        if body["format"] != FORMAT_VERSION or checksum != _body_checksum(body):
            raise damaged
        arrays = {
            block: {
                key: ArrayFile(e["file"], e["sha256"], tuple(e["shape"]), e["dtype"])
                for key, e in entries.items()
            }
            for block, entries in body["arrays"].items()
        }
        description = dict(body["description"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged from error
    # A file name that leads elsewhere is never ours, whoever wrote it.
    if not all(_FILE.fullmatch(entry.file) for entries in arrays.values() for entry in entries.values()):
        raise damaged
    return Manifest(description, arrays)


def _body_checksum(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode("ascii")).hexdigest()


def _new_name(block: str, key: str) -> str:
    if _NAME.fullmatch(block) is None or _NAME.fullmatch(key) is None:
        raise ValueError(f"{block!r} or {key!r} is not a name for an array")
    return f"{block}.{key}.{secrets.token_hex(8)}.npy"


def _check_dtype(dtype: np.dtype[Any]) -> None:
    if dtype.hasobject:
        raise TypeError("arrays of Python objects are not written: they would be pickles")


def _npy_header(dtype: np.dtype[Any], length: int) -> bytes:
    """The .npy 1.0 header (magic, version, length, dictionary) padded to `_HEADER_BYTES`."""
    text = f"{{'descr': {dtype.str!r}, 'fortran_order': False, 'shape': ({length},), }}"
    room = _HEADER_BYTES - 10
    padded = text.ljust(room - 1) + "\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded.encode("ascii")


def _synchronise(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
