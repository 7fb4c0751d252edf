"""Files that cannot be read now are not taken for damaged ones, and never swept away by a writer."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from tui_lookups.errors import CacheError, UnavailableError
from tui_lookups.storage import arrays
from tui_lookups.storage.arrays import MANIFEST, ArrayFolder, verify_folder

LATER = [errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EACCES, errno.ESTALE]
GONE = [errno.ENOENT, errno.EIO]


@pytest.fixture
def folder(tmp_path: Path) -> ArrayFolder:
    made = ArrayFolder(tmp_path / "arrays")
    with made.writing() as writer:
        assert writer is not None
        writer.write("block", {"one": np.arange(5)})
        writer.commit({})
    return made


def refusing(number: int) -> object:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("number", LATER, ids=errno.errorcode.get)
def test_what_cannot_be_read_now_is_no_damage(
    folder: ArrayFolder, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(arrays.np, "load", refusing(number))
        with pytest.raises(UnavailableError, match=str(folder.path)) as caught:
            folder.open("block")
        assert not isinstance(caught.value, CacheError)
        assert caught.value.hint
    assert np.array_equal(folder.open("block")["one"], np.arange(5))


@pytest.mark.parametrize("number", GONE, ids=errno.errorcode.get)
def test_what_is_gone_is(folder: ArrayFolder, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(arrays.np, "load", refusing(number))
    with pytest.raises(CacheError, match="could not be read"):
        folder.open("block")


def test_a_writer_that_cannot_read_the_manifest_removes_nothing(
    folder: ArrayFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(folder.path.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refusing(errno.EMFILE))
        with pytest.raises(UnavailableError, match=MANIFEST), folder.writing():
            pass
        assert [sentence for sentence in verify_folder(folder.path) if MANIFEST in sentence]
    assert sorted(folder.path.iterdir()) == before
    assert verify_folder(folder.path) == []
