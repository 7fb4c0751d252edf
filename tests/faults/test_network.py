"""Connections that break in the middle: a hub download, an index of packages. Nothing half-fetched counts.

The hub is a server on loopback with the four requests a download makes; it closes the connection within the
body of a weight file. (Explanations: tests/explanation/test_client.py, test_explaining.py.)
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.tally import Row, tried
from tests.hub_server import ask, hub_of
from tui_lookups.model import hub, sources


def in_shards(folder: Path, target: Path) -> Path:
    """A copy of a model folder with its weights in two files."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, target)
    weights = load_file(target / "model.safetensors")
    (target / "model.safetensors").unlink()
    names, where = sorted(weights), {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, target / file, {"format": "pt"})
        where.update(dict.fromkeys(part, file))
    index = {"metadata": {"total_size": 1}, "weight_map": where}
    (target / "model.safetensors.index.json").write_text(json.dumps(index))
    return target


def test_a_download_that_breaks_off_is_said_and_goes_on_later(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """The first of two shards arrives, the second breaks off: not taken for a model, and fetched later."""
    folder = in_shards(tiny_folder("gpt2"), tmp_path / "on the hub")
    second = "model-00002-of-00002.safetensors"
    with hub_of(folder) as server:
        server.cut = {second: (folder / second).stat().st_size // 2}
        with tried(Row.NETWORK):
            kind, message, hint = ask(server, tmp_path)
            assert kind == "ModelLoadError", message
            assert "\n" not in message
            assert hint
            arrived = {path.name for path in (tmp_path / "hf").rglob("snapshots/*/*")}
            assert second not in arrived, "half a file under its name"
            assert "model-00001-of-00002.safetensors" in arrived
        server.cut = {}
        with tried(Row.NETWORK):
            kind, found, _ = ask(server, tmp_path)
            assert kind == "found", found
            fetched = {path.name: path.read_bytes() for path in Path(found).iterdir()}
            assert second in fetched
            assert all((folder / name).read_bytes() == data for name, data in fetched.items())
        server.down = True
        with tried(Row.NETWORK):  # what is there is found without the hub
            assert ask(server, tmp_path)[:2] == ["found", found]


def test_a_snapshot_that_lacks_a_shard_is_not_taken_for_a_model(
    tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an older hub client, or a hand that copied files, may leave one."""
    folder = in_shards(tiny_folder("gpt2"), tmp_path / "snapshot")
    monkeypatch.setattr(hub, "hub_folder", lambda *_, **__: folder)
    assert sources.in_hub_cache("someone/tiny")
    (folder / "model-00002-of-00002.safetensors").unlink()
    with tried(Row.NETWORK):
        assert not sources.in_hub_cache("someone/tiny")


@pytest.mark.parametrize("cut", ["config.json", "tokenizer.json"])
@pytest.mark.slow
def test_a_broken_description_is_never_taken_for_whole(
    tiny_folder: Callable[[str], Path], tmp_path: Path, cut: str
) -> None:
    with hub_of(tiny_folder("gpt2")) as server:
        server.cut = {cut: 10}
        with tried(Row.NETWORK):
            kind, message, _ = ask(server, tmp_path)
            assert kind == "ModelLoadError", message
        server.cut = {}
        with tried(Row.NETWORK):
            assert ask(server, tmp_path)[0] == "found"
