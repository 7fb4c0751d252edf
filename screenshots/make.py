"""Make the pictures of the README: `python screenshots/make.py [NAME ...]`.

Drives the real app on the packaged demo, with a cache of its own, and writes one SVG a scene beside this
file. The first run scans the passages (seconds); every figure in the pictures is the demo's.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer
    from tui_lookups.tui.app import LookupsApp

HERE = Path(__file__).resolve().parent
_PATIENCE_SECONDS = 600.0


@dataclass(frozen=True)
class Scene:
    """A picture: keys pressed on the opened app, its size and theme."""

    keys: tuple[str, ...]
    size: tuple[int, int] = (160, 45)
    theme: str = "lookups-dark"
    patience: float = 0.0  # seconds for what another screen works out


WIDE, NARROW = (160, 45), (80, 24)
SCENES: dict[str, Scene] = {
    "walk-160x45-dark": Scene(("2", "enter")),
    "walk-160x45-light": Scene(("2", "enter"), WIDE, "lookups-light"),
    "neurons-80x24-dark": Scene((), NARROW),
    "prompts-80x24-light": Scene(("2",), NARROW, "lookups-light"),
    "heads-80x24-dark": Scene(("2", "enter"), NARROW),
    "overview-160x45-dark": Scene(("2", "enter", "a")),
    "atlas-160x45-dark": Scene(("A",), patience=20.0),
    "why-80x24-dark": Scene(("2", "w"), NARROW, patience=4.0),
    "why-160x45-light": Scene(("2", "w"), WIDE, "lookups-light", patience=4.0),
    "inputs-80x24-dark": Scene(("2", "enter", "I"), NARROW, patience=4.0),
    "playground-80x24-dark": Scene(
        ("P", *("space" if c == " " else c for c in "How long do")), NARROW, patience=4.0
    ),
    "help-80x24-dark": Scene(("2", "question_mark"), NARROW),
    "tour-160x45-dark": Scene(("T", "T", "T", "T", "T"), patience=2.0),
    "export-80x24-dark": Scene(("space", "x"), NARROW),
}


async def shoot(explorer: Explorer, name: str, scene: Scene) -> str:
    """The SVG of a scene, once nothing is being worked out any more."""
    from tui_lookups.tui.app import LookupsApp

    app = LookupsApp(explorer, theme=scene.theme)
    async with app.run_test(size=scene.size) as pilot:
        await _settled(app, pilot)
        for key in scene.keys:
            await pilot.press(key)
            await _settled(app, pilot)
        await asyncio.sleep(scene.patience)
        return app.export_screenshot(title=f"lookups-tui: {name}")


async def _settled(app: LookupsApp, pilot: object) -> None:
    """Wait until the walk's questions are answered and the heads of the open prompt are there."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    quiet = 0
    while time.monotonic() < deadline:
        await asyncio.sleep(0.3)
        walk = app.walk_screen.walk
        parts = ("neurons", "promoted", "prompts", "heads", "overview", "sources")
        quiet = quiet + 1 if walk.prompts is not None and not any(map(walk.waiting, parts)) else 0
        if quiet >= 3:
            return
    raise TimeoutError("the app did not come to rest")


def main(names: list[str]) -> None:
    from tui_lookups.explorer import Explorer
    from tui_lookups.settings import load_settings

    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with tempfile.TemporaryDirectory() as cache:
        first = Explorer(load_settings(cache_dir=Path(cache), device="cpu"))
        first.scan()
        first.offer_tour()  # claimed here, so that only the scene that asks for it shows it
        first.close()
        for name in names or SCENES:
            explorer = Explorer(load_settings(cache_dir=Path(cache), device="cpu"))
            svg = asyncio.run(shoot(explorer, name, SCENES[name]))
            explorer.close()
            (HERE / f"{name}.svg").write_text(svg, encoding="utf-8")
            print(name, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
