"""The commands and code of README and the documentation pages, as tests take them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import click

from tui_lookups.cli import app

ROOT = Path(__file__).resolve().parent.parent
FRONT = tuple(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"))
PAGES = (*FRONT, *sorted((ROOT / "tui_lookups" / "docs").glob("*.md")))

_NEEDS_MORE = {"explain", "score"}
"""Subcommands that ask an endpoint, unless --dry-run is given."""


@dataclass(frozen=True)
class Line:
    """One line of a page's shell block."""

    page: str
    text: str

    @property
    def arguments(self) -> list[str]:
        """What stands behind `lookups-tui`; shell variables and redirections as they are."""
        return shlex.split(self.text.split(" > ")[0], comments=True)[1:]

    @property
    def offline(self) -> bool:
        """Whether it runs to its end on the packaged demo, without network, key, cluster or terminal."""
        arguments = self.arguments
        commands = [a for a in arguments if a in app.list_commands(click.Context(app))]
        elsewhere = {"--model", "--corpus", "--engine", "--base-url", "--cache-dir"}
        return (
            bool(commands)
            and not elsewhere & set(arguments)
            and not {"reproduce", "diff"} & set(commands)
            and (commands[0] not in _NEEDS_MORE or "--dry-run" in arguments)
        )


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def command_lines() -> list[Line]:
    """Every line of every page's shell blocks that calls the command."""
    return [
        Line(page.name, line)
        for page in PAGES
        for block in blocks(page, "sh")
        for line in block.replace("\\\n", " ").splitlines()
        if line.startswith("lookups-tui")
    ]


def parse(line: Line) -> None:
    """Parse a line as the command line would.

    Raises:
        click.UsageError: a flag or argument that does not exist; AssertionError: a command that does not.
    """
    arguments = line.arguments
    command: click.Command = app
    context = click.Context(app, info_name="lookups-tui")
    while arguments and isinstance(command, click.Group) and not arguments[0].startswith("-"):
        found = command.get_command(context, arguments.pop(0))
        assert found is not None, line.text
        command = found
    command.make_context("lookups-tui", arguments, parent=context, resilient_parsing=False)
