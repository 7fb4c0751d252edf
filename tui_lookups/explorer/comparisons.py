"""Questions about the Explorer's model and another one (method.md, section 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui_lookups import results as answer
    from tui_lookups.explorer.services import Services


class Comparisons:
    """The part of an Explorer that compares its model, the first, with a second one of its architecture."""

    _services: Services

    def diff(self, other: str, *, top: int = 20) -> answer.WeightDiff:
        """Which neurons, heads and tensors moved from the Explorer's model to another.

        Answered from the files of both where the family's are known; else both are loaded.

        Args:
            other: the second model, named as in the setting `model`.
            top: how many of each are listed.
        Raises:
            DifferentModelsError: the two are not of one architecture, or do not share a tokenizer.
        """
        return self._services.against(other).weights(top)
