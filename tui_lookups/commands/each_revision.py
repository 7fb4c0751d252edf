"""--revisions: one question at several revisions of the model of --model, one model open at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import click

from tui_lookups.commands.invocation import Invocation
from tui_lookups.progress import Progress

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer
    from tui_lookups.explorer.revisions import Revisions

F = TypeVar("F", bound=Callable[..., object])
R = TypeVar("R")


def revisions_option(*, required: bool = False) -> Callable[[F], F]:
    """`--revisions A,B,C`."""
    return click.option(
        "--revisions",
        required=required,
        metavar="A,B,C",
        help="Branches, tags or commits of the hub model --model; the last one says what is followed.",
    )


def answer_over(invocation: Invocation, revisions: str, ask: Callable[[Revisions], R]) -> None:
    """Ask one question about the revisions, narrating on stderr which is open, and print the answer."""
    from tui_lookups.commands.narration import Narrator
    from tui_lookups.explorer.revisions import Revisions, revisions_named

    settings = invocation.settings()
    names = revisions_named(revisions)

    @contextmanager
    def open_at(revision: str, number: int) -> Iterator[Explorer]:
        invocation.flags["model"] = f"{settings.model}@{revision}"
        whole = Progress(revision, stage=number, stages=len(names))
        with invocation.exploring() as explorer, Narrator(explorer.status, sys.stderr, whole=whole):
            yield explorer

    invocation.emit(ask(Revisions(settings.model, names, open_at, offline=settings.offline)))
