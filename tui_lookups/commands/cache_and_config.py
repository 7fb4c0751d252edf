"""Subcommands `cache`, `config` and `completion`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from tui_lookups.commands.flags import NAME
from tui_lookups.commands.invocation import (
    CONTEXT,
    SUBCOMMANDS,
    Invocation,
    command,
    with_common_flags,
)
from tui_lookups.errors import LookupsError, SettingsError

if TYPE_CHECKING:
    from tui_lookups.commands.narration import Narrator
    from tui_lookups.explorer import Explorer
    from tui_lookups.results import CacheInfo

SHELLS = ("bash", "zsh", "fish")


@with_common_flags
@SUBCOMMANDS.group(context_settings=CONTEXT)
def cache() -> None:
    """What is kept on disk."""


@command(cache)
def info(invocation: Invocation) -> None:
    """What the cache holds and how large it is."""
    invocation.answer(lambda explorer, _: explorer.cache_info())


@command(cache)
@click.option("--yes", is_flag=True, help="Do not ask.")
def clear(invocation: Invocation, yes: bool) -> None:
    """Empty the cache.

    Scans start over, and all explanations are deleted, including paid and hand-written ones."""

    def question(explorer: Explorer, narrator: Narrator) -> CacheInfo:
        return explorer.cache_clear()

    # a script has said what it wants; a person may have typed it by mistake
    asks = not yes and sys.stdin.isatty() and sys.stderr.isatty()
    if asks and not click.confirm("Empty the cache?", err=True):
        raise LookupsError("Nothing was cleared.", "Confirm with y, or give --yes.")
    invocation.answer(question)


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """Where config.toml lies."""

    path: str
    exists: bool


@dataclass(frozen=True, slots=True)
class ConfigValue:
    """A setting, and where its value came from."""

    name: str
    value: str | int | float | bool
    source: str


@dataclass(frozen=True, slots=True)
class ConfigValues:
    """Every setting."""

    path: str
    settings: tuple[ConfigValue, ...]


@with_common_flags
@SUBCOMMANDS.group(context_settings=CONTEXT)
def config() -> None:
    """Settings, and where they come from.

    A flag outranks the environment (LOOKUPS_*), which outranks config.toml."""


@command(config, "path")
def config_path_(invocation: Invocation) -> None:
    """Where config.toml is looked for."""
    from tui_lookups.config_file import config_path

    path = config_path()
    invocation.emit(ConfigFile(str(path), path.exists()), rows=[(str(path),)])


@command(config)
def show(invocation: Invocation) -> None:
    """Every setting with its value and where it came from."""
    from tui_lookups.config_file import config_path, config_text
    from tui_lookups.settings import describe_settings

    rows = describe_settings(**invocation.flags)
    values = ConfigValues(str(config_path()), tuple(ConfigValue(*row) for row in rows))
    invocation.emit(values, rows=[(row.name, config_text(row.value), row.source) for row in rows])


@command(config)
def schema(invocation: Invocation) -> None:
    """The JSON schema of config.toml, for editors that complete and check it."""
    from tui_lookups.settings_file import schema_text

    invocation.emit_bytes(schema_text().encode("ascii"))


@command(config)
@click.option("--force", is_flag=True, help="Overwrite the file.")
def init(invocation: Invocation, force: bool) -> None:
    """Write a config.toml that lists every setting at its default."""
    from tui_lookups.config_file import config_path
    from tui_lookups.settings_file import default_config_text

    path = config_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(default_config_text())
    except FileExistsError:
        raise SettingsError(f"{path} exists already.", "Edit it, or overwrite it with --force.") from None
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be written: {error.strerror or error}.", "Set LOOKUPS_CONFIG to another place."
        ) from error
    invocation.emit(ConfigFile(str(path), True), rows=[("written", str(path))])


# --- shell completion ---


@command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(invocation: Invocation, shell: str) -> None:
    """Print the completion script of a SHELL.

    For bash put `eval "$(lookups-tui completion bash)"` into ~/.bashrc; zsh and fish alike."""
    from click.shell_completion import get_completion_class

    app = click.get_current_context().find_root().command
    kind = get_completion_class(shell)
    assert kind is not None, "click knows the shells of SHELLS"
    variable = f"_{NAME}_COMPLETE".replace("-", "_").upper()  # what click itself looks for
    invocation.emit_bytes(kind(app, {}, NAME, variable).source().encode("utf-8"))
