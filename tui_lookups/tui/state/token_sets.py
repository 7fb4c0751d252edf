"""A walk from several tokens as one: what is typed for them, and which of them a neuron is looked at for.

1. Two or more texts in double quotes are a set: `" because" " Because"`. Each has to be a token.
2. The set stands where a token stands: in the walk, its history and its session. Where one token is needed,
   as for what a neuron does at its peaks, it is the leading member of the neuron's row.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, get_args

from tui_lookups.errors import UnknownTokenError
from tui_lookups.results.base import AsOne, TokenSet
from tui_lookups.tui.state.candidates import Candidate, Candidates
from tui_lookups.visible import visible_token

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer
    from tui_lookups.results import NeuronScore, Token

_SET = re.compile(r'\s*"[^"]+"(?:\s*"[^"]+")+\s*')
_HOW = {"mean": "as one: mean", "any": "as one: any", "all": "as one: all"}


def members_typed(typed: str) -> tuple[str, ...]:
    """The texts of a set; none where what is typed is no set."""
    return tuple(re.findall(r'"([^"]+)"', typed)) if _SET.fullmatch(typed) else ()


def set_candidates(explorer: Explorer, typed: str, *, enter: str) -> Candidates:
    """Blocking: the ways in which several tokens may be read as one, or why they may not."""
    members: list[Token] = []
    for text in members_typed(typed):
        try:
            token = explorer.resolve_token(text).token
        except UnknownTokenError:  # "#" ids beyond the vocabulary
            token = None
        if token is None:
            return Candidates(typed, (), 0, f"{visible_token(text)} is not one token: a set is of tokens")
        members.append(token)
    first, *others = dict.fromkeys(members)
    sets = (TokenSet(first.id, first.text, tuple(others), as_one) for as_one in get_args(AsOne))
    rows = tuple(Candidate(one_way, None, _HOW[one_way.as_one]) for one_way in sets)
    return Candidates(typed, rows, len(rows), f"{1 + len(others)} tokens as one: choose how, then {enter}")


def members_of(token: Token | None) -> tuple[Token, ...]:
    """The members of a set, or the token alone."""
    return token.members if isinstance(token, TokenSet) else () if token is None else (token,)


def looked_for(token: Token | None, row: NeuronScore | None) -> Token | None:
    """The one token that a neuron is looked at for: of a set the leading member of its row."""
    if not isinstance(token, TokenSet):
        return token
    from tui_lookups.results import SetScore

    return row.leading if isinstance(row, SetScore) else token.members[0]


def token_name(token: Token) -> str:
    """A token as it is shown, of a set the first and how many others: "␣because +2"."""
    more = f" +{len(token.others)}" if isinstance(token, TokenSet) else ""
    return visible_token(token.text) + more


def as_typed(token: Token) -> str:
    """What is typed for it."""
    return " ".join(f'"{member.text}"' for member in members_of(token))


def about_leading(token: Token | None, row: NeuronScore | None) -> str:
    """Which member of a set leads in a neuron's row; empty where the walk is from one token."""
    if not isinstance(token, TokenSet) or row is None:
        return ""
    from tui_lookups.results import SetScore

    assert isinstance(row, SetScore)
    ranks = ", ".join(f"{visible_token(member.token.text)} {member.token_rank:,}" for member in row.members)
    return f"{token.as_one}: {visible_token(row.leading.text)} leads; ranks {ranks}"
