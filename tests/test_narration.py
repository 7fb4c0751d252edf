"""Narration: what is said, and how often."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from tests.fake_answers import FakeExplorer, progress
from tui_lookups.commands.narration import (
    LineTeller,
    Narrator,
    stage_of,
)
from tui_lookups.progress import Progress, tell
from tui_lookups.results import Status, SurveyProgress
from tui_lookups.settings import Settings

READY = FakeExplorer(Settings()).status()


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (READY, None),
        (replace(READY, stage="loading", message="reading\x1b weights"), "reading␛ weights"),
        (replace(READY, stage="starting"), "loading the model"),
        (replace(READY, loading=Progress("reading", 41, 100, stage=5, stages=6)), "5 of 6: reading, 41%"),
    ],
)
def test_sentence_of_a_stage(status: Status, text: str | None) -> None:
    stage = stage_of(status)
    assert (None if stage is None else stage.sentence) == text


def test_lines_are_news_and_rare() -> None:
    now, out = [0.0], io.StringIO()
    teller = LineTeller(out, clock=lambda: now[0])
    for moment, text in [
        (0.5, "a"),
        (1.1, "a"),
        (2.0, "b"),
        (6.2, "b"),
        (9.0, "c"),
        (20.0, "b"),
        (40, "d"),
    ]:
        now[0] = moment
        teller.tell(Progress(text))
    assert out.getvalue() == "a\nb\nd\n"
    teller.tell_stage(Progress("loading the model"))
    assert out.getvalue() == "a\nb\nd\n", "a stage is for who watches"


class Recorder:
    def __init__(self) -> None:
        self.told: list[str] = []
        self.closed = False

    def tell(self, progress: Progress) -> None:
        self.told.append(progress.sentence)

    def tell_stage(self, progress: Progress | None) -> None:
        self.told.append("" if progress is None else f"stage {progress.sentence}")

    def close(self) -> None:
        self.closed = True


def test_what_was_heard_outranks_the_status_and_the_end_closes() -> None:
    recorder = Recorder()
    status = replace(READY, scan=progress(1))
    with Narrator(lambda: status, io.StringIO(), recorder) as narrator:
        narrator.look()
        narrator.hear(progress(253))
        narrator.look()
    assert "1 of 506" in recorder.told[0]
    assert any("253 of 506" in text for text in recorder.told)
    assert recorder.closed


def test_a_batch_is_told_until_it_is_done_where_no_scan_is_under_way() -> None:
    recorder = Recorder()
    status = [replace(READY, scan=progress(1))]
    with Narrator(lambda: status[0], io.StringIO(), recorder) as narrator:
        narrator.hear_survey(SurveyProgress(3, 9, 6.0, 12.0))
        narrator.look()
        assert recorder.told[-1].startswith("scanning")
        status[0] = READY
        narrator.look()
        assert recorder.told[-1] == "surveying: 3 of 9 neurons (33%), 0:12 left"
        narrator.hear_survey(SurveyProgress(3, 9, 6.0, 12.0, 0.4))
        narrator.look()
        assert recorder.told[-1] == "surveying: 3 of 9 neurons (40%), 0:12 left"
        narrator.hear_survey(SurveyProgress(1, 4, 2.0, None, 0.25, "ablations"))
        narrator.look()
        assert recorder.told[-1] == "ablating: 1 of 4 pairs (25%)"
        narrator.hear_survey(SurveyProgress(9, 9, 18.0, 0.0))
        narrator.look()
        assert recorder.told[-1] == ""


def test_passes_over_prompts_are_for_who_watches() -> None:
    recorder = Recorder()
    with Narrator(lambda: READY, io.StringIO(), recorder) as narrator:
        tell(Progress("trimming", 6, 20, "prompts", 2.0, 4.0))
        narrator.look()
    assert recorder.told[-1] == "stage trimming: 6 of 20 prompts (30%), 0:04 left"
    tell(Progress("trimming", 7, 20))
    assert recorder.told[-1].endswith("0:04 left"), "nobody listens after its end"
