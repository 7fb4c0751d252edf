"""Back and forward: the places a person has been on the walk."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tui_lookups.ids import HeadId, NeuronId
    from tui_lookups.results import Token
    from tui_lookups.tui.state.given_text import GivenText
    from tui_lookups.tui.state.layouts import PaneName
    from tui_lookups.tui.state.left_screens import LeftScreen

_MOST = 200


class Place(NamedTuple):
    """What was open, and the pane that had the focus.

    Attributes:
        text: the text that was given, where the neuron was on one.
        position: of the token cursor in the prompt; None is its peak.
        over: the screen over it through which the person went on, as it was left; they came out in the pane
            `led_to`, and escape there leads back.
    """

    token: Token | None
    neuron: NeuronId | None
    prompt_id: int | None = None
    head: HeadId | None = None
    pane: PaneName = "neurons"
    text: GivenText | None = None
    position: int | None = None
    over: LeftScreen | None = None
    led_to: PaneName = "prompts"

    @property
    def subject(self) -> tuple[Token | None, NeuronId | None, GivenText | None]:
        """What makes two places different ones: moving between prompts and heads is no step."""
        return self.token, self.neuron, self.text


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
        if here.token is not None or here.neuron is not None or here.over is not None:
            self._past.append(here)
            del self._past[:-_MOST]

    @property
    def before(self) -> Place | None:
        """The place that the person came from."""
        return self._past[-1] if self._past else None

    @property
    def after(self) -> Place | None:
        """The place that was gone back from."""
        return self._future[-1] if self._future else None

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
            if place.over is not None or place.subject != here.subject:
                other.append(here)
                return place
        return None
