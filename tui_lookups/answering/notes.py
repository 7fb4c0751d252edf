"""What people wrote of neurons, prompts, heads and ablations, in the cache: no model can compute it again.

Each note lies under an entry of its own, so that two processes never overwrite each other's; listing reads
them all. A note that was taken away stays as one without text.
"""

from __future__ import annotations

from dataclasses import dataclass

from tui_lookups.answering.engine import Engine
from tui_lookups.results import Note
from tui_lookups.storage.salvage import NOTES


@dataclass(frozen=True, slots=True)
class KeptNote:
    """A note, and the fingerprints of the model it is about and, of a prompt or an ablation, the corpus."""

    note: Note
    model: str
    corpus: str | None


def keep(engine: Engine, note: Note) -> None:
    """Keep a note of the open model in place of an earlier one of the same thing."""
    model, corpus = _whose(engine, note)
    key = engine.cache.key(
        NOTES,
        model=model,
        corpus=corpus,
        neuron=str(note.neuron),
        head=None if note.head is None else str(note.head),
        prompt_id=note.prompt_id,
        method=note.method,
    )
    engine.cache.put_result(NOTES, key, KeptNote(note, model, corpus))


def kept(engine: Engine) -> tuple[Note, ...]:
    """The notes of the open model, and of its corpus where they are about prompts, oldest first."""
    stored = (engine.cache.get_result(NOTES, key, KeptNote) for key in engine.cache.keys(NOTES))
    own = [
        note.note
        for note in stored
        if note is not None and note.note.text and (note.model, note.corpus) == _whose(engine, note.note)
    ]
    return tuple(sorted(own, key=lambda note: note.written))


def _whose(engine: Engine, note: Note) -> tuple[str, str | None]:
    of_prompts = note.prompt_id is not None or note.method is not None
    return engine.local().fingerprint, engine.corpus().info.fingerprint if of_prompts else None
