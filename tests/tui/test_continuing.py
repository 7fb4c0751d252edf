"""A pane as a command line and as Python: both ask what is on screen, and run."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.tui.canned import BECAUSE, CannedExplorer
from tests.tui.driving import LARGE, hints, press, rest, running
from tui_lookups.explorer import Explorer
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.settings import Settings
from tui_lookups.tui.app import LookupsApp
from tui_lookups.tui.text.continuing import continued

PLAIN = Settings()
OWN = Settings(
    model="a model", layers=(0, 3, 4, 5), raw_weights=True, top=7, cache_dir=Path("/c"), max_documents=9
)


def asked(app: LookupsApp, pane: Any, what: str = "command", settings: Settings = PLAIN) -> str:
    return continued(what, app.walk_screen.walk, pane, settings)


async def test_each_pane_is_the_command_that_asks_the_same() -> None:
    async with running(CannedExplorer(hostile=False), LARGE) as (app, pilot):
        await press(pilot, "3")
        await rest(pilot)
        head = app.walk_screen.walk.head
        assert asked(app, "neurons") == f"lookups-tui neurons '#{BECAUSE.id}' --top 200"
        assert asked(app, "prompts") == "lookups-tui prompts L5.N371"
        assert asked(app, "heads") == "lookups-tui heads L5.N371 --prompt 1 --full"
        assert asked(app, "detail") == f"lookups-tui heads L5.N371 --prompt 1 --full --sources {head}"
        await press(pilot, "c", "a")
        assert asked(app, "heads") == "lookups-tui heads L5.N371 --all-prompts --trimmed"


async def test_filters_and_samples_are_in_it_and_a_sampled_prompt_has_no_command() -> None:
    async with running(CannedExplorer(hostile=False), LARGE) as (app, pilot):
        await press(pilot, "o", "2", "K")
        assert asked(app, "neurons").endswith(" --next-token-only")
        assert asked(app, "prompts") == "lookups-tui prompts L5.N371 --kind random"
        await press(pilot, "3")
        await rest(pilot)
        assert asked(app, "heads") == ""
        assert "prompt_id=" in asked(app, "heads", "notebook")
        await press(pilot, "exclamation_mark")
        assert hints(app) == "Nothing here that could be asked so."


async def test_settings_that_are_not_the_defaults_go_along() -> None:
    async with running(CannedExplorer(hostile=False), LARGE) as (app, _):
        words = shlex.split(asked(app, "prompts", settings=OWN))
        assert words[:2] == ["LOOKUPS_TOP=7", "lookups-tui"]
        more = ["--model", "a model", "--max-documents", "9", "--layers", "0,3,4,5", "--raw-weights"]
        assert words[4:] == [*more, "--cache-dir", "/c"]


class Recorded(Explorer):
    """Keeps what it is asked, and answers nothing."""

    asked: list[tuple[object, ...]] = []  # noqa: RUF012 - one test's own

    def heads(self, *arguments: Any, **more: Any) -> Any:
        self.asked.append((self.settings, *arguments, more))


async def test_the_notebooks_lines_run_and_ask_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(CannedExplorer(hostile=False), LARGE) as (app, pilot):
        await press(pilot, "3")
        await rest(pilot)
        walk = app.walk_screen.walk
        lines = asked(app, "detail", "notebook", OWN)
    monkeypatch.setattr("tui_lookups.Explorer", Recorded)
    exec(lines, {})
    assert walk.head is not None
    more = {
        "prompt_id": walk.prompt_id,
        "trimmed": False,
        "sources": HeadId(walk.head.layer, walk.head.index),
    }
    assert Recorded.asked == [(OWN, NeuronId(5, 371), more)]


async def test_keys_copy_both() -> None:
    async with running(CannedExplorer(hostile=False), LARGE) as (app, pilot):
        await press(pilot, "2", "exclamation_mark")
        assert app.clipboard == "lookups-tui prompts L5.N371"
        await press(pilot, "percent_sign")
        assert app.clipboard.startswith("from tui_lookups import Explorer\n")
        assert "explorer.prompts(NeuronId(5, 371))" in app.clipboard
