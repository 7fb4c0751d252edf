"""A survey killed (SIGKILL) again and again ends in the tables of one that nobody disturbed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import tui_lookups
from tests.faults import processes
from tests.faults.tally import Row, tried
from tui_lookups.analysis import attribution
from tui_lookups.answering.engine import Engine
from tui_lookups.explorer import Explorer
from tui_lookups.results import HeadOverview
from tui_lookups.settings import load_settings

PER_LAYER, KILLS = 4, 10
TEXTS = 40
SOON = 0.02
"""Seconds after a neuron was kept, at most, that a child is killed: the next neurons take about as long."""


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    packaged = Path(tui_lookups.__file__).parent / "demo" / "passages.jsonl"
    path = tmp_path / "some.jsonl"
    path.write_text("".join(packaged.read_text(encoding="utf-8").splitlines(keepends=True)[:TEXTS]))
    return path


def explorer_of(corpus: Path, cache: Path) -> Explorer:
    return Explorer(
        load_settings(
            corpus=str(corpus), cache_dir=str(cache), device="cpu", threads=1, top=6, offline=True
        )
    )  # fmt: skip


@processes.needs_fork
def test_killed_ten_times_it_ends_in_the_same_tables(
    corpus: Path, tmp_path: Path, once_loaded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each child goes on where the one before was killed, at a moment after it has kept a neuron or two."""
    monkeypatch.setattr(attribution, "_BATCH_TOKENS", {"cpu": 512})  # several passes for each layer
    whole, cache = tmp_path / "whole", tmp_path / "cache"
    with closing(explorer_of(corpus, whole)) as explorer:
        survey = explorer.survey(per_layer=PER_LAYER)
    shutil.copytree(whole / "indexes", cache / "indexes")
    assert len(survey.neurons) > 2 * KILLS
    draw, keep = random.Random(3), Engine.keep

    def work(neurons: int, seconds: float) -> None:
        kept = 0

        def keep_and_die(engine: Engine, key: str, answer: Any) -> Any:
            nonlocal kept
            if isinstance(answer, HeadOverview):
                kept += 1
                if kept == neurons:
                    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
            return keep(engine, key, answer)

        monkeypatch.setattr(Engine, "keep", keep_and_die)  # of the child
        with closing(explorer_of(corpus, cache)) as disturbed:
            disturbed.survey(per_layer=PER_LAYER)

    done, kills = [0], 0
    while kills < KILLS:
        neurons, seconds = draw.choice((1, 1, 1, 2)), draw.random() * SOON
        with tried(Row.KILLED):
            over = processes.finished(processes.start(lambda n=neurons, s=seconds: work(n, s)))
            with closing(explorer_of(corpus, cache)) as explorer:
                done.append(explorer.survey_plan(per_layer=PER_LAYER).done)
                assert done[-2] <= done[-1], "what was kept stays"
                if over or kills == KILLS - 1:
                    assert explorer.survey(per_layer=PER_LAYER) == survey, "to the last digit"
        kills += not over
        if over:  # another one takes the rest of the kills
            shutil.rmtree(cache / "results")
            done = [0]


@pytest.mark.slow  # each program imports torch
@pytest.mark.timeout(1800)
def test_the_command_killed_ten_times_writes_the_same_tables(corpus: Path, tmp_path: Path) -> None:
    """At any moment of its length, the scan and the writing of the tables included."""
    draw, cache, folder, kills = random.Random(5), tmp_path / "cache", tmp_path / "found", 0

    def program(cache: Path, folder: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tui_lookups", "survey", "--per-layer", str(PER_LAYER)]
        command += ["--corpus", str(corpus), "--cache-dir", str(cache), "--device", "cpu", "--threads", "1"]
        command += ["-o", str(folder), "--format", "csv"]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    began = time.monotonic()
    assert program(tmp_path / "whole", tmp_path / "expected").wait() == 0
    length = time.monotonic() - began
    while kills < KILLS:
        child = program(cache, folder)
        try:
            assert child.wait(draw.random() * length) == 0  # over before: another one takes the rest
            shutil.rmtree(cache)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            kills += 1
    assert program(cache, folder).wait() == 0
    names = [path.name for path in (tmp_path / "expected").glob("*.csv")]
    assert len(names) > 3
    for name in names:
        assert (folder / name).read_bytes() == (tmp_path / "expected" / name).read_bytes(), name
