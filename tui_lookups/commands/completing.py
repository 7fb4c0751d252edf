"""What a shell offers for the value of a flag: names that the tool knows, else files or folders; layers.

1. The layers are those of the model that the line so far names, or else the settings; it is not loaded.
2. After a layer comes every range that begins with it, after a comma every later layer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import click
from click.shell_completion import CompletionItem

_LAYERS = re.compile(r"(?P<before>(?:\d+(?:-\d+)?,)*)(?:(?P<first>\d+)-)?(?P<begun>\d*)")

Offer: TypeAlias = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def offering(*names: str, paths: Literal["file", "dir"] | None = None) -> Offer:
    """Those of `names` that begin as what is typed does; without one the shell's own `paths`."""

    def offer(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[CompletionItem]:
        offered = [CompletionItem(name) for name in names if name.startswith(typed)]
        return offered if offered or paths is None else [CompletionItem(typed, type=paths)]

    return offer


def offering_layers(flags_of: Callable[[click.Context], Mapping[str, Any]]) -> Offer:
    """Layers and ranges of them, of the model that the flags or else the settings name."""

    def offer(ctx: click.Context, _param: click.Parameter, typed: str) -> list[CompletionItem]:
        from tui_lookups.errors import SettingsError
        from tui_lookups.model.layer_count import layer_count
        from tui_lookups.settings import load_settings

        flags = flags_of(ctx)
        try:
            settings = load_settings(
                **{name: flags[name] for name in ("model", "cache_dir") if name in flags}
            )
        except SettingsError:  # the command itself says what is wrong
            return []
        count = layer_count(settings.model, settings.cache_dir)
        return [CompletionItem(layers) for layers in layers_like(typed, count or 0)]

    return offer


def layers_like(typed: str, count: int) -> list[str]:
    """What `typed`, the beginning of layers of a model that has `count`, can go on to."""
    if (match := _LAYERS.fullmatch(typed)) is None or typed == "all":
        return ["all"] if "all".startswith(typed) else []
    before, begun = match["before"], match["begun"]
    if match["first"] is not None:
        first = int(match["first"])
        return [f"{before}{first}-{last}" for last in range(first + 1, count) if str(last).startswith(begun)]
    least = 1 + max((int(layer) for layer in re.findall(r"\d+", before)), default=-1)
    offered = ["all"] if not typed else []
    for layer in map(str, range(least, count)):
        if layer.startswith(begun):
            offered.append(before + layer)
        if layer == begun and int(layer) < count - 1:
            offered.append(f"{before}{layer}-{count - 1}")
    return offered
