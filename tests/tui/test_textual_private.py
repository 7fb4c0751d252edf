"""What the app takes from Textual's private side is named, is there, and can be done without."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from textual.app import App
from textual.command import CommandPalette
from textual.drivers.linux_driver import LinuxDriver
from textual.screen import Screen
from textual.widgets import Input

import tui_lookups.tui
from tui_lookups.tui.terminal.textual_private import PRIVATE, Name, has

ROOT = Path(tui_lookups.tui.__file__).parent
_THEIRS = (App, Screen, Input, CommandPalette, LinuxDriver)


@pytest.mark.parametrize("taken", PRIVATE, ids=lambda taken: f"{taken.owner}.{taken.name}")
def test_what_is_taken_is_there(taken: Name) -> None:
    module, _, kind = taken.owner.partition(":")
    owner = importlib.import_module(module)
    there = has(getattr(owner, kind), taken.name) if kind else hasattr(owner, taken.name)
    assert there, (
        f"Textual has no {taken.owner}.{taken.name} any more, which is taken for this: {taken.reason}"
    )


def test_nothing_else_is_taken() -> None:
    sources = {
        inspect.getsource(base) for kind in _THEIRS for base in kind.__mro__ if "textual" in base.__module__
    }
    theirs = set(re.findall(r"\b(?:self\.|def )(_[a-z]\w*)", "".join(sources)))
    found: set[str] = set()
    for path in ROOT.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        ours = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        ours |= {
            n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("textual._"):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.Attribute) and node.attr in theirs - ours - {"_exit"}:  # of os
                found.add(node.attr)
    assert found - {taken.name for taken in PRIVATE} - {"CSSPathType"} == set()


WITHOUT = """
import asyncio, sys
import textual.app, textual.drivers.linux_driver, textual.keys, textual.screen

# Textual itself has these already: what is imported from here on does not find them
compositor = sys.modules["textual._compositor"]
shadow = sys.modules["textual._compositor"] = type(compositor)(compositor.__name__)
vars(shadow).update({name: value for name, value in vars(compositor).items() if not name.endswith("Update")})
del textual.keys._character_to_key
from tui_lookups.tui.terminal import textual_private
assert textual_private.LayoutUpdate is None
taken, has = {name.name for name in textual_private.PRIVATE}, textual_private.has
textual_private.has = lambda owner, name: name not in taken and has(owner, name)

from tests.tui.canned import CannedExplorer
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.running import SignalledApp
from tui_lookups.tui.state.options import Options
from tui_lookups.tui.widgets.neurons_table import NeuronsTable

async def main():
    app = SignalledApp(CannedExplorer(), options=Options("lookups-dark", {"walk.token": "f5"}))
    assert "tui_lookups" not in app.get_driver_class().__module__
    async with app.run_test(size=(160, 45)) as pilot:
        for _ in range(5):
            await pilot.pause()
        assert app.screen.query_one(NeuronsTable).row_count() > 0
        await pilot.press("C", "3", "y", "V", "V", "f5", *"time")
        for _ in range(5):
            await pilot.pause()
        assert app.screen.query_one("#token-input").value == "time"
        assert app.theme == "lookups-light"
        await pilot.resize_terminal(80, 24)
        for _ in range(5):
            await pilot.pause()
        assert app.walk_screen.size_class == "narrow"
        print("goes on")

asyncio.run(main())
"""


def test_without_any_of_it_the_app_goes_on_as_plain_textual() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "goes on", done.stderr[-3000:]
