"""What a shell offers for the value of a flag: names that the tool knows, else files or folders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import click
from click.shell_completion import CompletionItem

Offer: TypeAlias = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def offering(*names: str, paths: Literal["file", "dir"] | None = None) -> Offer:
    """Those of `names` that begin as what is typed does; without one the shell's own `paths`."""

    def offer(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[CompletionItem]:
        offered = [CompletionItem(name) for name in names if name.startswith(typed)]
        return offered if offered or paths is None else [CompletionItem(typed, type=paths)]

    return offer
