"""What `doctor` found: one line a thing looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tui_lookups.results.inventory import FileEntry


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """The loaded model's wiring, and how far its decomposition is from closing (method.md, section 4).

    `relative_remainder` is the worst |remainder| / sum of |components| found, at `neuron`; `bound` is what
    the dtype allows.
    """

    family: str
    listed: bool
    gated: bool
    own_layer: bool
    mlp_norm: str
    post_norms: bool
    neuron: str
    relative_remainder: float
    bound: float
    closes: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: what it is, how it stands, and what to do where it does not stand well."""

    name: str
    state: Literal["ok", "note", "problem"]
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Checkup:
    """Everything `doctor` looked at; `problems` counts the findings that keep something from working.

    `inventory` lists the model's files and what is in them, also where the model is refused.
    """

    findings: tuple[Finding, ...]
    problems: int
    self_check: SelfCheck | None
    inventory: tuple[FileEntry, ...] = ()
