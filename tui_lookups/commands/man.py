"""The subcommand `man`: the manual page, made from the help of every command."""

from __future__ import annotations

import click

from tui_lookups.commands.flags import NAME, CommonFlag
from tui_lookups.commands.invocation import Invocation, command
from tui_lookups.version import __version__

_ENDS = (
    ("0", "Done."),
    ("1", "It failed; a sentence on stderr says why."),
    ("2", "Wrong usage."),
    ("130", "Interrupted."),
    ("141", "The reader of its pipe left."),
)
_FILES = (
    ("~/.config/lookups-tui/config.toml", f"Settings; `{NAME} config path` says where it is looked for."),
    ("~/.cache/lookups-tui", "The cache; --cache-dir and LOOKUPS_CACHE_DIR name another."),
)


@command()
def man(invocation: Invocation) -> None:
    """Print the manual page.

    Read it with `lookups-tui man | man -l -`, or save it as lookups-tui.1 in a folder of MANPATH."""
    root = click.get_current_context().find_root()
    assert isinstance(root.command, click.Group)
    invocation.emit_bytes(man_page(root.command, root).encode("utf-8"))


def man_page(app: click.Group, ctx: click.Context) -> str:
    """The manual page of a group and its subcommands, in the man macros of roff."""
    lines = [f'.TH {NAME.upper()} 1 "" "{NAME} {__version__}"', ".SH NAME"]
    lines += [f"{NAME} \\- {_text(_first_line(app).rstrip('.'))}", ".SH SYNOPSIS"]
    lines += [f".B {NAME}", "[OPTIONS] [COMMAND [ARGUMENTS]]", ".SH DESCRIPTION", *_paragraphs(app.help)]
    common = [param for param in app.params if isinstance(param, CommonFlag)]
    lines += [".SH OPTIONS", *_options(app, ctx)]
    for section in dict.fromkeys(flag.section for flag in common):
        lines += [
            f".SS {_text(section)}",
            *_definitions([flag for flag in common if flag.section == section], ctx),
        ]
    lines.append(".SH COMMANDS")
    lines += _commands(app, ctx, NAME)
    lines += [".SH EXIT STATUS", *(line for row in _ENDS for line in _definition(*row))]
    lines += [".SH FILES", *(line for row in _FILES for line in _definition(*row))]
    return "\n".join(lines) + "\n"


def _commands(group: click.Group, ctx: click.Context, path: str) -> list[str]:
    lines = []
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=ctx)
        if isinstance(command, click.Group):
            lines += _commands(command, inner, f"{path} {name}")
            continue
        usage = " ".join(part for part in command.collect_usage_pieces(inner) if part != "[OPTIONS]")
        lines += [f".SS {_text(f'{path} {name} {usage}'.strip())}", *_paragraphs(command.help)]
        lines += _options(command, inner)
    return lines


def _options(found: click.Command, ctx: click.Context) -> list[str]:
    own = [param for param in found.params if isinstance(param, click.Option)]
    return _definitions([param for param in own if not isinstance(param, CommonFlag)], ctx)


def _definitions(options: list[click.Option] | list[CommonFlag], ctx: click.Context) -> list[str]:
    records = [option.get_help_record(ctx) for option in options]
    return [line for record in records if record is not None for line in _definition(*record)]


def _definition(term: str, text: str) -> list[str]:
    return [".TP", f".B {_text(term)}", _text(text)]


def _first_line(found: click.Command) -> str:
    return (found.help or "").strip().splitlines()[0]


def _paragraphs(text: str | None) -> list[str]:
    paragraphs = (" ".join(part.split()) for part in (text or "").split("\n\n"))
    return [line for part in paragraphs if part for line in (".PP", _text(part))]


def _text(text: str) -> str:
    """A line of text as roff reads it: no escape, no macro, and hyphens that can be copied."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
