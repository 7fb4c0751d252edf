"""doctor names the states it is there to find."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from tui_lookups.answering import doctor
from tui_lookups.explorer import Explorer
from tui_lookups.results import Finding
from tui_lookups.settings import load_settings


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


def test_secrets_are_named_and_never_shown() -> None:
    found = list(doctor.keys({"OPENAI_API_KEY": "sk-marker-123"}))
    assert states(found) == {"OPENAI_API_KEY": "ok", "HF_TOKEN": "note"}
    assert "marker" not in repr(found)


def test_a_gpu_that_torch_cannot_use_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/" + name)
    assert states(doctor.torch_build())["gpu"] == "problem"
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "gpu" not in states(doctor.torch_build())


def test_a_cache_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    found = list(doctor.cache_folder(load_settings(cache_dir=tmp_path / "cache")))
    assert states(found) == {"cache": "problem"}


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


def test_a_model_that_cannot_be_loaded_is_a_problem_not_an_error(tmp_path: Path) -> None:
    explorer = Explorer(load_settings(cache_dir=tmp_path, model="./nowhere", offline=True))
    try:
        found, self_check = doctor.model_check(explorer)
    finally:
        explorer.close()
    assert self_check is None
    assert states(found) == {"model": "problem"}
