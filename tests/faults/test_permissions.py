"""Everything a run leaves behind can be read by its owner only, whatever the umask."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from tests.faults.scene import NEURON, Scene
from tests.model.gguf.huggingface import write_gguf
from tui_lookups.exports.writing import export
from tui_lookups.model.sources import find_model
from tui_lookups.results import SelectedNeuron, Selection, SessionState
from tui_lookups.storage.files import file_digest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="permission bits are another thing there")


def modes(folder: Path) -> dict[str, str]:
    """Everything below `folder` that anyone but its owner has a right to."""
    return {
        str(path.relative_to(folder)): oct(mode)
        for path in folder.rglob("*")
        if (mode := stat.S_IMODE(path.lstat().st_mode)) & 0o077
    }


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_cache_and_session_are_private(scene: Scene, tmp_path: Path, once_loaded: None, umask: int) -> None:
    before = os.umask(umask)
    try:
        explorer = scene.explorer(tmp_path / "new" / "cache")
        try:
            explorer.prompts(NEURON, top=2)
            explorer.save_session(SessionState(None, NEURON, None, None, Selection((), (), ())))
            found = modes(tmp_path / "new" / "cache")  # with the database's side files open
        finally:
            explorer.close()
    finally:
        os.umask(before)
    assert found == modes(tmp_path / "new" / "cache") == {}
    assert stat.S_IMODE((tmp_path / "new" / "cache").stat().st_mode) == 0o700


def test_a_dequantised_model_is_private(tmp_path: Path, tiny_folder) -> None:
    write_gguf(tmp_path / "tiny.gguf", tiny_folder("llama"))
    before = os.umask(0)
    try:
        find_model(str(tmp_path / "tiny.gguf"), cache_dir=tmp_path / "cache", digest=file_digest)
    finally:
        os.umask(before)
    assert modes(tmp_path / "cache") == {}


def test_what_may_be_shared_follows_the_umask(scene: Scene, tmp_path: Path, once_loaded: None) -> None:
    """An export is the person's to hand on."""
    explorer = scene.explorer(scene.copied(tmp_path / "cache"))
    before = os.umask(0o022)
    try:
        path = export(explorer, Selection((SelectedNeuron(NEURON),), (), ()), tmp_path / "export.json")
    finally:
        os.umask(before)
        explorer.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
