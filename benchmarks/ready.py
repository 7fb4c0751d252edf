"""The tool's way to where a scan begins, and on to a head's source tokens, as a process of its own.

`python -m benchmarks.ready FOLDER TOKEN_ID ...` loads FOLDER as the tool does, with every check, and hands
out all activations of one pass over the tokens. `--heads` then asks for a head's source tokens, and prints
the seconds that took.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path


def main() -> None:
    """Load, run, and ask."""
    parser = argparse.ArgumentParser(prog="benchmarks.ready")
    parser.add_argument("folder", type=Path)
    parser.add_argument("tokens", type=int, nargs="+")
    parser.add_argument("--heads", action="store_true")
    asked = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the tool does, before torch

    from tui_lookups.answering.model_loader import load
    from tui_lookups.model.sources import LocalModel
    from tui_lookups.settings import load_settings

    local = LocalModel("model", str(asked.folder), asked.folder, "model")
    model = load(load_settings(device="cpu"), local, say=lambda _: None)
    total = 0.0

    def consume(_: int, activations: object) -> None:
        nonlocal total
        total += float(activations.sum())  # type: ignore[attr-defined]

    model.mlp_activations(model.batch([asked.tokens]), range(model.info.n_layers), consume)
    if not asked.heads:
        print(total)
        return
    start = time.perf_counter()
    from tui_lookups.analysis.attribution import decompose
    from tui_lookups.ids import HeadId, NeuronId

    last = model.info.n_layers - 1
    decompose(model, NeuronId(last, 0), [asked.tokens], [len(asked.tokens) - 1], source_head=HeadId(0, 0))
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main()
