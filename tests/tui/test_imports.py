"""What the app may import: neither torch and its kin, nor the explorer, before the first paint."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("torch", "transformers", "transformer_lens", "numpy", "pydantic", "openai", "datasets")


def loaded(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_app_is_light() -> None:
    modules = loaded("import tui_lookups.tui.app, tui_lookups.tui.running")
    assert "tui_lookups.tui.screens.walk" in modules
    assert not modules & set(HEAVY)
    assert "tui_lookups.explorer" not in modules
    late_screens = ("help", "basket", "export", "open_export", "atlas", "ablation", "explained")
    for late in (*late_screens, "playground", "send", "served_by", "shared_heads", "survey", "write"):
        assert f"tui_lookups.tui.screens.{late}" not in modules


def test_the_app_needs_few_results_and_no_subcommand_before_its_first_paint() -> None:
    modules = loaded("import tui_lookups.cli, tui_lookups.explorer, tui_lookups.tui.running")
    late = {f"tui_lookups.results.{name}" for name in ("explanation", "attribution", "prompts", "exported")}
    assert not modules & late
    late = {"commands.walk", "commands.analysis", "storage", "answering", "model", "corpus"}
    assert not modules & {f"tui_lookups.{name}" for name in late}


def test_a_tokens_neurons_from_the_cache_need_nothing_heavy() -> None:
    needed = "import tui_lookups.answering.engine, tui_lookups.answering.congruence_service"
    assert not loaded(needed) & {*HEAVY, "tui_lookups.corpus", "http.client"}


def test_help_needs_nothing_heavy() -> None:
    code = (
        "import contextlib, io\n"
        "from tui_lookups.cli import app\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    app(['neurons', '--help'], standalone_mode=False)"
    )
    assert not loaded(code) & {*HEAVY, "tui_lookups.answering.engine", "textual.app"}


def test_the_package_alone_brings_no_textual() -> None:
    assert "textual" not in loaded("import tui_lookups.tui")


def test_the_first_paint_needs_nothing_heavy() -> None:
    code = (
        "import asyncio\n"
        "from tests.tui.canned import CannedExplorer\n"
        "from tui_lookups.tui.app import LookupsApp\n"
        "async def main():\n"
        "    async with LookupsApp(CannedExplorer(hold=True)).run_test() as pilot:\n"
        "        await pilot.pause()\n"
        "asyncio.run(main())\n"
    )
    assert not loaded(code) & set(HEAVY)
