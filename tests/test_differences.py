"""How far numbers repeat: the arithmetic by hand, and the command on a few passages."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks import differences
from benchmarks.differences import BASE, Seen, Way, attribution_difference, compare, peak_differences

NAN = math.nan


def seen(peaks: list[list[float]], prompts: list[list[int]], heads: dict[str, float] | None = None) -> Seen:
    places = {} if heads is None else {("L0.N0", 3, 7): heads}
    return Seen(np.array(peaks), np.array(prompts), places)


def test_peaks_are_compared_at_the_same_rank_where_the_base_has_more_than_next_to_nothing() -> None:
    base = seen([[2.0, 1.0, 0.05], [4.0, NAN, NAN]], [[5, 6, 7], [1, -1, -1]])
    other = seen([[2.2, 1.0, 0.50], [3.0, 9.0, NAN]], [[5, 7, 6], [1, 8, -1]])
    median, largest, moved = peak_differences(base, other)
    assert (median, largest) == (pytest.approx(0.1), pytest.approx(0.25))
    assert moved == 2 / 4
    nothing = seen([[NAN]], [[-1]])
    assert peak_differences(nothing, nothing) == (None, None, 0.0)


def test_attributions_are_compared_relative_to_the_largest_where_the_place_is_the_same() -> None:
    base = seen([[1.0]], [[3]], {"L0.H0": -2.0, "L0.H1": 0.5})
    other = seen([[1.0]], [[3]], {"L0.H0": -2.1, "L0.H1": 0.9})
    assert attribution_difference(base, other) == pytest.approx(0.2)
    assert attribution_difference(base, seen([[1.0]], [[3]])) is None


@pytest.mark.slow
def test_the_command_runs_the_demo_each_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(differences, "WAYS", (Way("bfloat16", {"--dtype": "bfloat16"}),))
    monkeypatch.setattr(differences, "PROMPTS", 1)
    monkeypatch.setattr(differences, "at_hand", tuple)
    out = tmp_path / "differences.json"
    differences.main(["--passages", "12", "--neurons", "5.300", "--json", str(out)])
    (rough,) = json.loads(out.read_text())
    assert 1e-4 < rough["median"] < 0.1
    assert rough["moved"] > 0
    said = capsys.readouterr().out
    assert said.startswith(f"Base: {BASE.name}.")
    assert f"| bfloat16 | {rough['median']:.1e} |" in said


def test_devices_at_hand_are_other_than_the_cpu() -> None:
    import torch

    assert bool(differences.at_hand()) == (torch.cuda.is_available() or torch.backends.mps.is_available())


def test_what_does_not_differ_is_said_in_words() -> None:
    said = differences.table([differences.Difference("one thread", 0.0, 0.0, 0.0, None)])
    assert said.endswith("| one thread | nothing | nothing | 0.00% | - |\n")


def test_comparing_no_ways_is_only_the_base(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(differences, "see", lambda way, *rest: asked.append((way, *rest[1:])))
    assert compare("demo", 3, "0.1", ()) == []
    assert asked == [(BASE, "demo", "0.1")]
