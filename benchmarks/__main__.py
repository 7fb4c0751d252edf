"""`python -m benchmarks [--only ROW]... [--model M] [--json FILE]`: the measured claims, in one command.

Prints the table, marks what falls short with an exclamation mark, and exits with 1 then.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.registry import REGISTRY
from benchmarks.report import document, marks, table

QUICK_PAIRS, PAIRS = 3, 7


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure what the README claims."
    )
    parser.add_argument(
        "--only", action="append", choices=list(REGISTRY.rows), help="one row; may be repeated"
    )
    parser.add_argument("--model", default="demo", help="as the tool's own --model")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument(
        "--cache-dir", type=Path, help="keep what is made here; a temporary folder by default"
    )
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_PAIRS} pairs instead of {PAIRS}")
    parser.add_argument("--batches", type=int, default=4, help="batches of the corpus a run takes")
    parser.add_argument("--batch-tokens", type=int, default=4096, help="padded tokens in a batch")
    parser.add_argument("--neurons", type=int, default=20, help="that the row of a survey looks at")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="threads of torch")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and say by the exit status whether every bar is reached."""
    # Before torch or transformers are imported.
    os.environ.update(TQDM_DISABLE="1", HF_HUB_DISABLE_PROGRESS_BARS="1", TRANSFORMERS_VERBOSITY="error")
    asked = _parser().parse_args(arguments)
    if asked.threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(asked.threads)

    from benchmarks.measuring import machine, versions
    from benchmarks.workbench import Bench

    pairs = QUICK_PAIRS if asked.quick else PAIRS
    about: dict[str, object] = {
        "date": datetime.now(UTC).date().isoformat(),
        "model": asked.model,
        "machine": machine(),
        "versions": versions(),
        "device": asked.device,
        "threads": asked.threads or "torch's choice",
        "pairs": pairs,
    }
    with ExitStack() as resources:
        cache = asked.cache_dir
        if cache is None:
            cache = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
        bench = Bench(
            asked.model,
            cache.resolve(),
            pairs=pairs,
            batches=asked.batches,
            batch_tokens=asked.batch_tokens,
            neurons=asked.neurons,
            device=asked.device,
            threads=asked.threads,
        )
        results = []
        for name in asked.only or REGISTRY.rows:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            results.append(REGISTRY.run(name, bench))
    print(table(results, about), end="")
    if asked.json is not None:
        asked.json.write_text(document(results, about), encoding="utf-8")
    return marks(results)


def _load_rows() -> None:
    """Import the modules that register rows; those that use torch import it here, not in the app's rows."""
    from benchmarks import (
        analysis_rows,
        app_rows,
        diff_rows,
        launches,
        memory_rows,
        opening_rows,
        scan_rows,
        terminal_bytes,
        trace_rows,
        unit_rows,
    )

    rows = (
        opening_rows,
        scan_rows,
        launches,
        analysis_rows,
        trace_rows,
        unit_rows,
        memory_rows,
        app_rows,
        diff_rows,
        terminal_bytes,
    )
    assert all(rows)


_load_rows()

if __name__ == "__main__":
    sys.exit(main())
