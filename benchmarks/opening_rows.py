"""A model that was never opened: how long its first answer takes, and how much memory, as whole processes."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from benchmarks.app_rows import environment
from benchmarks.measuring import interleave
from benchmarks.registry import Bar, Figure, NotHere, row
from benchmarks.wide_model import D_VOCAB
from benchmarks.workbench import Bench

_SCRIPT = Path(__file__).with_name("first_neurons_script.py")
_SCRIPT_READS = ("gpt2", "llama", "mistral", "qwen2", "qwen3")
_SAME = 1e-4


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
