"""What the top line says of a scan: how far it is, and why it does not go on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tui_lookups.results import ScanProgress, Status
from tui_lookups.tui.widgets.status_line import places, scan_text

SCAN = ScanProgress("running", 253, 506, 1000, 2000, 7.0, 7.0, 140.0)


@pytest.mark.parametrize(
    ("scan", "words", "text"),
    [
        (SCAN, False, "scan #####----- 50%  0:07"),
        (SCAN, True, "scan 50%, 7 seconds left"),
        (replace(SCAN, message="no worker\x1b answers"), False, "scan 50%  0:07  no worker␛ answers"),
        (replace(SCAN, message="no worker answers"), True, "scan 50%, 7 seconds left: no worker answers"),
        (
            replace(SCAN, state="waiting", seconds_left=None, message="another lookups-tui is scanning"),
            False,
            "scan 50%  another lookups-tui is scanning",
        ),
        (replace(SCAN, state="waiting", total_prompts=0, seconds_left=None), False, "scan ---------- 0%"),
        (replace(SCAN, state="failed", message="no\x1b disk"), False, "scan failed no␛ disk"),
        (replace(SCAN, state="done", message="The scan starts anew."), False, "scan done"),
    ],
)
def test_how_far_and_why_not(scan: ScanProgress, words: bool, text: str) -> None:
    status = Status("ready", "", "cpu", "float32", None, None, scan)
    assert scan_text(status, words=words) == text


def test_a_long_message_leaves_room_for_the_model() -> None:
    status = Status("ready", "", "cpu", "float32", None, None, replace(SCAN, message="disk " * 40))
    assert len(scan_text(status)) <= 65


def test_the_model_that_was_asked_for_is_named_until_it_is_known() -> None:
    status = Status("loading", "importing torch", "auto", "float32", None, None, None, asked="my\x1bmodel")
    assert places(status) == ("lookups  my␛model",), "nobody knows yet what auto comes to"
    assert places(replace(status, device="cuda:1")) == ("lookups  my␛model  cuda:1",)
