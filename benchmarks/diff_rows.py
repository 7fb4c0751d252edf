"""The pass that compares two models over the corpus, against a forward pass of each.

Both sides run the same batches through the same two models: one that is opened twice, which costs what two
models of its size do.
"""

from __future__ import annotations

import time

from benchmarks.measuring import Run, interleave
from benchmarks.registry import Bar, Figure, row
from benchmarks.scan_rows import bare_forward, speed_figure, wait_for
from benchmarks.workbench import Bench
from tui_lookups.answering.activation_diff import KEPT
from tui_lookups.model.loading import load_model
from tui_lookups.model.lookup_model import LookupModel
from tui_lookups.scan.copies import find_copies
from tui_lookups.scan.joint import JointPass


def comparing(bench: Bench, other: LookupModel) -> Run:
    """Every neuron's activations in both, their difference, and the prompts where it is largest."""
    copies = find_copies(bench.part, lambda: None)

    def run() -> float:
        info = bench.model.info
        joint = JointPass(
            info.d_mlp, bench.model.device, bench.part, range(info.n_layers), top=KEPT, copies=copies
        )
        start = time.perf_counter()
        for number in range(len(bench.plan)):
            joint.take(bench.plan.batch(number), bench.model, other, lambda: None)
        wait_for(bench.model.device)
        return time.perf_counter() - start

    return run


@row("diff")
def joint_pass(bench: Bench) -> list[Figure]:
    """Activations of all neurons of two models, compared."""
    local = bench.local
    other = load_model(
        local.folder, name=local.name, source=local.source, fingerprint=local.fingerprint, device=bench.device
    )
    forward = bare_forward(bench, list(bench.token_batches()), logits=False)

    def twice() -> float:
        return forward() + forward()

    pairs = interleave(comparing(bench, other), twice, bench.pairs)
    note = (
        f"{len(bench.plan)} batches; {KEPT} prompts kept of each neuron, sign, model, and of the difference"
    )
    name = "two forwards without unembedding"
    return [
        speed_figure(
            "two models compared, all neurons", name, pairs, bench.tokens, Bar("at least", 1 / 1.3), note
        )
    ]
