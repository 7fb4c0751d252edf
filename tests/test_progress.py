"""How far something is: in words, for whom, and when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.fake_answers import progress as scan
from tui_lookups import progress as module
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.model.text_pass import TextPass
from tui_lookups.model_thread import ModelThread
from tui_lookups.progress import Count, Progress, batches, clock_text, heard_by, staged, tell
from tui_lookups.results import Status
from tui_lookups.tui.text.waiting import loading_words, wait_words


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (7.2, "0:07"), (3723, "1:02:03"), (-1, "0:00")])
def test_clock(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress("importing torch"), "importing torch"),
        (Progress("reading\x1b it", 41, 100, stage=5, stages=6), "5 of 6: reading␛ it, 41%"),
        (
            Progress("trimming", 6, 20, "prompts", seconds_left=4.0),
            "trimming: 6 of 20 prompts (30%), 0:04 left",
        ),
        (
            Progress("asking", 10, 40, "answered", 3.0, 9.0, "2 failed"),
            "asking: 10 of 40 answered (25%), 2 failed, 0:09 left",
        ),
        (Progress("fetching", 0, 0, "MB"), "fetching"),
    ],
)
def test_sentence(progress: Progress, text: str) -> None:
    assert progress.sentence == text


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (scan(253), "scanning: 253 of 506 prompts (50%), 1,234 tokens/s, 0:07 left"),
        (replace(scan(0), seconds_left=None), "scanning: 0 of 506 prompts (0%), 1,234 tokens/s"),
        (replace(scan(0), total_prompts=0), "scanning, 1,234 tokens/s, 0:07 left"),
        (
            replace(scan(253), message="no worker\x1b answers"),
            "scanning: 253 of 506 prompts (50%), 1,234 tokens/s, 0:07 left; no worker␛ answers",
        ),
        (
            replace(scan(253), state="waiting", message="another\x1b scans"),
            "another␛ scans: 253 of 506 prompts (50%), 0:07 left",
        ),
    ],
)
def test_sentence_of_a_scan(state: object, text: str) -> None:
    assert state.under_way.sentence == text  # type: ignore[attr-defined]


@pytest.mark.parametrize("state", [replace(scan(506), state="done"), replace(scan(0), state="waiting")])
def test_a_scan_that_is_over_or_has_not_begun_is_not_under_way(state: object) -> None:
    assert state.under_way is None  # type: ignore[attr-defined]


@pytest.mark.parametrize(("done", "bar"), [(0, "----"), (1, "#---"), (3, "###-"), (4, "####"), (9, "####")])
def test_a_bar_is_as_full_as_it_is_done(done: int, bar: str) -> None:
    assert Progress("x", done, 4).bar(4) == bar


def test_a_bar_of_what_nobody_can_count_is_blank() -> None:
    assert Progress("x").bar(4) == "    "


def test_what_was_known_before_took_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    count = Count("asking", 10, "answered", known=4)
    assert count.at(4).seconds_left is None
    clock[0] += 6
    assert count.at(6) == Progress("asking", 6, 10, "answered", 6.0, 12.0)


def test_batches_tell_before_each_and_only_who_listens() -> None:
    told: list[Progress] = []
    found = [range(8), range(8, 16), range(16, 20)]
    with heard_by(told.append):
        assert list(batches(found, "attributing")) == found
        with heard_by(None):
            assert list(batches(found, "a part of something that counts itself")) == found
    tell(Progress("too late"))
    assert [(each.what, each.done, each.total) for each in told] == [
        ("attributing", 0, 20),
        ("attributing", 8, 20),
        ("attributing", 16, 20),
    ]


def test_parts_that_follow_each_other_say_which_they_are() -> None:
    told: list[Progress] = []
    with heard_by(told.append):
        for stage in (1, 2):
            with staged(stage, 2):
                tell(Progress("running", 1, 4, "prompts"))
    assert [each.sentence for each in told] == [
        "1 of 2: running: 1 of 4 prompts (25%)",
        "2 of 2: running: 1 of 4 prompts (25%)",
    ]


def test_what_a_job_tells_on_the_model_thread_is_heard_by_who_asked() -> None:
    thread, told = ModelThread(), list[Progress]()
    try:
        with heard_by(told.append):
            job = thread.submit(lambda _: tell(Progress("mine")))
        other = thread.submit(lambda _: tell(Progress("nobody's")))
        job.result(timeout=10)
        other.result(timeout=10)
    finally:
        thread.close()
    assert told == [Progress("mine")]


def test_a_pass_tells_its_blocks_and_stops_between_two(demo_model: LookupModel) -> None:
    told: list[Progress] = []

    def poll() -> None:
        if len(told) == 3:
            raise KeyboardInterrupt

    with heard_by(told.append), pytest.raises(KeyboardInterrupt):
        TextPass(demo_model, [0, 5, 7], None, poll)
    assert [(each.done, each.total, each.unit) for each in told] == [(n, 6, "blocks") for n in range(3)]


def test_what_is_waited_for_in_words() -> None:
    loading = Status("loading", "weights", "cpu", "float32", None, None, None)
    assert loading_words(loading) == "loading the model: weights"
    assert loading_words(replace(loading, stage="ready")) == ""
    assert wait_words("Running…", "1 of 30", "esc") == "Running…\n1 of 30\nesc stops it"
    assert wait_words("Running…", "", "esc", "  ") == "Running…  esc stops it"
