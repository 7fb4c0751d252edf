"""The arithmetic of the benchmarks: medians of pairs, bars, exit status, the JSON. Nothing is timed here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import report
from benchmarks.app_rows import painted, time_to_paint
from benchmarks.keys import first_writes
from benchmarks.measuring import Pairs, interleave, quantile
from benchmarks.registry import REGISTRY, Bar, Figure, NotHere, Registry, RowResult
from benchmarks.workbench import Bench

GOOD = Figure("scan", "forward", 1.5, "x", Bar("at least", 1.0), 3000.0, 2000.0, "tokens/s", (1.4, 1.6))
SHORT = Figure("paint", "minimal", 1.7, "x", Bar("at most", 1.5), 680.0, 400.0, "ms", note="cold disk")
BESIDE = Figure("scan", "batch 1", 0.5, "x", None, 1000.0, 2000.0, "tokens/s")


def clock(values: Sequence[float], log: list[str], name: str):
    turns = iter(values)

    def run() -> float:
        log.append(name)
        return next(turns)

    return run


def test_pairs_run_in_turn_after_a_warm_up_that_is_not_counted() -> None:
    log: list[str] = []
    pairs = interleave(
        clock([99.0, 1.0, 2.0, 4.0], log, "ours"), clock([99.0, 2.0, 2.0, 40.0], log, "theirs"), 3
    )
    assert log == ["ours", "theirs"] * 4
    assert pairs == Pairs((1.0, 2.0, 4.0), (2.0, 2.0, 40.0))
    assert pairs.ratios == (2.0, 1.0, 10.0)


def test_the_ratio_is_the_median_of_the_pairs_own() -> None:
    """Not the ratio of the medians, which would be 10 / 2."""
    assert Pairs((1.0, 2.0, 10.0), (10.0, 2.0, 30.0)).speedup == 3.0


@pytest.mark.parametrize(("share", "expected"), [(0.5, 10), (0.95, 19), (0.951, 20), (1.0, 20), (0.01, 1)])
def test_quantiles_are_nearest_ranks(share: float, expected: int) -> None:
    assert quantile(list(range(20, 0, -1)), share) == expected


def test_quantiles_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        quantile([], 0.5)


def test_bars() -> None:
    assert Bar("at least", 1.0).holds(1.0)
    assert not Bar("at least", 1.0).holds(0.999)
    assert Bar("at most", 5.0).holds(5.0)
    assert not Bar("at most", 5.0).holds(5.1)
    assert (GOOD.falls_short, SHORT.falls_short, BESIDE.falls_short) == (False, True, False)
    assert not Bar("at least", 1.0).holds(float("nan"))
    assert not Bar("at most", 1.0).holds(float("nan"))


@pytest.mark.parametrize(
    ("results", "status"),
    [
        ([RowResult("a", (GOOD, BESIDE))], 0),
        ([RowResult("a", (GOOD, SHORT))], 1),
        ([RowResult("a", (GOOD,)), RowResult("b", error="no terminal")], 1),
        ([], 0),
    ],
)
def test_exit_status(results: list[RowResult], status: int) -> None:
    assert report.marks(results) == status


def test_the_table_marks_what_falls_short_and_says_what_could_not_be_measured() -> None:
    results = [RowResult("a", (GOOD, SHORT, BESIDE)), RowResult("b", error="no terminal")]
    lines = report.table(results, {"machine": "m", "versions": {"torch": "2"}}).splitlines()
    assert lines[:2] == ["machine: m", "versions: torch 2"]
    scan, paint, beside = lines[4:7]
    assert scan.startswith("ok  scan")
    for part in ("1.5x (1.4..1.6)", "at least 1x", "3,000 tokens/s", "2,000 tokens/s"):
        assert part in scan
    assert paint.startswith("!   paint")
    assert beside.startswith("    scan")
    assert "- paint: cold disk" in lines
    assert lines[-1] == "! b could not be measured: no terminal"


def test_the_document_holds_everything() -> None:
    read = json.loads(report.document([RowResult("a", (GOOD, SHORT))], {"model": "demo"}))
    assert (read["about"], read["status"]) == ({"model": "demo"}, 1)
    (row,) = read["rows"]
    assert (row["name"], row["error"], row["falls_short"]) == ("a", "", True)
    good, short = row["figures"]
    assert good["bar"] == {"kind": "at least", "limit": 1.0}
    assert (good["value"], good["ours"], good["theirs"], good["spread"]) == (1.5, 3000.0, 2000.0, [1.4, 1.6])
    assert (good["falls_short"], short["falls_short"], short["spread"]) == (False, True, None)


def test_a_row_that_fails_becomes_a_result(tmp_path: Path) -> None:
    registry = Registry()

    @registry.row("broken")
    def broken(bench: Bench) -> list[Figure]:
        raise RuntimeError(f"no {bench.model_name}")

    with pytest.raises(ValueError, match="already"):
        registry.row("broken")(broken)
    result = registry.run("broken", Bench("demo", tmp_path))
    assert (result.figures, result.error, result.falls_short) == ((), "RuntimeError: no demo", True)


def test_a_row_for_another_machine_is_skipped_by_name(tmp_path: Path) -> None:
    registry = Registry()

    @registry.row("gpu")
    def gpu(bench: Bench) -> list[Figure]:
        raise NotHere("there is no CUDA device")

    result = registry.run("gpu", Bench("demo", tmp_path))
    assert (result.error, result.skipped, result.falls_short) == ("", "there is no CUDA device", False)
    assert report.table([result], {}).splitlines()[-1] == "- gpu skipped: there is no CUDA device"
    assert json.loads(report.document([result], {}))["rows"][0]["skipped"] == "there is no CUDA device"
    assert report.marks([result]) == 0


def test_the_command_runs_the_rows_asked_for_and_writes_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[tuple[str, int, str]] = []

    def measured(name: str, figure: Figure):
        def measure(bench: Bench) -> list[Figure]:
            seen.append((name, bench.pairs, bench.model_name))
            return [figure]

        return measure

    rows = {"good": measured("good", GOOD), "short": measured("short", SHORT)}
    monkeypatch.setattr(REGISTRY, "rows", rows)
    target = tmp_path / "figures.json"
    assert command.main(["--only", "good", "--json", str(target), "--cache-dir", str(tmp_path)]) == 0
    assert seen == [("good", command.PAIRS, "demo")]
    read = json.loads(target.read_text(encoding="utf-8"))
    assert [row["name"] for row in read["rows"]] == ["good"]
    assert {"date", "model", "machine", "versions", "device", "threads", "pairs"} <= set(read["about"])
    assert command.main(["--model", "m", "--quick", "--cache-dir", str(tmp_path)]) == 1
    assert seen[1:] == [("good", command.QUICK_PAIRS, "m"), ("short", command.QUICK_PAIRS, "m")]
    assert "!   paint" in capsys.readouterr().out


def test_every_row_of_the_design_is_there() -> None:
    assert set(REGISTRY.rows) == {
        "scan_forward", "scan_limit", "scan_gpu", "scan_hooks", "scan_units", "scan_launches", "atlas_memory",
        "survey_memory",
        "attribution", "attribution_memory", "first_neurons", "first_neurons_wide", "ready_to_scan",
        "ready_for_heads", "busy", "ranking", "why", "trace", "survey", "scan_memory", "first_paint",
        "cached_neurons", "keys", "reopen", "bytes", "diff",
    }  # fmt: skip


def test_first_writes_belong_to_their_key() -> None:
    presses = [1.0, 2.0, 3.0]
    writes = [(0.9, 5), (1.002, 0), (1.004, 7), (1.5, 7), (3.25, 1)]
    assert first_writes(presses, writes) == pytest.approx([4.0, 250.0])


def test_painted_text_has_no_escapes() -> None:
    assert (
        painted(b"\x1b[?1049h\x1b]0;title\x07\x1b[38;2;1;2;3mNeu\x1b[1mrons\x1b[0m\x1bP=1s\x1b\\!")
        == "Neurons!"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_a_program_in_a_terminal_is_watched_until_it_paints() -> None:
    program = "import sys, time; sys.stdout.write('\\x1b[1mwa\\x1b[0mit'); sys.stdout.flush(); time.sleep(60)"
    seconds, torch_in = time_to_paint([sys.executable, "-c", program], "wait", {})
    assert seconds > 0
    assert not torch_in
    with pytest.raises(RuntimeError, match="did not paint"):
        time_to_paint([sys.executable, "-c", "print('something else')"], "wait", {})


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux only")
def test_peak_memory_is_a_high_water_mark() -> None:
    """In a process of its own, which is small: this one may hold gigabytes, and more had to be written."""
    program = (
        "from benchmarks.measuring import peak_memory; before = peak_memory(); "
        "held = bytearray(before + 64 * 2**20); del held; print(before, peak_memory())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    before, after = map(int, done.stdout.split())
    assert after >= before + 32 * 2**20


def test_children_answer_in_json(tmp_path: Path) -> None:
    """The smallest real run: a scan in a process of its own."""
    done = subprocess.run(
        [
            sys.executable, "-m", "benchmarks.children", "scan", "--model", "demo",
            "--cache-dir", str(tmp_path), "--batches", "1", "--batch-tokens", "128", "--threads", "1",
        ],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["peak"] > 2**20
    assert found["prompts"] >= 1
