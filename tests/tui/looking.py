"""Screenshots of the app on a canned explorer: `python -m tests.tui.looking FOLDER`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.tui.canned import CannedExplorer
from tui_lookups.tui.app import LookupsApp

WALKS: dict[str, tuple[str, ...]] = {
    "first": (),
    "typing": ("t", "t", "i", "m", "e"),
    "prompts": ("2", "j", "right"),
    "heads": ("2", "enter"),
    "overview": ("2", "enter", "a"),
    "detail": ("space", "2", "space", "enter", "space", "enter"),
    "basket": ("space", "2", "space", "3", "space", "b"),
    "export": ("space", "x"),
    "help": ("2", "question_mark"),
    "palette": ("ctrl+p",),
    "atlas": ("A", "down", "down", "down", "enter", "down"),
    "ablation": ("3", "d"),
    "send": ("3", "e"),
    "explained": ("3", "e", "enter", "s", "enter"),
    "explanations": ("3", "e", "enter", "s", "enter", "i"),
    "all-heads": ("3", "W", "s", "enter", "down"),
    "all-heads-none": ("3", "W"),
    "basket-explanations": ("3", "space", "e", "enter", "i", "a"),
    "no-key": ("3", "e"),
    "write": ("3", "E", "w", "h", "y"),
    "playground": (
        "P",
        *"notbecause",
        "space",
        *"time",
        "wait",
        "ctrl+n",
        "comma",
        "space",
        *"but",
        "wait",
        "enter",
    ),
    "deciles": ("2", "K", "K"),
    "why": ("w", "wait", "d", "wait", "down"),
    "why-layers": ("w", "wait", "v", "down"),
    "why-groups": ("w", "wait", "v", "v"),
    "corpus-search": ("2", "slash", *"because", "ctrl+g", "wait"),
    "inputs": ("3", "I", "wait"),
    "inputs-all": ("3", "I", "wait", "a"),
    "given": ("w", "wait", "enter", "wait"),
}


async def shoot(
    name: str, keys: tuple[str, ...], size: tuple[int, int], theme: str | None, explorer: CannedExplorer
) -> str:
    """The SVG of the app after these keys."""
    app = LookupsApp(explorer, theme=theme)
    async with app.run_test(size=size) as pilot:
        await pilot.pause(0.3)
        for key in keys:
            await (pilot.pause(0.5) if key == "wait" else pilot.press(key))
        await pilot.pause(0.5)
        return app.export_screenshot(title=name)


def main(folder: Path, names: list[str]) -> None:
    """Write an SVG a walk, size and theme."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or list(WALKS):
        for width, height in ((80, 24), (160, 45)):
            for theme in ("lookups-dark", "lookups-light"):
                explorer = CannedExplorer(scanned=310, hostile=name in ("prompts",))
                svg = asyncio.run(shoot(name, WALKS[name], (width, height), theme, explorer))
                (folder / f"{name}-{width}-{theme}.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
