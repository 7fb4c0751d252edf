"""What panes tell the walk screen: typed messages, posted to it directly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from tui_lookups.ids import HeadId, NeuronId
    from tui_lookups.results import Token
    from tui_lookups.tui.state.given_text import GivenText


class TokenChosen(Message):
    """A token was typed and chosen."""

    def __init__(self, token: Token) -> None:
        super().__init__()
        self.token = token


class _OfNeuron(Message):
    def __init__(self, neuron: NeuronId) -> None:
        super().__init__()
        self.neuron = neuron


class NeuronChosen(_OfNeuron):
    """Enter on a neuron of the list."""


class NeuronNamed(_OfNeuron):
    """A neuron was typed by its name."""


class NeuronMet(_OfNeuron):
    """Enter on an earlier neuron, which is opened on the text it was met on."""

    def __init__(self, neuron: NeuronId, text: GivenText) -> None:
        super().__init__(neuron)
        self.text = text


class NeuronsSifted(Message):
    """Other neurons are to be shown: the text filter changed, or what was given is no token."""


class FiltersEnded(Message):
    """The filters that leave no neuron are to go."""


class PromptMoved(Message):
    """The cursor stands on another prompt, or on another token of the same."""

    def __init__(self, prompt_id: int, *, other_prompt: bool) -> None:
        super().__init__()
        self.prompt_id = prompt_id
        self.other_prompt = other_prompt


class PromptChosen(Message):
    """Enter on a prompt."""

    def __init__(self, prompt_id: int) -> None:
        super().__init__()
        self.prompt_id = prompt_id


class _OfHead(Message):
    def __init__(self, head: HeadId) -> None:
        super().__init__()
        self.head = head


class HeadMoved(_OfHead):
    """The cursor stands on another head."""


class HeadChosen(_OfHead):
    """Enter on a head of the grid or the list."""


class HeadNamed(_OfHead):
    """A head was typed by its name."""


class SourceChosen(Message):
    """Enter on a token that a head reads, at a position of the attributed text."""

    def __init__(self, position: int) -> None:
        super().__init__()
        self.position = position


class ScreenWanted(Message):
    """A screen over the walk is wanted, by its name, with a text or a head that was typed."""

    def __init__(self, what: str, about: str | HeadId) -> None:
        super().__init__()
        self.what = what
        self.about = about


class LineLeft(Message):
    """A line over the panes was left with nothing chosen: the pane that had the keys has them again."""
