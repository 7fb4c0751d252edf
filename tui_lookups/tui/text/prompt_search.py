"""Finding text in prompts. Pure.

1. A prompt's tokens, case-folded and put together, are searched; a match may begin and end inside tokens.
2. Each match is the tokens it touches: the first of them is where the cursor goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tui_lookups.results.matches import spans_of

if TYPE_CHECKING:
    from tui_lookups.results import Prompt


@dataclass(frozen=True, slots=True)
class Match:
    """Tokens `first` to `last` of prompt number `index` of the list hold the text."""

    index: int
    first: int
    last: int


class Found(NamedTuple):
    """What was searched for and where it is, in the order of the list."""

    needle: str = ""
    matches: tuple[Match, ...] = ()

    @property
    def prompts(self) -> int:
        """Prompts with a match."""
        return len({match.index for match in self.matches})

    def tokens(self, index: int) -> frozenset[int]:
        """The positions of prompt `index` that belong to a match."""
        mine = (match for match in self.matches if match.index == index)
        return frozenset(position for match in mine for position in range(match.first, match.last + 1))

    def step(self, index: int, position: int, by: int) -> Match | None:
        """The match after (`by` = 1) or before (-1) a place, round the end; None where there is none."""
        if not self.matches:
            return None
        if by > 0:
            later = (m for m in self.matches if (m.index, m.first) > (index, position))
            return next(later, self.matches[0])
        earlier = (m for m in reversed(self.matches) if (m.index, m.first) < (index, position))
        return next(earlier, self.matches[-1])

    def words(self, total: int) -> str:
        """What of a list of `total` prompts is searched, or how often it has the text."""
        these = "this prompt" if total == 1 else f"these {total:,} prompts"
        if not self.needle:
            return f"searching {these}"
        if not self.matches:
            return f"not in {these}"
        times = "once" if len(self.matches) == 1 else f"{len(self.matches):,} times"
        return f"{times} in {these}" if total == 1 else f"{times} in {self.prompts:,} of {these}"


def find_text(prompts: Sequence[Prompt], needle: str) -> Found:
    """Every place of `needle`, whichever its case; none for an empty one."""
    wanted = needle.casefold()
    matches = tuple(
        Match(index, first, last)
        for index, prompt in enumerate(prompts if wanted else ())
        for first, last in spans_of(wanted, [token.text.casefold() for token in prompt.tokens])
    )
    return Found(needle, matches)
