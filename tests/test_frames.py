"""How short a question is: the frames of this package between a key and the formula that answers it."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

import pytest
from textual.message import Message

import tui_lookups
from tests.test_end_to_end import small_corpus
from tests.tui.driving import until
from tui_lookups.analysis import congruence
from tui_lookups.explorer import Explorer
from tui_lookups.settings import load_settings
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.widgets.neurons_table import NeuronsTable

MOST = 18
_ROOT = str(Path(tui_lookups.__file__).parent)


def frames() -> list[str]:
    """The frames of the package that are on the stack now, outermost first."""
    stack = traceback.extract_stack()
    inside = [frame for frame in stack if frame.filename.startswith(_ROOT)]
    return [f"{Path(f.filename).relative_to(_ROOT)}:{f.lineno} {f.name}" for f in inside]


async def test_few_frames_lie_between_a_key_and_the_formula(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key of the layer filter: widget, message, screen, explorer; then, on a thread, down to the formula.

    A message and a thread each begin a stack of their own; what counts is all of them together.
    """
    posted: list[str] = []
    asked: list[str] = []
    answered: list[str] = []
    rank, ask, made = congruence.rank_neurons, Explorer.ask, Message.__init__

    def ranking(*given: object, **named: object) -> object:
        answered[:] = frames()
        return rank(*given, **named)  # type: ignore[arg-type]

    def asking(*given: object, **named: object) -> object:
        asked[:] = frames()
        return ask(*given, **named)  # type: ignore[arg-type]

    def making(message: Message) -> None:
        if isinstance(message, NeuronsTable.Filter):
            posted[:] = [frame for frame in frames() if not frame.endswith(" __init__")]
        made(message)

    settings = load_settings(
        cache_dir=tmp_path / "cache", corpus=str(small_corpus(tmp_path / "x")), device="cpu", threads=1
    )
    explorer = Explorer(settings)
    app = LookupsApp(explorer, token=" because")
    try:
        async with app.run_test(size=(160, 45)) as pilot:
            await until(lambda: app.walk_screen.walk.ranking is not None, pilot)
            await until(lambda: explorer.status().model is not None, pilot)
            monkeypatch.setattr(congruence, "rank_neurons", ranking)
            monkeypatch.setattr(Explorer, "ask", asking)
            monkeypatch.setattr(Message, "__init__", making)
            await pilot.press("l")
            await until(lambda: answered, pilot)
    finally:
        explorer.close()
    way = [*posted, *asked, "explorer ask", *answered, "analysis rank_neurons"]
    print(f"{len(way)} frames:", *way, sep="\n  ", file=sys.stderr)
    assert len(way) <= MOST
