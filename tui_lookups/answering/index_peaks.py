"""Where a neuron's prompts peak, as the finished index and the corpus have it: no model runs.

See method.md, section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.answering.peak_inputs import top_entries, why_silent
from tui_lookups.results import Peak, RankedPeak
from tui_lookups.results.peaks import text_before

if TYPE_CHECKING:
    from tui_lookups.answering.engine import Engine
    from tui_lookups.answering.scan_session import ScanSession
    from tui_lookups.ids import NeuronId


def index_peaks(engine: Engine, scan: ScanSession, neuron: NeuronId) -> tuple[RankedPeak, ...]:
    """The peaks of a neuron's highest-activating prompts. See `Explorer.peaks`."""
    conventions = engine.conventions(sign=None)
    engine.check_neuron(neuron)
    scan.wait()
    record, corpus, vocabulary = scan.require(neuron), engine.corpus(arrays=True), engine.vocabulary()
    if why_silent(record, conventions):
        return ()
    peaks = []
    activations = {
        (prompt_id, sign): value
        for sign in record.signs
        for top in (record.top(scan.top, sign=sign),)
        for prompt_id, value in zip(top.prompt_ids, top.values, strict=True)
    }
    for rank, entry in enumerate(top_entries(record, scan.top, conventions.sign), 1):
        tokens = vocabulary.tokens(corpus.window_tokens(entry.prompt_id).tolist())
        after = entry.position + 1
        peak = Peak(
            entry.position,
            tokens[entry.position],
            activations[entry.prompt_id, entry.sign],
            tokens[after] if after < len(tokens) else None,
            tokens[entry.position].id in vocabulary.special_ids,
        )
        text = text_before(tokens, entry.position)
        peaks.append(RankedPeak(rank, entry.prompt_id, entry.sign, peak, text, entry.copies))
    return tuple(peaks)
