"""Steps of the basket: taken back one by one, and done again until another one is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tui_lookups.results import Selection

_MOST = 100


class Step(NamedTuple):
    """The basket before something was done to it, and after."""

    before: Selection
    after: Selection


class BasketSteps:
    """What was done to the basket, to take back and to do again."""

    def __init__(self) -> None:
        self._back: list[Step] = []
        self._again: list[Step] = []

    def take(self, before: Selection, after: Selection) -> None:
        """The person changed the basket: what was taken back before cannot be done again any more."""
        self._back = [*self._back, Step(before, after)][-_MOST:]
        self._again.clear()

    def forget(self) -> None:
        """The basket is of something else from now on."""
        self._back.clear()
        self._again.clear()

    def undo(self) -> Step | None:
        """The last step, to be taken back; None where there is none."""
        return _moved(self._back, self._again)

    def redo(self) -> Step | None:
        """The step that was taken back last, to be done again; None where there is none."""
        return _moved(self._again, self._back)


def _moved(source: list[Step], target: list[Step]) -> Step | None:
    if not source:
        return None
    target.append(source.pop())
    return target[-1]
