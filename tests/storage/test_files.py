from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tui_lookups.errors import CacheError
from tui_lookups.storage import files
from tui_lookups.storage.cache import ResultCache

LONG_AGO = time.time() - 3600


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250)  # a suffix on this name would be too long for the file system
    files.write_atomically(path, b"one")
    files.write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_before_the_rename_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, step, fail)
    with pytest.raises(OSError, match="No space"):
        files.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_process_killed_before_the_rename_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    code = (
        "import os, signal, sys; from pathlib import Path; from tui_lookups.storage import files;"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL);"
        "files.write_atomically(Path(sys.argv[1]), b'new')"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert killed.returncode == -9
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("links", [True, False])
def test_without_overwrite_a_file_that_exists_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:

        def refuse(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(files.os, "link", refuse)
    path = tmp_path / "file"
    files.write_atomically(path, b"first", overwrite=False)
    with pytest.raises(FileExistsError):
        files.write_atomically(path, b"second", overwrite=False)
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["file"]


def test_private_files_are_private_and_others_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        files.write_atomically(tmp_path / "private", b"", private=True)
        files.write_atomically(tmp_path / "public", b"")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "public").stat().st_mode) == 0o644


def test_private_directories(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        files.make_private_directory(tmp_path / "a" / "b")
        (tmp_path / "wide").mkdir()
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    files.make_private_directory(tmp_path / "wide", tighten=False)
    assert stat.S_IMODE((tmp_path / "wide").stat().st_mode) == 0o777
    files.make_private_directory(tmp_path / "wide")
    assert stat.S_IMODE((tmp_path / "wide").stat().st_mode) == 0o700


def test_a_file_where_the_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(CacheError, match="file") as caught:
            files.make_private_directory(path)
        assert "--cache-dir" in caught.value.hint


def test_digests_are_remembered_until_the_file_changes(
    tmp_path: Path, cache: ResultCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_RACY_NS", -1)
    path = tmp_path / "weights"
    path.write_bytes(b"x" * 100)
    read: list[Path] = []
    digest = files.file_digest

    def counting(read_path: Path) -> str:
        read.append(read_path)
        return digest(read_path)

    monkeypatch.setattr(files, "file_digest", counting)
    remembered = files.FingerprintMemory(cache)
    expected = hashlib.sha256(b"x" * 100).hexdigest()
    assert [remembered(path), remembered(path)] == [expected] * 2
    assert len(read) == 1
    before = path.stat()
    # The same size and the same modification time, as `cp -p` leaves them: still not the same file.
    path.write_bytes(b"y" * 100)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert remembered(path) == hashlib.sha256(b"y" * 100).hexdigest()


def test_a_file_just_written_is_not_remembered(tmp_path: Path, cache: ResultCache) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"x")
    files.FingerprintMemory(cache)(path)
    assert cache.info().entries == 0


def test_file_system_types_are_read_from_the_mount_table(monkeypatch: pytest.MonkeyPatch) -> None:
    table = (
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "30 22 0:40 / /home rw shared:1 - nfs4 server:/home rw\n"
        "31 30 8:2 / /home/my\\040disk rw - xfs /dev/sdb1 rw\n"
    )
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: table)
    monkeypatch.setattr(Path, "resolve", lambda self, **_: self)
    assert files.filesystem_type(Path("/var/x")) == "ext4"
    assert files.is_network_filesystem(Path("/home/someone/.cache"))
    assert not files.is_network_filesystem(Path("/home/my disk/x"))
    assert not files.is_network_filesystem(Path("/homestead"))


def test_a_lock_is_held_by_one_and_freed_by_death(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from tui_lookups.storage.files import folder_lock\n"
        "with folder_lock(Path(sys.argv[1])) as held:\n"
        "    print(held, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        with files.folder_lock(tmp_path) as held:
            assert not held
        other.kill()
        other.wait()
    with files.folder_lock(tmp_path) as held:
        assert held
