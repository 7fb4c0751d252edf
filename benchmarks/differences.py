"""`python -m benchmarks.differences [--model M] [--passages N] [--json FILE]`: how far numbers repeat.

1. The first packaged passages are scanned in a process and a cache of their own, once as the base (float32,
   CPU, batches of 1,024 tokens, all threads) and once for each way of running that may change a last bit:
   batch sizes, threads, a CPU without vector instructions, number formats, and every other device at hand.
2. Peaks: over every neuron's top prompts (of both parts of the corpus), the difference from the base at the
   same rank relative to the base's peak, for peaks above 0.1; and the share of places with another prompt.
3. Attributions: of the heads behind the first prompts of a few neurons, the largest difference relative to
   the largest attribution of the prompt, where prompt and peak are the base's.

The table in docs/reading-the-numbers.md is made by it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tui_lookups.demo.measurements import PASSAGES
from tui_lookups.storage.index import ScanIndex

SMALL = 0.1
"""Peaks no larger than this are left out: relative to next to nothing, everything is far off."""
BATCH_TOKENS = 1024
PROMPTS = 3

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Way:
    """A way of running: flags of `benchmarks.children`, and the environment."""

    name: str
    flags: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


BASE = Way(f"float32 on the CPU, batches of {BATCH_TOKENS:,} tokens")
WAYS = (
    Way("batches of 256 tokens", {"--batch-tokens": "256"}),
    Way("batches of 4,096 tokens", {"--batch-tokens": "4096"}),
    Way("one thread", {"--threads": "1"}),
    Way(
        "a CPU without vector instructions",
        environment={
            "ATEN_CPU_CAPABILITY": "default",
            "MKL_CBWR": "COMPATIBLE",
            "ONEDNN_MAX_CPU_ISA": "SSE41",
        },
    ),
    Way("float16", {"--dtype": "float16"}),
    Way("bfloat16", {"--dtype": "bfloat16"}),
)


@dataclass(frozen=True)
class Seen:
    """What one way gives.

    Attributes:
        peaks, prompts: [n_neurons, n_parts * top], NaN and -1 where there is none.
        attributions: of the heads, by neuron, prompt id and position.
    """

    peaks: Array
    prompts: Array
    attributions: dict[tuple[str, int, int], dict[str, float]]


@dataclass(frozen=True)
class Difference:
    """How far one way is from the base: steps 2 and 3 above. None where nothing can be compared."""

    way: str
    median: float | None
    largest: float | None
    moved: float
    attribution: float | None


def peak_differences(base: Seen, other: Seen) -> tuple[float | None, float | None, float]:
    """Median and largest relative difference of peaks at the same rank, and the share of moved places."""
    there = ~np.isnan(base.peaks)
    counted = there & (base.peaks > SMALL) & ~np.isnan(other.peaks)
    moved = float((base.prompts != other.prompts)[there].mean()) if there.any() else 0.0
    if not counted.any():
        return None, None, moved
    relative = np.abs(other.peaks - base.peaks)[counted] / base.peaks[counted]
    return float(np.median(relative)), float(relative.max()), moved


def attribution_difference(base: Seen, other: Seen) -> float | None:
    """The largest difference of a head's attribution, relative to the largest on its prompt."""
    found = [
        max(abs(other.attributions[place][head] - value) for head, value in heads.items())
        / max(abs(value) for value in heads.values())
        for place, heads in base.attributions.items()
        if place in other.attributions and any(heads.values())
    ]
    return max(found, default=None)


def see(way: Way, corpus: Path, model: str, neurons: str) -> Seen:
    """Scan and ask for heads in a process and a cache of their own."""
    flags = {"--device": "cpu", "--dtype": "float32", "--batch-tokens": str(BATCH_TOKENS)} | way.flags
    with tempfile.TemporaryDirectory(prefix="differences-") as cache:
        command = [
            sys.executable, "-m", "benchmarks.children", "answers", "--model", model, "--corpus", str(corpus),
            "--cache-dir", cache, "--neurons", neurons, "--prompts", str(PROMPTS),
            *(word for flag in flags.items() for word in flag),
        ]  # fmt: skip
        done = subprocess.run(command, env=os.environ | way.environment, stdout=subprocess.PIPE, check=True)
        said = json.loads(done.stdout)
        index = ScanIndex.open(Path(said["index"]))
        layers = [index.layer(layer) for layer in index.manifest.layers]
    peaks, prompts = (
        # [d_mlp, signs, parts, top]: the first sign is "+"
        np.concatenate([arrays[name][:, 0].reshape(index.manifest.d_mlp, -1) for arrays in layers])
        for name in ("top_values", "top_prompts")
    )
    attributions = {(name, prompt, position): heads for name, prompt, position, heads in said["attributions"]}
    return Seen(peaks, prompts, attributions)


def at_hand() -> tuple[Way, ...]:
    """Devices of this machine other than its CPU, in float32."""
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return tuple(Way(f"{name} for the CPU", {"--device": name}) for name, found in there.items() if found)


def compare(model: str, passages: int, neurons: str, ways: Sequence[Way]) -> list[Difference]:
    """The differences of all ways from the base."""
    with tempfile.TemporaryDirectory(prefix="differences-") as folder:
        corpus = Path(folder) / "passages.jsonl"
        lines = PASSAGES.read_text(encoding="utf-8").splitlines(keepends=True)
        corpus.write_text("".join(lines[:passages]), encoding="utf-8")
        base = see(BASE, corpus, model, neurons)
        found = []
        for way in ways:
            print(f"running with {way.name} ...", file=sys.stderr, flush=True)
            other = see(way, corpus, model, neurons)
            found.append(
                Difference(way.name, *peak_differences(base, other), attribution_difference(base, other))
            )
    return found


def table(differences: Sequence[Difference]) -> str:
    """As Markdown."""

    def said(value: float | None) -> str:
        return "-" if value is None else f"{value:.1e}" if value else "nothing"

    rows = [
        "| in place of the base | peaks, median | peaks, largest | other prompts | attributions, largest |",
        "| --- | --- | --- | --- | --- |",
    ]
    rows += [
        f"| {d.way} | {said(d.median)} | {said(d.largest)} | {d.moved:.2%} | {said(d.attribution)} |"
        for d in differences
    ]
    return "\n".join(rows) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare all ways and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.differences", description="Measure how far numbers repeat."
    )
    parser.add_argument("--model", default="demo", help="as the tool's own --model")
    parser.add_argument("--passages", type=int, default=150, help="how many of the packaged passages")
    parser.add_argument("--neurons", default="3.100,4.200,5.300", help="whose heads are compared")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    asked = parser.parse_args(arguments)
    found = compare(asked.model, asked.passages, asked.neurons, (*WAYS, *at_hand()))
    print(f"Base: {BASE.name}.\n\n{table(found)}", end="")
    if asked.json is not None:
        asked.json.write_text(json.dumps([asdict(d) for d in found], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
