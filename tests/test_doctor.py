"""doctor names the states it is there to find."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch

from tests.tiny_models import edit_config, edit_weights
from tui_lookups import doctor
from tui_lookups.commands.diagnostics import doctor_rows
from tui_lookups.explorer import Explorer
from tui_lookups.results import Checkup, Finding
from tui_lookups.settings import load_settings

ONES = torch.ones(4)


def states(findings: Iterable[Finding]) -> dict[str, str]:
    return {finding.name: finding.state for finding in findings}


@pytest.mark.parametrize(
    ("environment", "state", "said"),
    [
        ({"TERM": "dumb"}, "problem", "cannot draw"),
        ({}, "problem", "cannot draw"),
        ({"TERM": "xterm", "NO_COLOR": "1"}, "note", "glyphs"),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "ok", "16 million"),
        ({"TERM": "screen-256color"}, "note", "256 colours"),
        ({"TERM": "xterm-16color"}, "note", "16 colours"),
    ],
)
def test_the_terminal(environment: dict[str, str], state: str, said: str) -> None:
    found = next(doctor.terminal(environment, True))
    assert (found.name, found.state) == ("terminal", state)
    assert said in found.message


def test_no_terminal_and_tmux() -> None:
    found = list(doctor.terminal({"TMUX": "/tmp/x", "TERM": "xterm"}, False))
    assert [f.name for f in found] == ["terminal", "copy"]


@pytest.mark.parametrize(
    ("answers", "state", "said"),
    [("external", "ok", "external passes it on"), ("off", "note", "no further"), (None, "note", "no tmux")],
)
def test_copying_in_tmux_goes_as_far_as_tmux_passes_it(
    answers: str | None, state: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "tmux_says", lambda *_: answers)
    found = doctor.copying({"TMUX": "/tmp/x", "TERM": "xterm"})
    assert (found.name, found.state) == ("copy", state)
    assert said in found.message


@pytest.mark.parametrize(
    ("environment", "state"),
    [({}, "ok"), ({"STY": "1.pts"}, "note"), ({"TERM_PROGRAM": "Apple_Terminal"}, "note")],
)
def test_copying_elsewhere_is_by_osc_52(environment: dict[str, str], state: str) -> None:
    found = doctor.copying(environment)
    assert found.state == state
    assert "OSC 52" in found.message


def test_secrets_are_named_and_never_shown() -> None:
    found = list(doctor.keys({"OPENAI_API_KEY": "sk-marker-123"}))
    assert states(found) == {"OPENAI_API_KEY": "ok", "HF_TOKEN": "note"}
    assert "marker" not in repr(found)


def test_a_gpu_that_torch_cannot_use_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor, "_NVIDIA_TRACES", ())
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/" + name)
    assert states(doctor.torch_build())["gpu"] == "problem"
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "gpu" not in states(doctor.torch_build())


@pytest.mark.parametrize(
    ("cuda", "hip", "said", "hint"),
    [
        (None, None, "a CPU build", "CUDA build of torch"),
        (None, "6.2", "ROCm 6.2", "CUDA build of torch"),
        ("12.8", None, "built for CUDA 12.8", "CUDA_VISIBLE_DEVICES"),
    ],
)
def test_a_gpu_without_its_tools_and_the_wrong_torch_build(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cuda: str | None, hip: str | None, said: str, hint: str
) -> None:
    """In a container there is often a device file and no nvidia-smi."""
    import torch

    device = tmp_path / "nvidia0"
    device.touch()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", hip, raising=False)
    monkeypatch.setattr(doctor, "_NVIDIA_TRACES", (str(device),))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    found = next(finding for finding in doctor.torch_build() if finding.name == "gpu")
    assert found.state == "problem"
    assert said in found.message
    assert hint in found.hint
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: "NVIDIA")
    assert "gpu" not in states(doctor.torch_build())


def findings_of_the_cache(folder: Path) -> list[Finding]:
    explorer = Explorer(load_settings(cache_dir=folder, offline=True))
    try:
        return list(doctor.cache_entries(explorer))
    finally:
        explorer.close()


def test_a_cache_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "cache.db").mkdir()  # whoever asks, also root
    (found,) = findings_of_the_cache(tmp_path)
    assert (found.name, found.state) == ("cache", "problem")
    assert found.hint


def test_a_damaged_cache_is_named(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "cache.db").write_bytes(b"no database " * 999)
    found = findings_of_the_cache(tmp_path)
    assert any("set aside" in each.message for each in found if each.state == "note")


def test_entries_and_indexes_of_another_format_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tui_lookups.storage import envelope
    from tui_lookups.storage.arrays import ArrayFolder
    from tui_lookups.storage.cache import ResultCache

    cache = ResultCache(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(envelope, "FORMAT_VERSION", 0)
        cache.put("kind", cache.key("kind", n=1), b"old")
    cache.put("kind", cache.key("kind", n=1), b"new")
    with ArrayFolder(cache.folder("indexes") / "old").writing() as writer:
        assert writer is not None
        writer.commit({"format": 0, "kind": "index"})
    cache.close()
    said = [each.message for each in findings_of_the_cache(tmp_path) if each.name == "cache format"]
    assert [sentence[:20] for sentence in said] == ["1 results are of ano", "1 of the indexes are"]
    assert findings_of_the_cache(tmp_path / "empty")[1:] == []


def test_a_cache_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    found = list(doctor.cache_folder(load_settings(cache_dir=tmp_path / "cache")))
    assert states(found) == {"cache": "problem"}


def test_a_cache_in_a_folder_that_may_not_be_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, look = tmp_path / "locked" / "inner" / "cache", os.stat

    def refused(path: object, **options: bool) -> os.stat_result:
        if "inner" in str(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return look(path, **options)

    (tmp_path / "locked").mkdir()
    monkeypatch.setattr(os, "stat", refused)
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: path != tmp_path / "locked")
    assert states(doctor.cache_folder(load_settings(cache_dir=folder))) == {"cache": "problem"}
    (found,) = findings_of_the_cache(folder)
    assert (found.name, found.state) == ("cache", "problem")
    assert "permission denied" in found.message


def test_a_cache_on_a_network_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "is_network_filesystem", lambda path: True)
    monkeypatch.setattr(doctor, "filesystem_type", lambda path: "nfs4")
    found = list(doctor.cache_folder(load_settings(cache_dir=tmp_path)))
    assert found[0].state == "problem"
    assert "nfs4" in found[0].message


def test_a_damaged_config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.toml"
    path.write_text("model = ")
    monkeypatch.setenv("LOOKUPS_CONFIG", str(path))
    assert states(doctor.configuration()) == {"config": "problem"}


def test_offline_is_said_and_nothing_is_reached_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.socket, "create_connection", lambda *a: pytest.fail("reached for the network"))
    found = list(doctor.network(load_settings(cache_dir=tmp_path, offline=True)))
    assert states(found) == {"hub": "note"}


def test_the_whole_checkup_with_the_model(tmp_path: Path) -> None:
    explorer = Explorer(load_settings(cache_dir=tmp_path, offline=True, device="cpu", threads=1))
    try:
        found = doctor.examine(explorer)
    finally:
        explorer.close()
    assert found.self_check is not None
    assert found.self_check.closes
    assert found.self_check.relative_remainder <= found.self_check.bound
    by_name = states(found.findings)
    assert by_name["decomposition"] == "ok"
    assert by_name["python"] == by_name["torch"] == "ok"


def examined(model: Path, tmp_path: Path) -> Checkup:
    explorer = Explorer(
        load_settings(cache_dir=tmp_path / "cache", model=str(model), offline=True, threads=1)
    )
    try:
        return doctor.examine(explorer)
    finally:
        explorer.close()


def test_what_became_of_everything_in_a_refused_model(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_folder("llama"), tmp_path / "m"))
    edit_weights(folder, lambda weights: weights.update({"model.layers.0.self_attn.q_norm.weight": ONES}))
    edit_config(folder, unheard_of=1)
    found = examined(folder, tmp_path)
    assert states(found.findings)["model"] == "problem"
    assert found.self_check is None
    fates = {(entry.kind, entry.name): entry.fate for entry in found.inventory}
    assert fates["tensor", "model.layers.0.self_attn.q_norm.weight"] == "refused"
    assert fates["tensor", "model.layers.0.self_attn.q_proj.weight"] == "applied"
    assert fates["key", "hidden_size"] == "applied"
    assert fates["key", "unheard_of"] == "harmless"
    assert fates["file", "model.safetensors"] == fates["file", "tokenizer.json"] == "applied"
    rows = [" ".join(row) for row in doctor_rows(found)]
    assert any("refused tensor model.layers.0.self_attn.q_norm.weight: no place" in row for row in rows)
    assert any("harmless key unheard_of: unknown to LlamaConfig" in row for row in rows)
    assert not any("q_proj" in row for row in rows), "what is applied is counted, not listed"
    (counted,) = (each.message for each in found.findings if each.name == "model files")
    assert counted.endswith("1 refused")


def test_an_adapter_is_listed_though_its_folder_is_no_model(tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    found = examined(folder, tmp_path)
    assert [(entry.name, entry.fate) for entry in found.inventory] == [("adapter_config.json", "refused")]


def test_a_model_that_cannot_be_loaded_is_a_problem_not_an_error(tmp_path: Path) -> None:
    explorer = Explorer(load_settings(cache_dir=tmp_path, model="./nowhere", offline=True))
    try:
        found, self_check = doctor.model_check(explorer)
    finally:
        explorer.close()
    assert self_check is None
    assert states(found) == {"model": "problem"}


def test_a_model_that_is_not_there_has_nothing_to_list(tmp_path: Path) -> None:
    found = examined(Path("nowhere/at/all"), tmp_path)
    assert found.inventory == ()
    assert states(found.findings)["model files"] == "note"
