"""A trace: a token's logit, or what a neuron reads, opened again and again (method.md, section 9).

1. The root is opened into its parts; the `width` largest become nodes, what is left one rest.
2. So is every node that has parts, level by level to a depth; all of a level are opened together.
3. What a node contributed is the sum of its parts and its rest, so the leaves and the rests of any trace sum
   to the root.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tui_lookups.analysis.openings import Opening, Part, open_head, open_readings, require_sum
from tui_lookups.analysis.readings import Component, HeadReading, Reading, below
from tui_lookups.errors import LookupsError, Poll
from tui_lookups.ids import HeadId, NeuronId
from tui_lookups.model.text_pass import TextPass

MOST_NODES = 20_000
"""Of one trace."""

_TOGETHER = 64
"""Nodes opened at once: it bounds the memory beyond what is kept of a pass."""

Path = tuple[Component, ...]
"""The components from the root down to a node."""


@dataclass(frozen=True, slots=True)
class Node:
    """A component at its place in a trace; `opening` is None where it was not opened.

    The root has no part, and an empty path.
    """

    path: Path
    part: Part | None
    opening: Opening | None = None


def has_parts(component: Component) -> bool:
    """Whether a component can be opened."""
    return isinstance(component, HeadId | NeuronId | int)


def follow(text: TextPass, root: Reading, path: Path) -> Reading | HeadReading:
    """What reads the parts of the component at a path. Raises ValueError where no component can be there."""
    reading: Reading | HeadReading = root
    for component in path:
        (reading,) = below(text, [(reading, component)])
    return reading


def grow(
    text: TextPass, root: Reading, path: Path, *, depth: int, width: int | None, poll: Poll
) -> list[Node]:
    """The node at a path and what is below it, every node after the one that it is a part of.

    Args:
        depth: levels below the node: 1 opens the node alone.
        width: parts told apart of each node, largest first; None tells all of them apart.
    Raises:
        LookupsError: more than `MOST_NODES` nodes.
        UnsupportedModelError: the parts of a node do not sum to it.
    """
    reading = follow(text, root, path)
    own = _part(text, root, path, reading) if path else None
    level: list[tuple[Path, Part | None, Reading | HeadReading]] = [(path, own, reading)]
    nodes: list[Node] = []
    for deep in range(depth):
        openings = _open(text, [reading for _, _, reading in level], width, poll)
        to_open: list[tuple[Path, Part, Reading | HeadReading]] = []
        for (parent, part, reading), opening in zip(level, openings, strict=True):
            require_sum(text, reading.value, opening, " in ".join(map(str, parent[::-1])) or "the root")
            nodes.append(Node(parent, part, opening))
            for child in opening.parts:
                below_it = (*parent, child.component)
                if has_parts(child.component) and deep + 1 < depth:
                    to_open.append((below_it, child, reading))
                else:
                    nodes.append(Node(below_it, child))
        if len(nodes) + len(to_open) > MOST_NODES:
            raise LookupsError(
                f"A trace of depth {depth} has more than {MOST_NODES:,} nodes here.",
                "Ask for a smaller depth or width, and open further nodes one by one.",
            )
        poll()
        readings = below(text, [(above, child.component) for _, child, above in to_open])
        level = [
            (parent, part, reading) for (parent, part, _), reading in zip(to_open, readings, strict=True)
        ]
    return nodes


def _part(text: TextPass, root: Reading, path: Path, reading: Reading | HeadReading) -> Part:
    """The component at the end of a path, as a part of what is above it."""
    component, position = path[-1], reading.position
    part = Part(component, position, reading.value)
    if isinstance(component, NeuronId):
        fired = text.neurons(component.layer, [position])[0].a[component.index]
        return replace(part, activation=float(fired))
    above = follow(text, root, path[:-1])
    if isinstance(above, HeadReading):
        pattern = text.pattern(above.head.layer)[above.head.index]
        return replace(part, weight=float(pattern[above.position, position]))
    return part


def _open(
    text: TextPass, readings: Sequence[Reading | HeadReading], width: int | None, poll: Poll
) -> list[Opening]:
    """The parts of each, streams read together `_TOGETHER` at a time."""
    opened: dict[int, Opening] = {}
    streams = [(number, reading) for number, reading in enumerate(readings) if isinstance(reading, Reading)]
    for start in range(0, len(streams), _TOGETHER):
        some = streams[start : start + _TOGETHER]
        openings = open_readings(text, [reading for _, reading in some], width, poll)
        opened.update({number: opening for (number, _), opening in zip(some, openings, strict=True)})
    for number, reading in enumerate(readings):
        if isinstance(reading, HeadReading):
            poll()
            opened[number] = open_head(text, reading, width)
    return [opened[number] for number in range(len(readings))]
