"""Files and folders written so that a crash, a full disk or another process never leaves half of one."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from tui_lookups.errors import CacheError
from tui_lookups.home import expanded

_CHUNK = 1 << 20
_LOCK_LOOK_SECONDS = 0.001
_RACY_NS = 2_000_000_000  # file systems stamp files in steps of up to two seconds (FAT)
_NO_HARD_LINKS = frozenset((errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS))
_NETWORK_FILESYSTEMS = frozenset(
    # kernel file systems, then what FUSE mounts
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "gpfs", "beegfs", "pvfs2", "glusterfs")
) | {"9p", "davfs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse"}


def write_atomically(path: Path, data: bytes, *, private: bool = False, overwrite: bool = True) -> None:
    """Write `data` to `path` so that a reader sees the old file or the whole new one, never a part.

    The bytes go to a new file in the same folder, to the disk, and then under the name. `private` gives
    mode 0600, otherwise the umask decides. Raises FileExistsError when `overwrite` is False and `path`
    exists (also when another process makes it at that moment), OSError as the system says.
    """
    # A name of fixed length: `path.name` plus a suffix may be longer than the file system allows.
    temporary = path.parent / f".lookups-{secrets.token_hex(8)}.tmp"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            os.replace(temporary, path)
        else:
            _rename_without_replacing(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    sync_directory(path.parent)


def create_private(path: Path) -> BinaryIO:
    """A new file that only its owner can read (0600, whatever the umask grants). Raises OSError."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b")


def _rename_without_replacing(temporary: Path, path: Path) -> None:
    """Give `temporary` the name `path` unless that exists: a hard link fails where a rename would replace."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        try:
            os.replace(temporary, path)
        except OSError:
            path.unlink(missing_ok=True)  # the empty file that kept the name
            raise


def sync_directory(directory: Path) -> None:
    """Make renames in `directory` survive a power cut (where directories can be synchronised at all)."""
    if sys.platform == "win32":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        # Some network file systems refuse to synchronise a directory; the rename itself is done.
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_private_directory(path: Path, *, tighten: bool = True) -> None:
    """Make `path` a folder that only its owner can enter (0700), with its parents as the umask says.

    A folder that exists is closed to others when `tighten`; without it (a folder the person chose) it is
    left as it is. Raises CacheError when it cannot be made or is not a folder.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        mode = path.stat().st_mode
        if not stat.S_ISDIR(mode):
            raise NotADirectoryError(f"{path} is a file")
        if tighten and sys.platform != "win32" and mode & 0o077:
            path.chmod(0o700)
    except OSError as error:
        raise CacheError(
            f"The cache folder {path} cannot be used: {reason(error)}.",
            "Name another one with --cache-dir or LOOKUPS_CACHE_DIR.",
        ) from error


def is_present(path: Path) -> bool:
    """Whether the cache has a file at `path`. Raises CacheError where there can be none, or none is seen."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise CacheError(
            f"The cache file {path} cannot be reached: {reason(error)}.",
            "Name another folder with --cache-dir or LOOKUPS_CACHE_DIR.",
        ) from error
    return True


def reason(error: OSError | ValueError) -> str:
    """Why the system refused, as a phrase in lower case ("permission denied")."""
    text = (getattr(error, "strerror", None) or str(error) or type(error).__name__).strip().rstrip(".")
    return text[:1].lower() + text[1:]


Digest = Callable[[Path], str]
"""SHA-256 (hex) of a file: worked out, or remembered."""


def file_digest(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes, read in pieces of a megabyte. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class BytesStore(Protocol):
    """Where digests of files and revisions of data sets are remembered; `ResultCache` is one."""

    def key(self, kind: str, /, **parts: object) -> str: ...

    def get(self, kind: str, key: str) -> bytes | None: ...

    def put(self, kind: str, key: str, payload: bytes) -> None: ...


class FingerprintMemory:
    """File digests remembered by resolved path, size and times, so that gigabytes are hashed once.

    The inode and the change time are part of the key: a tool that restores the modification time
    (`cp -p`, `rsync -t`) does not restore those. A file changed within the last two seconds is not
    remembered, since a second change in the same tick would leave no trace.
    """

    KIND = "file_digest"

    def __init__(self, store: BytesStore) -> None:
        self._store = store

    def __call__(self, path: Path) -> str:
        """SHA-256 (hex) of the file at `path`. Raises OSError, CacheError."""
        resolved = path.resolve(strict=True)
        before = resolved.stat()
        key = self._key(resolved, before)
        remembered = self._store.get(self.KIND, key)
        if remembered is not None:
            return remembered.decode("ascii")
        digest = file_digest(resolved)
        after = resolved.stat()
        changed_ns = max(after.st_mtime_ns, after.st_ctime_ns)
        if self._key(resolved, after) == key and time.time_ns() - changed_ns > _RACY_NS:
            self._store.put(self.KIND, key, digest.encode("ascii"))
        return digest

    def _key(self, path: Path, status: os.stat_result) -> str:
        return self._store.key(
            self.KIND,
            path=os.fsencode(path).hex(),
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            ctime_ns=status.st_ctime_ns,
            inode=status.st_ino,
        )


def filesystem_type(path: Path) -> str | None:
    """The type of the file system `path` lies (or would lie) on, None where the system does not tell.

    Reads /proc/self/mountinfo, so it answers on Linux only.
    """
    try:
        lines = (
            Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        )
    except OSError:
        return None
    target = expanded(path).resolve()
    best, best_depth = None, -1
    for line in lines:
        mount, separator, tail = line.partition(" - ")
        if not separator:
            continue
        point = Path(_unescape_mount(mount.split(" ")[4]))
        # The longest mount point wins; of two on the same point the later one lies on top.
        if target.is_relative_to(point) and len(point.parts) >= best_depth:
            best, best_depth = tail.split(" ")[0], len(point.parts)
    return best


def is_network_filesystem(path: Path) -> bool:
    """Whether `path` is known to lie on a network file system, where SQLite's locks are not safe."""
    return filesystem_type(path) in _NETWORK_FILESYSTEMS


def _unescape_mount(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


def subfolders(folder: Path) -> list[Path]:
    """The real (not linked) sub-folders of `folder`, sorted; none when it is no folder."""
    if not folder.is_dir():
        return []
    return sorted(child for child in folder.iterdir() if child.is_dir() and not child.is_symlink())


def empty_folder(folder: Path) -> list[Path]:
    """Remove everything in a folder: links themselves, never what they point to. Raises OSError.

    Returns:
        The sub-folders that were left alone, since somebody holds their lock and writes there.
    """
    held = []
    for child in folder.iterdir():
        if child.is_symlink() or not child.is_dir():
            child.unlink()
            continue
        with folder_lock(child) as free:
            if free:
                shutil.rmtree(child)
            else:
                held.append(child)
    return held


def tree_size(folder: Path) -> int:
    """Bytes of the regular files below `folder`; links are not followed, files that vanish are skipped."""
    total = 0
    for file in walk_files(folder):
        with suppress(FileNotFoundError):
            total += file.lstat().st_size
    return total


def walk_files(folder: Path) -> Iterator[Path]:
    """Every regular file below `folder`, without following links."""
    for parent, _, names in os.walk(folder, followlinks=False):
        for name in names:
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                yield path


@contextmanager
def folder_lock(folder: Path) -> Iterator[bool]:
    """Hold `folder` for writing among processes and threads; yields False when someone else holds it.

    The operating system releases the lock when the process dies, however it dies.
    """
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield _try_lock(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def waiting_lock(path: Path, seconds: float, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock file `path`, made if it is not there, as `folder_lock` does, after waiting for it.

    Args:
        seconds: how long to wait for others; TimeoutError afterwards.
        shared: with others that hold it shared (alone all the same where the system has no such locks).
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + seconds
        while not _try_lock(descriptor, shared=shared):
            if time.monotonic() >= deadline:
                raise TimeoutError(errno.ETIMEDOUT, "another process holds it", str(path))
            time.sleep(_LOCK_LOOK_SECONDS)
        yield
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int, *, shared: bool = False) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int, *, shared: bool = False) -> bool:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
