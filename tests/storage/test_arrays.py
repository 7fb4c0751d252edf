from __future__ import annotations

import json
import os
import pickle
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tui_lookups.errors import CacheError
from tui_lookups.storage import arrays as module
from tui_lookups.storage.arrays import ArrayFolder, ArrayWriter, verify_folder


def commit(
    folder: ArrayFolder, description: dict[str, Any], **blocks: dict[str, np.ndarray[Any, Any]]
) -> None:
    with folder.writing() as writer:
        assert writer is not None
        for block, arrays in blocks.items():
            writer.write(block, arrays)
        writer.commit(description)


@pytest.fixture
def folder(tmp_path: Path) -> ArrayFolder:
    made = ArrayFolder(tmp_path / "folder")
    commit(
        made,
        {"prompts": 7},
        layer0={"values": np.arange(12.0).reshape(3, 4), "prompts": np.arange(5, dtype="u4")},
    )
    return made


def npy_files(folder: ArrayFolder) -> list[Path]:
    return sorted(folder.path.glob("*.npy"))


def test_arrays_come_back_mapped_and_read_only(folder: ArrayFolder) -> None:
    manifest = ArrayFolder(folder.path).manifest()
    assert manifest is not None
    assert manifest.description == {"prompts": 7}
    opened = ArrayFolder(folder.path).open("layer0")
    np.testing.assert_array_equal(opened["values"], np.arange(12.0).reshape(3, 4))
    assert isinstance(opened["values"], np.memmap)
    assert opened["prompts"].dtype == np.dtype("u4")
    with pytest.raises(ValueError, match="read-only"):
        opened["values"][0, 0] = 1.0


@pytest.mark.parametrize(
    "array", [np.zeros((0,)), np.zeros((3, 0), "i8"), np.float32(3.0).reshape(()), np.ones((2, 3)).T]
)
def test_odd_shapes_come_back(tmp_path: Path, array: np.ndarray[Any, Any]) -> None:
    made = ArrayFolder(tmp_path / "folder")
    commit(made, {}, block={"array": array})
    back = made.open("block")["array"]
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def test_python_objects_are_not_written(tmp_path: Path) -> None:
    made = ArrayFolder(tmp_path / "folder")
    with made.writing() as writer:
        assert writer is not None
        with pytest.raises(TypeError):
            writer.write("block", {"array": np.array([object()])})
        with pytest.raises(TypeError):
            writer.appender("block", "array", object)
    assert npy_files(made) == []


def test_a_folder_that_was_removed_meanwhile_ends_without_complaint(tmp_path: Path) -> None:
    """As by `cache clear` in another process: there is nothing left to tidy up."""
    made = ArrayFolder(tmp_path / "folder")
    with made.writing() as writer:
        assert writer is not None
        shutil.rmtree(made.path)
    assert not made.path.exists()


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(st.integers(0, 65535), max_size=5), max_size=6))
def test_what_is_appended_piece_by_piece_is_the_whole(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[list[int]]
) -> None:
    made = ArrayFolder(tmp_path_factory.mktemp("appended") / "folder")
    with made.writing() as writer:
        assert writer is not None
        growing = writer.appender("block", "array", np.uint16)
        for piece in pieces:
            growing.append(np.array(piece, dtype=np.int64))
        writer.commit({})
    back = made.open("block")["array"]
    assert back.dtype == np.uint16
    assert back.tolist() == [value for piece in pieces for value in piece]


@pytest.mark.parametrize("value", [-1, 65536])
def test_a_number_the_type_cannot_hold_is_refused(tmp_path: Path, value: int) -> None:
    with ArrayFolder(tmp_path / "folder").writing() as writer:
        assert writer is not None
        with pytest.raises(OverflowError):
            writer.appender("block", "array", np.uint16).append(np.array([value]))


def test_what_was_not_committed_is_not_there(folder: ArrayFolder) -> None:
    before = npy_files(folder)

    def interrupted() -> None:
        with folder.writing() as writer:
            assert writer is not None
            writer.write("layer0", {"values": np.zeros(3)})
            writer.appender("layer1", "values", np.float32).append(np.zeros(3, dtype=np.float32))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert npy_files(folder) == before
    np.testing.assert_array_equal(folder.open("layer0")["prompts"], np.arange(5))
    with pytest.raises(CacheError):
        folder.open("layer1")


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from tui_lookups.storage import arrays
from tui_lookups.storage.arrays import ArrayFolder
steps = int(sys.argv[2])
def count(*_, real=os.fsync):
    global steps
    steps -= 1
    if steps < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(*_)
os.fsync = count
with ArrayFolder(Path(sys.argv[1])).writing() as writer:
    writer.write("layer0", {"values": np.full(3, 2.0), "prompts": np.full(5, 2, dtype="u4")})
    writer.write("layer1", {"values": np.full(3, 2.0)})
    writer.commit({"prompts": 8})
"""


@pytest.mark.parametrize("steps", range(7))
def test_a_kill_at_any_step_leaves_the_old_commit_or_the_new_one(folder: ArrayFolder, steps: int) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(folder.path), str(steps)], check=False)
    manifest = folder.manifest()
    assert manifest is not None
    values = folder.open("layer0")["values"]
    if manifest.description == {"prompts": 7}:
        np.testing.assert_array_equal(values, np.arange(12.0).reshape(3, 4))
        assert set(manifest.arrays) == {"layer0"}
    else:
        assert manifest.description == {"prompts": 8}
        np.testing.assert_array_equal(values, np.full(3, 2.0))
        np.testing.assert_array_equal(folder.open("layer1")["values"], np.full(3, 2.0))
    assert verify_folder(folder.path) == []
    # The next commit removes what the kill left.
    commit(folder, {"prompts": 9}, layer2={"values": np.zeros(1)})
    manifest = folder.manifest()
    assert manifest is not None
    listed = {entry.file for entries in manifest.arrays.values() for entry in entries.values()}
    assert {path.name for path in npy_files(folder)} == listed
    assert not list(folder.path.glob("*.tmp"))


def test_the_kills_above_reach_past_the_rename(folder: ArrayFolder) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(folder.path), "6"], check=False)
    manifest = folder.manifest()
    assert manifest is not None
    assert manifest.description == {"prompts": 8}


def test_blocks_stay_until_replaced_or_removed(folder: ArrayFolder) -> None:
    commit(folder, {"step": 2}, layer1={"values": np.ones(2)})
    assert set(folder.open("layer0")) == {"values", "prompts"}
    with folder.writing() as writer:
        assert writer is not None
        writer.remove("layer0")
        writer.commit({"step": 3})
    with pytest.raises(CacheError):
        folder.open("layer0")
    assert len(npy_files(folder)) == 1


def test_only_one_writes_at_a_time(folder: ArrayFolder) -> None:
    with folder.writing() as first:
        assert first is not None
        with ArrayFolder(folder.path).writing() as second:
            assert second is None
    with folder.writing() as third:
        assert third is not None


def test_a_file_flipped_anywhere_is_refused_and_named(folder: ArrayFolder) -> None:
    source = random.Random(0)
    for path in npy_files(folder):
        sound = path.read_bytes()
        for _ in range(20):
            data = bytearray(sound)
            data[source.randrange(len(data))] ^= source.randrange(1, 256)
            path.write_bytes(data)
            os.utime(path, ns=(1, source.randrange(10**18)))
            with pytest.raises(CacheError, match="damaged"):
                folder.open("layer0")
            assert len(verify_folder(folder.path)) == 1
        path.write_bytes(sound)
    assert verify_folder(folder.path) == []


@pytest.mark.parametrize("content", [b"", b"x", None])
def test_a_file_cut_short_or_gone_is_refused(folder: ArrayFolder, content: bytes | None) -> None:
    path = npy_files(folder)[0]
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    for verify in (True, False):
        with pytest.raises(CacheError):
            folder.open("layer0", verify=verify)
    assert len(verify_folder(folder.path)) == 1


def test_a_damaged_manifest_is_refused_and_written_over(folder: ArrayFolder) -> None:
    source = random.Random(1)
    path = folder.path / "manifest.json"
    sound = path.read_bytes()
    for _ in range(100):
        data = bytearray(sound)
        data[source.randrange(len(data))] ^= source.randrange(1, 256)
        path.write_bytes(data)
        try:
            manifest = folder.manifest()
        except CacheError:
            continue
        path.write_bytes(sound)  # a flip in white space changes nothing
        assert manifest == folder.manifest()
    path.write_bytes(b"{}")
    with pytest.raises(CacheError):
        folder.open("layer0")
    commit(folder, {"again": True}, layer0={"values": np.zeros(2)})
    assert folder.open("layer0")["values"].tolist() == [0.0, 0.0]
    assert len(npy_files(folder)) == 1


@pytest.mark.parametrize("name", ["../../secret.npy", "/etc/hostname", "layer0.values.npy", ".lock"])
def test_a_planted_manifest_cannot_name_files_elsewhere(folder: ArrayFolder, name: str) -> None:
    path = folder.path / "manifest.json"
    body = json.loads(path.read_bytes())
    del body["checksum"]
    body["arrays"]["layer0"]["values"]["file"] = name
    path.write_text(json.dumps({**body, "checksum": module._body_checksum(body)}))
    with pytest.raises(CacheError):
        folder.open("layer0")


class Bomb:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.trace),)


def test_a_planted_pickle_is_refused(folder: ArrayFolder, tmp_path: Path) -> None:
    trace = tmp_path / "executed"
    for content in (pickle.dumps(Bomb(trace)), None):
        path = npy_files(folder)[0]
        if content is None:
            np.save(path, np.array([Bomb(trace)], dtype=object), allow_pickle=True)
        else:
            path.write_bytes(content)
        for verify in (True, False):
            with pytest.raises(CacheError):
                folder.open("layer0", verify=verify)
    assert not trace.exists()


def test_a_reader_survives_a_commit_between_manifest_and_file(
    folder: ArrayFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module._open_array
    calls: list[int] = []

    def replaced_meanwhile(*arguments: Any) -> Any:
        if not calls:
            calls.append(1)
            commit(folder, {"step": 2}, layer0={"values": np.full(2, 9.0)})
        return real(*arguments)

    monkeypatch.setattr(module, "_open_array", replaced_meanwhile)
    assert folder.open("layer0")["values"].tolist() == [9.0, 9.0]


def test_a_disk_that_is_full_leaves_the_old_commit(
    folder: ArrayFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def write(writer: ArrayWriter | None) -> None:
        assert writer is not None
        monkeypatch.setattr(module, "_synchronise", fail)
        writer.write("layer0", {"values": np.zeros(3)})

    with pytest.raises(CacheError, match="no space left"), folder.writing() as writer:
        write(writer)
    assert set(folder.open("layer0")) == {"values", "prompts"}
    assert len(npy_files(folder)) == 2


def test_drop_removes_everything(folder: ArrayFolder) -> None:
    folder.drop()
    assert not folder.path.exists()
    assert folder.manifest() is None
    folder.drop()


@pytest.mark.parametrize("name", ["", "a b", "../x", "a.b", "x" * 100])
def test_names_that_are_no_names_are_refused(folder: ArrayFolder, name: str) -> None:
    with folder.writing() as writer:
        assert writer is not None
        with pytest.raises(ValueError):
            writer.write(name, {"values": np.zeros(1)})
