"""An export held against what its model and corpus give now."""

from __future__ import annotations

from dataclasses import dataclass

from tui_lookups.results.base import Provenance

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Difference:
    """One value of an export that is another now.

    Attributes:
        where: JSON pointer (RFC 6901) into the export.
        absolute: of two numbers, the size of their difference; None of anything else.
        relative: that, relative to the largest of the figures the number stands among.
        note: what there is to say beyond the two values; empty otherwise.
    """

    where: str
    exported: Scalar
    recomputed: Scalar
    absolute: float | None
    relative: float | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class NotRecomputed:
    """A part of an export that was not worked out again, and why. `where` is a JSON pointer."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Content hashes of the model and the corpus that were opened: those of the export."""

    model: str
    corpus: str


@dataclass(frozen=True, slots=True)
class Verification:
    """An export recomputed.

    Attributes:
        checked: values that were worked out again; `equal` of them are the same within `tolerance`, the
            others are in `differing`.
        largest_relative: the largest relative difference among the equal ones.
        exported_by, exported: program and time of the export.
        notes: what the recomputation had to assume, or did on another device.
        provenance: of the recomputation.
    """

    path: str
    agrees: bool
    checked: int
    equal: int
    differing: tuple[Difference, ...]
    tolerance: float
    largest_relative: float
    not_recomputed: tuple[NotRecomputed, ...]
    fingerprints: Fingerprints
    exported_by: str
    exported: str
    notes: tuple[str, ...]
    provenance: Provenance
