"""What the app was opened on, and the way to open it on something else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tui_lookups.explorer import Explorer


@dataclass(frozen=True, slots=True)
class Opening:
    """Model and corpus as they were asked for.

    Attributes:
        open: makes the explorer of another model and corpus, at once; raises SettingsError.
    """

    model: str
    corpus: str
    open: Callable[[str, str], Explorer]
