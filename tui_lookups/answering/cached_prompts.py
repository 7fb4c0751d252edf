"""A neuron's list of prompts as the cache has it: under which key, what is in it, and whether it is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui_lookups.answering.cache_keys import choices
from tui_lookups.results import NeuronPrompts, Part, Prompt, PromptKind, TokenCongruence

if TYPE_CHECKING:
    from tui_lookups.answering.engine import Engine
    from tui_lookups.answering.scan_session import ScanSession
    from tui_lookups.ids import NeuronId
    from tui_lookups.results.conventions import Conventions
    from tui_lookups.storage.neuron_record import NeuronRecord


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


def list_of(
    engine: Engine,
    best: TokenCongruence,
    record: NeuronRecord,
    prompts: Sequence[Prompt],
    conventions: Conventions,
    *,
    top: int,
    kind: PromptKind = "top",
    part: Part | None = None,
    note: str = "",
) -> NeuronPrompts:
    """A neuron's list; `best` is the token it promotes most."""
    return NeuronPrompts(
        neuron=record.neuron,
        top_token=engine.vocabulary().token(best.id),
        top_congruence=best.congruence,
        stats=record.stats(),
        prompts=tuple(prompts),
        scanned_prompts=record.prompts,
        total_prompts=engine.corpus().info.prompts,
        provenance=engine.provenance(
            corpus=True, top=top, kind=kind, **choices("prompts", conventions),
            **({} if part is None else {"part": part}),
        ),
        note=note,
    )  # fmt: skip
