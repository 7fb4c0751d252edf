"""A model that was never opened: how long its first answer takes, and how much memory, as whole processes."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from benchmarks.analysis_rows import bench_arguments
from benchmarks.app_rows import environment
from benchmarks.measuring import Pairs, interleave
from benchmarks.registry import Bar, Figure, NotHere, row
from benchmarks.wide_model import D_VOCAB
from benchmarks.workbench import Bench

_SCRIPT = Path(__file__).with_name("first_neurons_script.py")
_SCRIPT_READS = ("gpt2", "llama", "mistral", "qwen2", "qwen3")
_SAME = 1e-4
_READY_SCRIPT = Path(__file__).with_name("ready_script.py")
_READY_TOKENS = 64
_BUSY = "import time\nend = time.monotonic() + 120\nwhile time.monotonic() < end: pass"
"""Ends by itself where the benchmark was killed."""
_BUSY_STARTS = 0.3
"""Seconds until the busy processes are busy."""
_AS_FLOAT32 = """
import sys
from pathlib import Path
from safetensors.torch import load_file, save_file
source, target = map(Path, sys.argv[1:])
tensors = {name: values.float() for name, values in load_file(source / "model.safetensors").items()}
save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
"""


def whole_process(command: Sequence[str], surroundings: dict[str, str]) -> tuple[float, float, str]:
    """Seconds and peak MiB of a process by the system's own accounting, and what it printed.

    Raises RuntimeError when it fails.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        list(command), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=surroundings
    )
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)  # it has been waited for
    if process.returncode != 0:
        raise RuntimeError(f"{list(command)[1:]} ended with {process.returncode}")
    return seconds, usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10), printed


@row("first_neurons")
def first_neurons(bench: Bench) -> list[Figure]:
    """From the command to a token's twenty neurons, nothing cached, beside a short torch script."""
    return _first_neurons(bench, bench.local.folder, "first neurons of a folder never opened")


@row("first_neurons_wide")
def first_neurons_wide(bench: Bench) -> list[Figure]:
    """The same of a model with a vocabulary of 262,144."""
    folder = bench.cache_dir / "wide-model"
    # In a process of its own: a process begins with the peak memory of the one that started it.
    subprocess.run([sys.executable, "-m", "benchmarks.wide_model", str(folder)], check=True)
    return _first_neurons(bench, folder, f"first neurons, a vocabulary of {D_VOCAB:,}")


def _first_neurons(bench: Bench, folder: Path, what: str) -> list[Figure]:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config["model_type"] not in _SCRIPT_READS or not (folder / "model.safetensors").is_file():
        raise NotHere("the script reads one model.safetensors of GPT-2's or Llama's names")
    token = config["vocab_size"] // 3
    surroundings = environment(bench.cache_dir)
    number = count()
    memory: dict[str, list[float]] = {"ours": [], "theirs": []}
    best: dict[str, list[list[float]]] = {}

    def ours() -> float:
        fresh = str(bench.cache_dir / f"never-opened-{next(number)}")
        shutil.rmtree(fresh, ignore_errors=True)  # an earlier run's, where the cache folder was given
        command = [sys.executable, "-m", "tui_lookups", "neurons", f"#{token}", "--top", "20", "--json"]
        found = whole_process([*command, "--model", str(folder), "--cache-dir", fresh], surroundings)
        rows = json.loads(found[2])["neurons"]
        best["ours"] = [[r["layer"], r["index"], r["congruence"]] for r in rows]
        memory["ours"].append(found[1])
        return found[0]

    def theirs() -> float:
        found = whole_process([sys.executable, str(_SCRIPT), str(folder), str(token)], surroundings)
        best["theirs"] = json.loads(found[2])
        memory["theirs"].append(found[1])
        return found[0]

    pairs = interleave(ours, theirs, bench.pairs)
    for mine, other in zip(best["ours"], best["theirs"], strict=True):
        if abs(mine[2] - other[2]) > _SAME * abs(other[2]):
            raise RuntimeError(f"the two do not agree: {mine} and {other}")
    against = "a torch script"
    times = [1 / ratio for ratio in pairs.ratios]
    peaks = [a / b for a, b in zip(memory["ours"], memory["theirs"], strict=True)]
    note = "ours also hashes the files, reads the tokenizer and ranks the token among all for each neuron"
    return [
        Figure(
            what, against, statistics.median(times), "x", Bar("at most", 0.7),
            1e3 * statistics.median(pairs.ours), 1e3 * statistics.median(pairs.theirs), "ms",
            (min(times), max(times)), note,
        ),
        Figure(
            f"{what}, peak memory", against, statistics.median(peaks), "x", Bar("at most", 0.6),
            statistics.median(memory["ours"]), statistics.median(memory["theirs"]), "MiB",
            (min(peaks), max(peaks)),
        ),
    ]  # fmt: skip


@row("ready_to_scan")
def ready_to_scan(bench: Bench) -> list[Figure]:
    """Import, load with every check, and one pass, as whole processes; of the folder, and in float32."""
    folder = bench.local.folder
    return [
        *_ready(bench, folder, "ready to scan, from nothing"),
        *_ready(bench, _as_float32(bench, folder), "ready to scan, a float32 file"),
    ]


@row("ready_for_heads")
def ready_for_heads(bench: Bench) -> list[Figure]:
    """A head's source tokens, asked for of a process that has just run its first pass."""
    folder, found, what = bench.local.folder, _Turns(bench), "ready for heads, after that"

    def ours() -> float:
        return float(
            found.ours([sys.executable, "-m", "benchmarks.ready", str(folder), "--heads"], _tokens())
        )

    def theirs() -> float:
        return found.theirs([sys.executable, str(_READY_SCRIPT), str(folder)], ())

    against = "cold from_pretrained"
    note = "ours from the first pass to a head's source tokens; theirs a whole process that ends loaded"
    return found.figures(what, against, interleave(ours, theirs, bench.pairs), (0.8, 1.15), note)


def _ready(bench: Bench, folder: Path, what: str) -> list[Figure]:
    found = _Turns(bench)

    def ours() -> float:
        found.ours([sys.executable, "-m", "benchmarks.ready", str(folder)], _tokens())
        return found.seconds

    def theirs() -> float:
        return found.theirs([sys.executable, str(_READY_SCRIPT), str(folder)], _tokens())

    against = "import, from_pretrained, one pass"
    note = (
        "ours also reads the tokenizer, and holds every weight to its file and the modules to their formulas"
    )
    return found.figures(what, against, interleave(ours, theirs, bench.pairs), (1.15, 1.1), note)


def _tokens() -> list[str]:
    return [str(number) for number in range(100, 100 + _READY_TOKENS)]


def _as_float32(bench: Bench, folder: Path) -> Path:
    """A copy of the folder with float32 weights, which transformers maps."""
    if not (folder / "model.safetensors").is_file():
        raise NotHere("weights in one model.safetensors are rewritten in float32")
    target = bench.cache_dir / "float32-model"
    if not target.is_dir():
        target.mkdir(parents=True)
        for path in folder.glob("*.json"):
            shutil.copy(path, target)
        subprocess.run([sys.executable, "-c", _AS_FLOAT32, str(folder), str(target)], check=True)
    return target


class _Turns:
    """Runs both sides as whole processes, and keeps their peaks."""

    def __init__(self, bench: Bench) -> None:
        self._surroundings = environment(bench.cache_dir)
        self._peaks: dict[str, list[float]] = {"ours": [], "theirs": []}
        self.seconds = 0.0

    def ours(self, command: Sequence[str], tokens: Sequence[str]) -> str:
        """What our process printed; `seconds` is what it took as a whole."""
        self.seconds, peak, printed = whole_process([*command, *tokens], self._surroundings)
        self._peaks["ours"].append(peak)
        return printed

    def theirs(self, command: Sequence[str], tokens: Sequence[str]) -> float:
        """Seconds of their process as a whole."""
        seconds, peak, _ = whole_process([*command, *tokens], self._surroundings)
        self._peaks["theirs"].append(peak)
        return seconds

    def figures(
        self, what: str, against: str, pairs: Pairs, limits: tuple[float, float], note: str
    ) -> list[Figure]:
        """The ratios of time and of peak memory, held to their limits."""
        times = [1 / ratio for ratio in pairs.ratios]
        mine, other = self._peaks["ours"], self._peaks["theirs"]
        peaks = [a / b for a, b in zip(mine, other, strict=True)]
        return [
            Figure(
                what, against, statistics.median(times), "x", Bar("at most", limits[0]),
                1e3 * statistics.median(pairs.ours), 1e3 * statistics.median(pairs.theirs), "ms",
                (min(times), max(times)), note,
            ),
            Figure(
                f"{what}, peak memory", against, statistics.median(peaks), "x", Bar("at most", limits[1]),
                statistics.median(mine), statistics.median(other), "MiB", (min(peaks), max(peaks)),
            ),
        ]  # fmt: skip


@row("busy")
def beside_busy_processes(bench: Bench) -> list[Figure]:
    """Heads and source tokens of a new text, asked of one running process, alone and beside two busy ones."""
    surroundings = environment(bench.cache_dir)
    surroundings.pop("OMP_WAIT_POLICY", None)  # what the tool does about it is part of what is measured
    command = [sys.executable, "-m", "benchmarks.children", "questions", *bench_arguments(bench)]
    asking = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=surroundings
    )
    assert asking.stdin is not None
    assert asking.stdout is not None
    sent, answered = asking.stdin, asking.stdout

    def alone() -> float:
        sent.write("\n")
        sent.flush()
        return float(answered.readline())

    def beside() -> float:
        busy = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(2)]
        try:
            time.sleep(_BUSY_STARTS)
            return alone()
        finally:
            for process in busy:
                process.kill()
                process.wait()

    try:
        pairs = interleave(beside, alone, bench.pairs)
    finally:
        asking.kill()
        asking.communicate()
    times = [1 / ratio for ratio in pairs.ratios]
    return [
        Figure(
            "a question beside two busy processes", "the same alone", statistics.median(times), "x",
            Bar("at most", 3.0), 1e3 * statistics.median(pairs.ours), 1e3 * statistics.median(pairs.theirs),
            "ms", (min(times), max(times)), "heads of a new text, with a head's source tokens",
        )
    ]  # fmt: skip
