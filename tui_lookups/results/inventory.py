"""What became of everything that a model's files hold: nothing in them is dropped without a word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EntryKind = Literal["key", "tensor", "file"]
Fate = Literal["applied", "harmless", "refused"]


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A metadata key, a tensor or a file of a model, as its files spell it, and what became of it.

    Attributes:
        fate: "applied" where the loaded model has it, "harmless" where no figure depends on it, "refused"
            where it changes the computation and cannot be applied: such a model is not loaded.
        note: where it went, or why it is harmless or refused, in a few words.
    """

    name: str
    kind: EntryKind
    fate: Fate
    note: str
