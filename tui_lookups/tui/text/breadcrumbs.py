"""The line that says where the person is: token, neuron, prompt, head, as far as there is room. Pure.

A click on a part goes to the pane that shows what is below it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from tui_lookups.results.base import TokenSet
from tui_lookups.tui.state.token_sets import token_name
from tui_lookups.visible import visible_token

if TYPE_CHECKING:
    from tui_lookups.tui.state.walk import Walk

_STRONG = Style(bold=True, underline=True)
_BOLD = Style(bold=True)
_DIM = Style(dim=True)


def _leads(action: str) -> Style:
    """What a click on a part does; paints nothing."""
    return Style(meta={"@click": f"screen.{action}"})


def breadcrumbs(walk: Walk, more: tuple[Segment, ...], width: int, key: str) -> tuple[Segment, ...]:
    """The path in at most `width` cells, with `more` behind it; the path gives way from its end.

    `key` is the one that begins a path.
    """
    if walk.token is None and walk.given_token is not None:
        first = [
            Segment(visible_token(walk.given_token), _STRONG),
            Segment(": waiting for the weights", _DIM),
        ]
    elif walk.token is None:
        first = [Segment(f"{key}: type a token", _DIM + _leads("type_token"))]
    else:
        to_neurons = _leads("pane(0)")
        what = walk.token.as_one if isinstance(walk.token, TokenSet) else f"#{walk.token.id}"
        first = [
            Segment(token_name(walk.token), _STRONG + to_neurons),
            Segment(f"  {what}", _DIM + to_neurons),
        ]
    steps: list[str] = []
    if walk.neuron is not None and not walk.opening_best:
        steps.append(str(walk.neuron))
        if walk.prompt is not None:
            steps.append(f"prompt {walk.prompt.rank}" if walk.prompt.rank else "text")
            if walk.heads is not None and walk.head is not None:
                steps.append(str(walk.head))
    room = width - sum(cell_len(segment.text) for segment in (*first, *more))
    path: list[Segment] = []
    # A neuron that was opened by name did not come from the token: it stands beside it.
    related = walk.token is not None and (walk.ranking is None or walk.ranked is not None)
    for number, step in enumerate(steps, 1):
        room -= len(step) + 3
        if room < 0:
            break
        path += [
            Segment(" › " if path or related else " · ", _DIM),
            Segment(step, _BOLD + _leads(f"pane({number})")),
        ]
    return (*first, *path, *more)
