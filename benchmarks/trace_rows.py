"""Traces: a whole one in forward passes, and one node more after it."""

from __future__ import annotations

import statistics
from functools import partial

import torch

from benchmarks.analysis_rows import longest_prompts
from benchmarks.measuring import interleave, timed
from benchmarks.registry import Bar, Figure, row
from benchmarks.workbench import Bench
from tui_lookups.analysis.readings import token_reading
from tui_lookups.analysis.trace import Path, grow
from tui_lookups.errors import no_poll
from tui_lookups.ids import HeadId
from tui_lookups.model.text_pass import TextPass

_DEPTH, _WIDTH = 3, 8


@row("trace")
def trace(bench: Bench) -> list[Figure]:
    """A trace of depth 3 and width 8 with its pass, against one pass; a node at a position not read yet."""
    model, ids = bench.model, longest_prompts(bench)[0]
    tokens, at = model.batch([ids]), torch.tensor([[len(ids) - 1]], device=model.device)

    def opened(text: TextPass, path: Path, depth: int) -> None:
        reading = token_reading(text, model.info.d_vocab // 3, None, len(ids) - 1)
        grow(text, reading, path, depth=depth, width=_WIDTH, poll=no_poll)

    def whole() -> None:
        opened(TextPass(model, ids, None, no_poll), (), _DEPTH)

    pairs = interleave(timed(whole), timed(lambda: model.logits(tokens, at)), bench.pairs)
    ratios = [1 / ratio for ratio in pairs.ratios]

    text, head = TextPass(model, ids, None, no_poll), HeadId(model.info.n_layers - 1, 0)
    opened(text, (head,), 1)
    seconds = [timed(partial(opened, text, (head, k), 1))() for k in range(1, min(len(ids), 12))]
    node, forward = 1e3 * statistics.median(seconds), 1e3 * statistics.median(pairs.theirs)
    return [
        Figure(
            f"a trace of depth {_DEPTH} and width {_WIDTH}", "one forward pass", statistics.median(ratios),
            "x", Bar("at most", 10.0), 1e3 * statistics.median(pairs.ours), forward, "ms",
            (min(ratios), max(ratios)), f"a text of {len(ids)} tokens, its pass in it",
        ),
        Figure(
            "opening a node of a trace, after the forward", "", node, "ms", Bar("at most", 100.0), node, None,
            "ms", (1e3 * min(seconds), 1e3 * max(seconds)),
            f"at positions where nothing was read before; one forward pass took {forward:.0f} ms",
        ),
    ]  # fmt: skip
