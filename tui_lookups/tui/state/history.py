"""Back and forward: the places a person has been on the walk."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tui_lookups.ids import HeadId, NeuronId
    from tui_lookups.results import Token
    from tui_lookups.tui.state.layouts import PaneName

_MOST = 200


class Place(NamedTuple):
    """What was open, and the pane that had the focus."""

    token: Token | None
    neuron: NeuronId | None
    prompt_id: int | None = None
    head: HeadId | None = None
    pane: PaneName = "neurons"

    @property
    def subject(self) -> tuple[Token | None, NeuronId | None]:
        """What makes two places different ones: moving between prompts and heads is no step."""
        return self.token, self.neuron


class History:
    """Two stacks, like a browser's: going somewhere new forgets what lay ahead."""

    def __init__(self) -> None:
        self._past: list[Place] = []
        self._future: list[Place] = []
        self.begun = False
        """Whether the person went anywhere: only then is there something to save."""

    def leave(self, here: Place) -> None:
        """The person goes from `here` to something new."""
        self.begun = True
        self._future.clear()
        if here.token is not None or here.neuron is not None:
            self._past.append(here)
            del self._past[:-_MOST]

    def back(self, here: Place) -> Place | None:
        """The place before, None at the beginning."""
        return self._step(here, self._past, self._future)

    def forward(self, here: Place) -> Place | None:
        """The place that was gone back from, None at the end."""
        return self._step(here, self._future, self._past)

    @staticmethod
    def _step(here: Place, source: list[Place], other: list[Place]) -> Place | None:
        while source:
            place = source.pop()
            if place.subject != here.subject:
                other.append(here)
                return place
        return None
