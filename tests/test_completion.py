"""Completion: what is offered for half a line, by the protocol of each shell, and in the shells there are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import get_completion_class

from tui_lookups import cli
from tui_lookups.commands.completing import layers_like
from tui_lookups.settings_values import parse_layers

PROGRAM, VARIABLE = "lookups-tui", "_LOOKUPS_TUI_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
LINES = [
    ("pro", ["prompts"]),
    ("neurons --tokens-f", ["--tokens-file"]),
    ("prompts --kind d", ["deciles"]),
    ("neurons --sort c", ["congruence", "cosine"]),
    ("neurons --model s", ["smollm2"]),
    ("--device c", ["cpu", "cuda"]),
    ("scan --corpus ./", ["file"]),
    ("--cache-dir /", ["dir"]),
    ("neurons --layers 4", ["4", "4-5"]),
    ("--model demo scan --layers 3-", ["3-4", "3-5"]),
]

LAYERS = [
    ("", ["all", "0", "1", "2", "3"], 4),
    ("a", ["all"], 4),
    ("1", ["1", "1-11", "10", "11"], 12),
    ("3", ["3"], 4),
    ("9-1", ["9-10", "9-11"], 12),
    ("0,2-3,", ["0,2-3,4", "0,2-3,5"], 6),
    ("0,4", ["0,4", "0,4-5"], 6),
    ("4,", [], 4),
    ("3-1-", [], 4),
    ("x", [], 4),
    ("", ["all"], 0),
]


def source(shell: str) -> str:
    kind = get_completion_class(shell)
    assert kind is not None
    return kind(cli.app, {}, PROGRAM, VARIABLE).source()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("line", "offered"), LINES)
def test_subcommands_options_and_values_are_offered(
    shell: str, line: str, offered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = line.split()
    monkeypatch.setenv("COMP_WORDS", f"{PROGRAM} {line}")
    monkeypatch.setenv("COMP_CWORD", words[-1] if shell == "fish" else str(len(words)))
    kind = get_completion_class(shell)
    assert kind is not None
    answered = kind(cli.app, {}, PROGRAM, VARIABLE).complete()
    told = [part for row in answered.splitlines() for part in row.replace("\t", ",").split(",")]
    assert [part for part in told if part in offered] == offered


@pytest.mark.parametrize(("typed", "offered", "count"), LAYERS)
def test_layers_go_on_from_what_is_typed(typed: str, offered: list[str], count: int) -> None:
    assert layers_like(typed, count) == offered
    for layers in offered:
        assert layers == "all" or max(parse_layers(layers)) < count


def test_no_layers_are_offered_where_the_settings_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKUPS_CONFIG", "/nowhere/config.toml")
    monkeypatch.setenv("COMP_WORDS", f"{PROGRAM} --layers 4")
    monkeypatch.setenv("COMP_CWORD", "2")
    kind = get_completion_class("bash")
    assert kind is not None
    assert kind(cli.app, {}, PROGRAM, VARIABLE).complete() == ""


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_that_is_there_parses_the_script(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    script = tmp_path / "script"
    script.write_text(source(shell), encoding="utf-8")
    done = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_a_line(tmp_path: Path) -> None:
    program = tmp_path / PROGRAM
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tui_lookups "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    script = f"""{source("bash")}
COMP_WORDS=({PROGRAM} prompts --kind d); COMP_CWORD=3
_lookups_tui_completion {PROGRAM}
echo "${{COMPREPLY[*]}}"
"""
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **path},
    )
    assert done.stdout.strip() == "deciles"
