"""Narration: what is said, and how often."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from tests.fake_answers import FakeExplorer, progress
from tui_lookups.commands.narration import (
    Bar,
    LineTeller,
    Narrator,
    asking_sentence,
    clock_text,
    scan_sentence,
    stage_sentence,
    survey_sentence,
)
from tui_lookups.results import RequestProgress, ScanProgress, Status, SurveyProgress
from tui_lookups.settings import Settings

READY = FakeExplorer(Settings()).status()


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (7.2, "0:07"), (3723, "1:02:03"), (-1, "0:00")])
def test_clock(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text


@pytest.mark.parametrize(
    ("scan", "text"),
    [
        (None, ""),
        (replace(progress(506), state="done"), ""),
        (progress(253), "scanning: 253 of 506 prompts (50%), 1,234 tokens/s, 0:07 left"),
        (replace(progress(0), seconds_left=None), "scanning: 0 of 506 prompts (0%), 1,234 tokens/s"),
        (replace(progress(0), total_prompts=0), "scanning: 0 of 0 prompts, 1,234 tokens/s, 0:07 left"),
        (
            replace(progress(253), message="no worker\x1b answers"),
            "scanning: 253 of 506 prompts (50%), 1,234 tokens/s, 0:07 left; no worker␛ answers",
        ),
        (
            replace(progress(253), state="waiting", message="another\x1b scans"),
            "another␛ scans: 253 of 506 prompts (50%), 0:07 left",
        ),
        (replace(progress(0), state="waiting"), ""),
    ],
)
def test_sentence_of_a_scan(scan: ScanProgress | None, text: str) -> None:
    assert scan_sentence(scan) == text


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (READY, ""),
        (replace(READY, stage="loading", message="reading\x1b weights"), "reading␛ weights"),
        (replace(READY, stage="starting"), "loading the model"),
    ],
)
def test_sentence_of_a_stage(status: Status, text: str) -> None:
    assert stage_sentence(status) == text


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (RequestProgress(0, 40, 0, 0, 0.0, None), "asking: 0 of 40 answered (0%)"),
        (
            RequestProgress(10, 40, 4, 2, 3.0, 9.0),
            "asking: 10 of 40 answered (25%), 2 failed, 0:09 left",
        ),
    ],
)
def test_sentence_of_a_batch_of_requests(asked: RequestProgress, text: str) -> None:
    assert asking_sentence(asked) == text


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
        (21.0, ""),
        (40, "d"),
    ]:
        now[0] = moment
        teller.tell(text, None)
    assert out.getvalue() == "a\nb\nd\n"
    teller.tell_stage("loading the model")
    assert out.getvalue() == "a\nb\nd\n", "a stage is for who watches"


class Recorder:
    def __init__(self) -> None:
        self.told: list[str] = []
        self.closed = False

    def tell(self, text: str, bar: Bar | None) -> None:
        self.told.append(text)

    def tell_stage(self, text: str) -> None:
        self.told.append(text)

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


def test_a_batch_of_requests_outranks_the_scan_until_it_is_done() -> None:
    recorder = Recorder()
    status = replace(READY, scan=progress(1))
    with Narrator(lambda: status, io.StringIO(), recorder) as narrator:
        narrator.hear_asking(RequestProgress(3, 4, 0, 0, 1.0, 1.0))
        narrator.look()
        assert recorder.told[-1].startswith("asking: 3 of 4")
        narrator.hear_asking(RequestProgress(4, 4, 0, 0, 1.0, 0.0))
        narrator.look()
        assert recorder.told[-1].startswith("scanning")


def test_a_survey_is_told_where_no_scan_is_under_way() -> None:
    recorder = Recorder()
    status = [replace(READY, scan=progress(1))]
    with Narrator(lambda: status[0], io.StringIO(), recorder) as narrator:
        narrator.hear_survey(SurveyProgress(0, 9, 0.0, None))
        narrator.look()
        assert recorder.told[-1].startswith("scanning")
        status[0] = READY
        narrator.hear_survey(SurveyProgress(3, 9, 6.0, 12.0, 0.4))
        narrator.look()
        assert recorder.told[-1] == "surveying: 3 of 9 neurons (40%), 0:12 left"
    pairs = SurveyProgress(1, 4, 2.0, None, 0.25, "ablations")
    assert survey_sentence(pairs) == "ablating: 1 of 4 pairs (25%)"
    assert survey_sentence(SurveyProgress(0, 4, 0.0, None)) == "surveying: 0 of 4 neurons (0%)"
