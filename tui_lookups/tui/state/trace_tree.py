"""A trace as a person opens it: the nodes that are known, which are open, and the rows of the tree.

See method.md, section 9.

1. Each answer is a node and what is below it. What was opened stays known, also where it is closed again.
2. The parts of a node are those told apart in the answer that told most of them, and those that were asked
   for by name: these are taken out of its rest.
3. A row is a node, or the rest of the open node above it. Below an open node stand its parts, largest first,
   and its rest: they sum to it, but for the rounding that is left.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from tui_lookups.results.trace import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tui_lookups.results import Trace, TraceNode, TraceRest


@dataclass(frozen=True, slots=True)
class TraceRow:
    """A node at its level below the root; or, where `rest` is given, what else its node is the sum of.

    `parent` is None of the root; `is_open`: its parts stand below it.
    """

    node: TraceNode
    level: int
    parent: TraceNode | None = None
    rest: TraceRest | None = None
    is_open: bool = False

    @property
    def contribution(self) -> float:
        return self.node.contribution if self.rest is None else self.rest.contribution

    @property
    def above(self) -> TraceNode | None:
        """The node that it is a part of."""
        return self.parent if self.rest is None else self.node


@dataclass(frozen=True, slots=True)
class Shown:
    """What the root is the sum of as far as it is open: nodes that are not, rests, and rounding."""

    leaves: float
    rests: float
    remainder: float


@dataclass(frozen=True)
class TraceTree:
    """What is known of a trace. Never changed: each step gives another tree.

    Attributes:
        first: the answer that the root came with; root, tokens, place and provenance are its.
        known: nodes by name. told: of an opened node the names of the parts that its rest leaves out.
        closed: opened nodes whose parts are not on screen.
    """

    first: Trace
    known: Mapping[str, TraceNode]
    told: Mapping[str, frozenset[str]]
    closed: frozenset[str] = frozenset()

    @classmethod
    def of(cls, answer: Trace) -> TraceTree:
        """A tree that is open as far as the answer goes."""
        return cls(answer, {}, {}).grown(answer)

    def grown(self, answer: Trace) -> TraceTree:
        """The tree with another answer: its nodes are open, unless more of their parts were told before."""
        known, told = dict(self.known), dict(self.told)
        of_answer: defaultdict[str, set[str]] = defaultdict(set)
        for node in answer.nodes:
            if node.parent is not None:
                of_answer[node.parent].add(node.id)
        for node in answer.nodes:
            parts = frozenset(of_answer[node.id])
            if node.id not in known or (node.opened and len(parts) >= len(told.get(node.id, ()))):
                known[node.id] = node
                if node.opened:
                    told[node.id] = parts
        shown = {node.id for node in answer.nodes if node.opened}
        return replace(self, known=known, told=told, closed=self.closed - shown)

    @cached_property
    def _parts(self) -> dict[str, tuple[TraceNode, ...]]:
        children: defaultdict[str, list[TraceNode]] = defaultdict(list)
        for node in self.known.values():
            if node.parent is not None:
                children[node.parent].append(node)
        return {
            name: tuple(sorted(parts, key=lambda part: -abs(part.contribution)))
            for name, parts in children.items()
        }

    def parts(self, name: str) -> tuple[TraceNode, ...]:
        """The parts of a node that are told apart, largest first."""
        return self._parts.get(name, ())

    def rest(self, node: TraceNode) -> TraceRest | None:
        """What is not told apart of a node; None where it is not opened."""
        if node.rest is None:
            return None
        named = [part.contribution for part in self.parts(node.id) if part.id not in self.told[node.id]]
        if not named:
            return node.rest
        left = node.rest.contribution - math.fsum(named)
        return replace(node.rest, contribution=left, parts=node.rest.parts - len(named))

    def is_open(self, name: str) -> bool:
        """Whether the parts of a node are on screen where it is itself."""
        return name in self.told and name not in self.closed

    def opened(self, name: str) -> TraceTree:
        """With the parts of a node, and those of every node above it, on screen."""
        steps = name.split("/")
        above = {"/".join(steps[:end]) for end in range(1, len(steps) + 1)}
        return replace(self, closed=self.closed - above)

    def shut(self, name: str) -> TraceTree:
        """Without the parts of a node on screen."""
        return replace(self, closed=self.closed | {name})

    @cached_property
    def rows(self) -> tuple[TraceRow, ...]:
        """What is on screen, from the root down."""
        return tuple(self._rows(self.known[ROOT], None, 0))

    def _rows(self, node: TraceNode, parent: TraceNode | None, level: int) -> Iterator[TraceRow]:
        is_open = self.is_open(node.id)
        yield TraceRow(node, level, parent, is_open=is_open)
        if not is_open:
            return
        for part in self.parts(node.id):
            yield from self._rows(part, node, level + 1)
        rest = self.rest(node)
        if rest is not None and rest.parts:
            yield TraceRow(node, level + 1, parent, rest)

    def by_position(self, row: TraceRow) -> dict[int, float]:
        """What is on screen below a row, summed by its place in the text; a rest stands at no one place."""
        sums: defaultdict[int, list[float]] = defaultdict(list)
        if row.rest is None:
            for leaf in self._rows(row.node, row.parent, row.level):
                if leaf.rest is None and not leaf.is_open:
                    sums[leaf.node.position].append(leaf.contribution)
        return {position: math.fsum(parts) for position, parts in sums.items()}

    @property
    def shown(self) -> Shown:
        """What the root is the sum of on screen (step 3)."""
        leaves = math.fsum(row.contribution for row in self.rows if row.rest is None and not row.is_open)
        rests = math.fsum(row.contribution for row in self.rows if row.rest is not None)
        return Shown(leaves, rests, self.known[ROOT].contribution - leaves - rests)

    @property
    def depth(self) -> int:
        """Levels that are open below the root."""
        return max((row.level + 1 for row in self.rows if row.is_open), default=1)

    @property
    def width(self) -> int:
        """The most parts that are told apart of a node on screen."""
        return max((len(self.parts(row.node.id)) for row in self.rows if row.is_open), default=1)
