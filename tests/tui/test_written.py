"""What leaves the app as files: the folder of a survey, and the figure of a pane."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from tests.tui.canned import CannedExplorer
from tests.tui.driving import LARGE, hints, press, rest, running, settle
from tests.tui.views import texts
from tui_lookups.exports.report import Report, read_report
from tui_lookups.results import Survey
from tui_lookups.tui.screens.survey import SurveyScreen


async def test_the_report_and_the_tables_are_written_to_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    explorer, told = CannedExplorer(), list[int]()

    def gathered(explorer: CannedExplorer, survey: Survey, hear: Callable[[int, int], None]) -> Report:
        hear(1, len(survey.neurons))
        told.append(len(survey.neurons))
        return Report(1, "lookups-tui", "today", survey.provenance, survey, ())

    monkeypatch.setattr("tui_lookups.exports.report.of_survey", gathered)
    async with running(explorer, LARGE) as (app, pilot):
        await press(pilot, "M", "x")
        assert "There is nothing to write yet." in hints(app)
        await press(pilot, "r")
        await settle(pilot)
        shown = cast("SurveyScreen", app.screen)._run.survey
        assert shown is not None
        await press(pilot, "x", "enter")
        await settle(pilot)
        folder = tmp_path / "lookups-survey"
        assert {"report.html", "report.json", "pairs.parquet"} <= {path.name for path in folder.iterdir()}
        assert read_report(folder / "report.json").survey == shown
        assert told == [len(shown.neurons)]
        assert "Written: " in hints(app)
        assert "report.html" in hints(app)

        (tmp_path / "file").write_text("", encoding="utf-8")
        await press(pilot, "x", "ctrl+u", *"file", "enter")
        await settle(pilot)
        assert "file is a file. Name a folder" in " ".join(texts(app))
        assert told == [len(shown.neurons)], "before minutes of work"
        await press(pilot, "escape")
        assert isinstance(app.screen, SurveyScreen)


@pytest.mark.parametrize(
    ("keys", "name", "text"),
    [
        ((), "lookups-neurons-because.svg", "Congruence with"),
        (("2",), "lookups-prompts-L5.N371.svg", "highest-activating prompts"),
        (("3",), "lookups-heads-L5.N371.svg", "Attribution to L5.N371"),
        (("3", "enter"), "lookups-detail-L5.N371-L3.H2.svg", "What L3.H2 brings to L5.N371"),
    ],
)
async def test_a_pane_is_written_as_a_figure(
    keys: tuple[str, ...], name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with running(CannedExplorer(hostile=False), LARGE) as (app, pilot):
        await press(pilot, *keys)
        await rest(pilot)
        await press(pilot, "X", "enter")
        await settle(pilot)
        (written,) = tmp_path.iterdir()
        assert written.name == name
        assert text in written.read_text(encoding="utf-8")
        assert "Written: " in hints(app)
        await press(pilot, "X", "enter")
        assert "That file exists." in " ".join(texts(app))
        await press(pilot, "ctrl+u", *"no/such.svg", "enter")
        await settle(pilot)
        assert "There is no folder no" in " ".join(texts(app))
        await press(pilot, "ctrl+u", *"figure.png", "enter")
        assert "ends in .svg" in " ".join(texts(app))
