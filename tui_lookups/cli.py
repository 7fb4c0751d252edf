"""`lookups-tui`: opens the app, or answers one question on the command line.

A subcommand is a function under `@command` in a module of commands/ that asks the Explorer one question
through `Invocation.answer`. What it shares with the others (flags, output, exit status) is in
invocation.py, the renderer of its result in tables.py, and its JSON are the fields of the result's
dataclass.

`--help` and `--version` import neither torch, NumPy nor Textual; opening the app imports no
subcommand.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from tui_lookups.commands.flags import NAME, write_options
from tui_lookups.commands.invocation import (
    CONTEXT,
    SUBCOMMANDS,
    Invocation,
    run,
    with_common_flags,
)
from tui_lookups.commands.streams import fill_closed_streams, leave
from tui_lookups.errors import LookupsError
from tui_lookups.version import __version__

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from tui_lookups.explorer import Explorer

QUIET_ENVIRONMENT = {
    "TQDM_DISABLE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "TEXTUAL_ANIMATIONS": "none",
}
"""Keeps the libraries below from writing to a terminal that is not theirs; the person's own values win."""


def main() -> NoReturn:
    """The console script."""
    for name, value in QUIET_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    fill_closed_streams()
    leave(run(app, sys.argv[1:]))


class LateGroup(click.Group):
    """The subcommands are imported when one of them, or their list, is asked for."""

    @property
    def commands(self) -> MutableMapping[str, click.Command]:
        """By name."""
        from tui_lookups.commands import (  # noqa: F401 - each puts its own there
            analysis,
            attends,
            cache_and_config,
            diagnostics,
            diff,
            docs,
            explanation,
            export,
            groups,
            man,
            pairs,
            revisions,
            sums,
            survey,
            traces,
            verification,
            walk,
        )

        return SUBCOMMANDS.commands

    @commands.setter
    def commands(self, commands: MutableMapping[str, click.Command]) -> None:
        """Click's own __init__ sets them: there are none yet."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """See click."""
        write_options(self, ctx, formatter, all_of_them=True)
        self.format_commands(ctx, formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """See click; who typed a token where a subcommand goes is told where tokens go."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if args[0].startswith("-") or args[0] in self.commands:
                raise
            token = json.dumps(args[0], ensure_ascii=False)
            hint = f"A token goes by `--token {token}` for the app, or `neurons {token}`."
            raise click.UsageError(f"{error.format_message()}\nHint: {hint}", ctx) from None


@with_common_flags
@click.group(cls=LateGroup, invoke_without_command=True, context_settings=CONTEXT)
@click.option("--token", help="Token to open the app with.")
@click.option("--session", metavar="NAME", help="Session to open the app with, and to keep on leaving.")
@click.option("--against", metavar="MODEL", help="Open the app with what moved from the model to this one.")
@click.option("--revisions", metavar="A,B,C", help="Revisions that the app follows a neuron over.")
@click.option("--plain", is_flag=True, default=None, help="The app in plain text lines, for screen readers.")
@click.option(
    "--low-bandwidth",
    is_flag=True,
    default=None,
    help="The app with as few bytes as possible, for slow links.",
)
@click.version_option(__version__, prog_name=NAME, message="%(prog)s %(version)s")
@click.pass_context
def app(
    ctx: click.Context,
    token: str | None,
    session: str | None,
    against: str | None,
    revisions: str | None,
    plain: bool | None,
    low_bandwidth: bool | None,
) -> int | None:
    """Which neurons promote a token, what text fires them, which heads look that context up.

    Without a subcommand the app opens. Flags may stand before or after the subcommand.
    """
    invocation = ctx.ensure_object(Invocation)
    if ctx.invoked_subcommand is None:
        invocation.flags |= {"plain": plain, "low_bandwidth": low_bandwidth}
        return _open_app(invocation, token, session, against, revisions)
    gc.enable()
    of_the_app = {
        "--token": token, "--session": session, "--against": against, "--revisions": revisions,
        "--plain": plain, "--low-bandwidth": low_bandwidth,
    }  # fmt: skip
    for name, given in of_the_app.items():
        if given is not None:
            raise click.UsageError(
                f"{name} only applies to the app and cannot be combined with a subcommand.", ctx
            )
    return None


def _open_app(
    invocation: Invocation,
    token: str | None,
    session: str | None,
    against: str | None,
    revisions: str | None,
) -> int:
    if invocation.format != "table":
        raise click.UsageError(f"--{'json' if invocation.json else 'format'} needs a subcommand.")
    for name, stream in (("stdin", sys.stdin), ("stdout", sys.stdout), ("stderr", sys.stderr)):
        if stream is None or not stream.isatty():
            problem = "closed" if stream is None else "not a terminal"
            raise LookupsError(
                f"The app needs a terminal, but {name} is {problem}.",
                f"For scripts use a subcommand, such as `{NAME} neurons TOKEN --json`.",
            )
    settings = invocation.settings()
    from tui_lookups.commands.invocation import open_explorer
    from tui_lookups.explorer.revisions import revisions_named
    from tui_lookups.results.session import checked_name
    from tui_lookups.tui import run_app
    from tui_lookups.tui.state.opening import Opening
    from tui_lookups.tui.state.options import options_of

    def another(model: str, corpus: str) -> Explorer:
        invocation.flags |= {"model": model, "corpus": corpus}
        return open_explorer(invocation.settings())

    opening = Opening(settings.model, settings.corpus, another)
    names = () if revisions is None else revisions_named(revisions)
    session = "" if session is None else checked_name(session)
    options = options_of(settings, session, against or "", names)
    return run_app(open_explorer(settings), token=token, options=options, opening=opening)
