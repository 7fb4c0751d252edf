"""What must be measured in a process of its own: `python -m benchmarks.children WHAT ...` prints JSON."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.measuring import peak_memory, reset_peak
from benchmarks.workbench import Bench, PartOfCorpus
from tui_lookups.commands.streams import leave
from tui_lookups.ids import HeadId, NeuronId

QUESTIONS = 10


class Repeated:
    """A part of a corpus, several times over."""

    def __init__(self, part: PartOfCorpus, copies: int) -> None:
        self._part, self._copies = part, copies
        self.info = part.info

    def lengths(self) -> npt.NDArray[np.int64]:
        return np.tile(self._part.lengths(), self._copies)

    def parts(self) -> npt.NDArray[np.uint8]:
        return np.tile(self._part.parts(), self._copies)

    def window_tokens(self, prompt_id: int) -> npt.NDArray[np.int64]:
        return self._part.window_tokens(prompt_id % self._part.info.prompts)


def scan_peak(bench: Bench, arguments: argparse.Namespace) -> dict[str, object]:
    """Scan to the end, index included."""
    import shutil

    from tui_lookups.scan.scan import Scan, run_scan

    folder = bench.cache_dir / "scan"
    shutil.rmtree(folder, ignore_errors=True)
    scan = Scan(
        bench.model,
        Repeated(bench.part, arguments.copies),
        folder,
        layers=range(bench.model.info.n_layers),
        batch_tokens=bench.batch_tokens,
        checkpoint_seconds=2.0,
    )
    manifest = run_scan(scan).manifest
    return {"peak": peak_memory(), "prompts": manifest.prompts}


def attribution_extra(bench: Bench, arguments: argparse.Namespace) -> dict[str, object]:
    """Memory above that of the loaded model."""
    from benchmarks.analysis_rows import attribute, longest_prompts, stacking, stacking_one_by_one

    work = {"ours": attribute, "batch": stacking, "single": stacking_one_by_one}[arguments.way]
    rows = longest_prompts(bench)
    work(bench, [row[:2] for row in rows[:2]])  # what libraries set up once is not counted
    before = reset_peak()
    work(bench, rows)
    return {"extra": peak_memory() - before}


def atlas_extra(bench: Bench, arguments: argparse.Namespace) -> dict[str, object]:
    """Memory for a layer of a model too wide for [neurons, vocabulary], out of its files."""
    from benchmarks.wide_model import opened, save_wide_model
    from tui_lookups.analysis.layer_extremes import layer_extremes

    small = save_wide_model(bench.cache_dir / "narrow-model", d_vocab=2000, d_model=64, d_mlp=20)
    wide = save_wide_model(bench.cache_dir / "wide-model")
    layer_extremes(opened(small), 0)  # what libraries set up once is not counted
    model = opened(wide)
    before = reset_peak()
    layer_extremes(model, 0)
    return {"extra": peak_memory() - before}


def survey_peak(bench: Bench, arguments: argparse.Namespace) -> dict[str, object]:
    """Heads of neurons of the last layers, none of them in the cache; the scan was before."""
    from unittest import mock

    from tui_lookups.answering.overviews import HeadOverviews
    from tui_lookups.explorer import Explorer
    from tui_lookups.settings import load_settings

    explorer = Explorer(
        load_settings(
            model=bench.model_name, corpus=arguments.corpus, cache_dir=bench.cache_dir, device=bench.device,
            threads=bench.threads, offline=True,
        )
    )  # fmt: skip
    explorer.scan()
    end = explorer.model_info().n_layers
    layers = range(max(0, end - 10), end)
    with mock.patch.object(HeadOverviews, "_cached", return_value=None):
        explorer.survey(per_layer=1, layers=layers)  # what libraries set up once is not counted
        reset_peak()
        found = explorer.survey(per_layer=arguments.per_layer, layers=layers)
    return {"peak": peak_memory(), "neurons": len(found.neurons)}


def answers(bench: Bench, arguments: argparse.Namespace) -> dict[str, object]:
    """A scan of a corpus in an empty cache, and the heads behind the first prompts of some neurons."""
    from tui_lookups.explorer import Explorer
    from tui_lookups.settings import load_settings

    explorer = Explorer(
        load_settings(
            model=bench.model_name, corpus=arguments.corpus, cache_dir=bench.cache_dir, device=bench.device,
            dtype=arguments.dtype, threads=bench.threads, batch_tokens=bench.batch_tokens, offline=True,
        )
    )  # fmt: skip
    index = explorer.scan().index_path
    attributions = []
    for name in arguments.neurons.split(","):
        for rank in range(1, arguments.prompts + 1):
            found = explorer.heads(NeuronId.parse(name), prompt=rank)
            heads = {str(score.head): score.attribution for score in found.heads}
            attributions.append([name, found.prompt_id, found.position, heads])
    return {"index": index, "attributions": attributions}


def questions(bench: Bench, arguments: argparse.Namespace) -> dict[str, object]:
    """For every line of standard input, the seconds a question takes: heads and source tokens of a new text.

    The mean of some, one after the other: the demo model answers sooner than a scheduler's turn ends.
    """
    from tui_lookups.explorer import Explorer
    from tui_lookups.settings import load_settings

    explorer = Explorer(
        load_settings(
            model=bench.model_name, corpus=arguments.corpus, cache_dir=bench.cache_dir / "questions",
            device=bench.device, threads=bench.threads, offline=True,
        )
    )  # fmt: skip
    neuron = explorer.first_view().neuron
    started = time.time_ns()  # no text of an earlier run, which would be in the cache
    for number, _ in enumerate(sys.stdin):
        text = (
            f"{started + number}: the old man went down to the river to look for the boat that he had left."
        )
        start = time.perf_counter()
        explorer.heads(neuron, text=text, sources=HeadId(0, 0))
        print(time.perf_counter() - start, flush=True)
    return {}


def keys(bench: Bench, arguments: argparse.Namespace) -> dict[str, object]:
    """Latency of keys while a scan runs, and when it is done."""
    from benchmarks.keys import measure_keys

    return measure_keys(bench, arguments.presses)


_WORK: dict[str, Callable[[Bench, argparse.Namespace], dict[str, object]]] = {
    "scan": scan_peak,
    "answers": answers,
    "atlas": atlas_extra,
    "attribution": attribution_extra,
    "keys": keys,
    "questions": questions,
    "survey": survey_peak,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure one thing and print it."""
    parser = argparse.ArgumentParser(prog="benchmarks.children")
    parser.add_argument("what", choices=sorted(_WORK))
    parser.add_argument("--model", required=True)
    parser.add_argument("--cache-dir", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--batches", type=int, default=2)
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--per-layer", type=int, default=1)
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--way", choices=("ours", "batch", "single"), default="ours")
    parser.add_argument("--presses", type=int, default=40)
    parser.add_argument("--corpus", default="demo")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--neurons", default="0.0")
    parser.add_argument("--prompts", type=int, default=1)
    asked = parser.parse_args(arguments)
    bench = Bench(
        asked.model,
        asked.cache_dir,
        batches=asked.batches,
        batch_tokens=asked.batch_tokens,
        device=asked.device,
        threads=asked.threads,
    )
    print(json.dumps(_WORK[asked.what](bench, asked)))
    # The model's thread may still be inside a batch, on which an ordinary exit aborts.
    leave(0)


if __name__ == "__main__":
    main()
