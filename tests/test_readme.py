"""The README tells the truth: the two commands are CI's, its commands parse, its pictures exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from tui_lookups.cli import app

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TEST_COMMAND = 'pip install ".[test]" && pytest'


def _shell_lines() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("lookups-tui")]


def test_ci_runs_exactly_the_readmes_test_command() -> None:
    assert TEST_COMMAND in README
    assert TEST_COMMAND in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("line", _shell_lines())
def test_every_command_parses(line: str) -> None:
    _, *arguments = shlex.split(line)
    command: click.Command = app
    context = click.Context(app)
    while arguments and isinstance(command, click.Group) and not arguments[0].startswith("-"):
        found = command.get_command(context, arguments.pop(0))
        assert found is not None, line
        command = found
    command.make_context("lookups-tui", list(arguments), parent=context, resilient_parsing=False)


def test_every_picture_exists() -> None:
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)
    assert len(pictures) >= 3
    for picture in pictures:
        assert (ROOT / picture).is_file(), picture
