"""The same command gives the same JSON, apart from times: twice in a row, and in another process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.processes import answer_anew, needs_fork
from tui_lookups.model.sources import demo_folder

pytestmark = needs_fork
PASSAGES = 12
TIMES = frozenset({"seconds", "tokens_per_second", "seconds_left", "created", "exported", "resumed_from"})
"""Keys that say when, how long, or what there was to begin with."""

Command = tuple[str, ...]

SHORT: tuple[Command, ...] = (
    ("neurons", " because", "--top", "5"),
    ("heads", "L5.N710", "--sources", "L4.H5"),
)
LONG: tuple[Command, ...] = (
    *SHORT,
    ("prompts", "L5.N710", "--top", "5"),
    ("scan",),
    ("tokens", "L5.N710"),
    ("prompts", "L5.N710", "--kind", "random"),
    ("heads", "L5.N710", "--all-prompts"),
    ("ablate", "L5.N710", "L4.H5", "--method", "resample"),
    ("activations", "L5.N710", "--text", "He went, not because he was asked, but"),
    ("export", " because", "--top", "1", "--force", "-o", "x.json"),
    ("verify", "x.json"),
)

FROM_NOTHING = """
import json, sys
from tests.test_repeatable import run_each_twice
run_each_twice(json.loads(sys.argv[1]))
"""


def run_each_twice(lines: list[list[str]]) -> None:
    """Every command twice in this process, which ends with the status of the first that fails."""
    from tui_lookups import cli
    from tui_lookups.commands import invocation

    for arguments in lines:
        for _ in range(2):
            status = invocation.run(cli.app, arguments)
            if status:
                sys.exit(f"{arguments}: {status}")


def without_times(value: Any) -> Any:
    """A document without what may differ from run to run."""
    if isinstance(value, dict):
        return {key: without_times(each) for key, each in value.items() if key not in TIMES}
    return [without_times(each) for each in value] if isinstance(value, list) else value


def arguments(corpus: Path, commands: tuple[Command, ...]) -> list[list[str]]:
    common = ["--json", "--corpus", str(corpus), "--threads", "1"]
    return [[*command, *common] for command in commands]


def environment(folder: Path) -> dict[str, str]:
    """That of a process with a cache of its own in `folder`."""
    return {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "LOOKUPS_CACHE_DIR": str(folder / "cache"),
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
    }


def start(folder: Path, lines: list[list[str]]) -> subprocess.Popen[str]:
    """A process from nothing that runs every command twice."""
    return subprocess.Popen(
        [sys.executable, "-c", FROM_NOTHING, json.dumps(lines)],
        env=environment(folder), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def run_in(folder: Path, lines: list[list[str]], variables: dict[str, str]) -> str:
    """What a process that has the libraries already prints, doing the same; for `answer_anew`."""
    os.chdir(folder)
    os.environ.update(variables)
    out = folder / "out.txt"
    os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT), 1)
    run_each_twice(lines)
    sys.stdout.flush()
    return out.read_text(encoding="utf-8")


def documents(printed: str, folder: Path) -> list[Any]:
    """What was printed, without times and without the name of the process's folder."""
    lines = printed.replace(str(folder), "").splitlines()
    return [without_times(json.loads(line)) for line in lines]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "few.jsonl"
    lines = (demo_folder().parent / "passages.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:PASSAGES]), encoding="utf-8")
    return path


def _check(corpus: Path, folder: Path, commands: tuple[Command, ...]) -> list[Any]:
    ours, theirs, lines = folder / "one", folder / "other", arguments(corpus, commands)
    for each in (ours, theirs):
        each.mkdir()
    process = start(theirs, lines)
    one = documents(answer_anew(run_in, ours, lines, environment(ours)), ours)
    out, err = process.communicate(timeout=280)
    assert process.returncode == 0, err[-2000:]
    other = documents(out, theirs)
    assert len(one) == len(other) == 2 * len(commands)
    for number, command in enumerate(commands):
        first, again = one[2 * number : 2 * number + 2]
        assert first == again, f"{command} twice in a row"  # the second from the cache
        assert first == other[2 * number], f"{command} in another process"
    return one


def test_the_same_command_gives_the_same_json(corpus: Path, tmp_path: Path) -> None:
    _check(corpus, tmp_path, SHORT)


@pytest.mark.slow
def test_every_command_gives_the_same_json(corpus: Path, tmp_path: Path) -> None:
    verified = _check(corpus, tmp_path, LONG)[-1]
    assert (verified["agrees"], verified["differing"], verified["largest_relative"]) == (True, [], 0.0)
    exports = [json.loads((tmp_path / name / "x.json").read_text("utf-8")) for name in ("one", "other")]
    assert without_times(exports[0]) == without_times(exports[1])
