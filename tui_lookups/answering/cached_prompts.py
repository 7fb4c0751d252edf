"""A neuron's list of prompts as the cache has it: under which key, and whether it is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.results import NeuronPrompts, Part

if TYPE_CHECKING:
    from tui_lookups.answering.engine import Engine
    from tui_lookups.answering.scan_session import ScanSession
    from tui_lookups.ids import NeuronId
    from tui_lookups.results.conventions import Conventions


def prompts_key(
    engine: Engine,
    scan: ScanSession,
    neuron: NeuronId,
    top: int,
    part: Part | None,
    conventions: Conventions,
    trim: bool = True,
) -> str:
    """The key of the top prompts of a finished index."""
    without: dict[str, bool] = {} if trim else {"trim": False}
    return engine.key(
        "prompts",
        conventions,
        corpus=True,
        neuron=str(neuron),
        top=top,
        part=part,
        index=scan.key(),
        **without,
    )


def cached_prompts(engine: Engine, scan: ScanSession, neuron: NeuronId) -> NeuronPrompts | None:
    """All prompts that are kept of a neuron, where they were listed before; None where they were not.

    Runs no model and no scan.
    """
    if scan.index() is None:
        return None
    key = prompts_key(engine, scan, neuron, scan.top, None, engine.conventions(sign=None))
    return engine.cached(key, NeuronPrompts)
