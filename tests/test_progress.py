"""How far work is: told on the model thread, heard by who waits."""

from __future__ import annotations

import pytest

from tui_lookups import progress
from tui_lookups.errors import Poll
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.model.text_pass import TextPass
from tui_lookups.model_thread import CancelToken, ModelThread
from tui_lookups.progress import Progress, Steps, heard_by
from tui_lookups.results import Status
from tui_lookups.tui.text.waiting import how_far, wait_words


def test_steps_are_counted_and_timed_as_they_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter((10.0, 12.0, 15.0, 18.0))
    monkeypatch.setattr(progress, "monotonic", lambda: next(moments))
    heard: list[Progress] = []
    steps = Steps("prompt", 20)
    with heard_by(heard.append):
        steps.begin(4)
        steps.begin(4)
        with heard_by(None):
            Steps("block", 3).begin()
        steps.begin(12)
    steps.begin()
    assert heard == [
        Progress("prompt", 1, 20, None),
        Progress("prompt", 5, 20, 8.0),
        Progress("prompt", 9, 20, pytest.approx(12.0)),
    ], "of steps within a step nobody hears"


def test_who_waits_for_a_job_hears_of_it() -> None:
    thread, token = ModelThread(), CancelToken()

    def work(poll: Poll) -> None:
        Steps("layer", 6).begin()

    assert token.progress is None
    thread.run(work, token=token)
    assert token.progress == Progress("layer", 1, 6, None)
    thread.run(lambda poll: None)
    assert thread.close(5.0)


def test_a_pass_tells_its_blocks_and_stops_between_two(demo_model: LookupModel) -> None:
    heard: list[Progress] = []

    def poll() -> None:
        if len(heard) == 3:
            raise KeyboardInterrupt

    with heard_by(heard.append), pytest.raises(KeyboardInterrupt):
        TextPass(demo_model, [0, 5, 7], None, poll)
    assert [(each.what, each.step, each.steps) for each in heard] == [("block", n, 6) for n in (1, 2, 3)]


def test_in_words() -> None:
    loading = Status("loading", "weights", "cpu", "float32", None, None, None)
    ready = Status("ready", "", "cpu", "float32", None, None, None)
    assert how_far(Progress("block", 12, 30, 3.4), ready) == "block 12 of 30, 3 s left"
    assert how_far(Progress("block", 1, 30, None), loading) == "block 1 of 30"
    assert how_far(None, loading) == "loading the model: weights"
    assert how_far(None, ready) == ""
    assert wait_words("Running…", "block 1 of 30", "esc") == "Running…\nblock 1 of 30\nesc stops it"
    assert wait_words("Running…", "", "esc", "  ") == "Running…  esc stops it"
