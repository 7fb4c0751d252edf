"""What a typed text may mean: tokens of the vocabulary, a neuron or a head.

1. The name of a neuron ("9.1985", "L9.N1985") is offered as a neuron, that of a head ("L7.H4", "7.h4")
   as what the head serves, then as the head behind the open neuron; numbers alone name a neuron.
2. "#123" is the token of that id; text in double quotes is taken exactly as it stands.
3. Other text is looked up as typed and with a space before it, for those are different tokens; a
   space-led one comes first, for most words of a text are.
4. Completions follow; where nothing matches, similar tokens, then the pieces the text falls into. Several
   words are a text: other screens are about these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tui_lookups.errors import BadIdError, UnknownTokenError
from tui_lookups.ids import HeadId

if TYPE_CHECKING:
    from tui_lookups.explorer import Explorer
    from tui_lookups.ids import NeuronId
    from tui_lookups.results import Token, TokenMatch

WITH_SPACE = "with a space"


class Candidate(NamedTuple):
    """One row under the token box: a token, a neuron or a head, and why it is offered.

    `serves`: what the head serves, not the head behind the open neuron.
    """

    token: Token | None
    neuron: NeuronId | None
    why: str
    head: HeadId | None = None
    serves: bool = False


class Candidates(NamedTuple):
    """Rows for a typed text; the first `exact` of them are what was typed. `note` says what to do."""

    text: str
    rows: tuple[Candidate, ...]
    exact: int
    note: str


def spellings(typed: str) -> tuple[str, ...]:
    """The texts to look up for what was typed, most likely first."""
    if len(typed) >= 2 and typed.startswith('"') and typed.endswith('"'):
        return (typed[1:-1],)
    if typed.startswith((" ", "#")):
        return (typed,)
    return (" " + typed, typed)


def find_token(explorer: Explorer, typed: str) -> Token | None:
    """Blocking: the token a typed text most likely means; None where it is not one."""
    for text in spellings(typed):
        if text and (token := explorer.resolve_token(text).token) is not None:
            return token
    return None


def is_passage(typed: str) -> bool:
    """Whether a text, in quotes or not, is more than a token can be: several words."""
    return len(typed.strip('"').split()) > 1


def find_candidates(
    explorer: Explorer, typed: str, limit: int = 20, *, enter: str, doors: str = ""
) -> Candidates:
    """Blocking: look `typed` up in the vocabulary.

    Args:
        enter: the key that opens what is found.
        doors: the keys that take several words to where texts are asked about.
    """
    named = _named(typed, explorer.settings.neuron_id)
    texts = tuple(text for text in spellings(typed) if text)
    matches: list[TokenMatch] = []
    problem: UnknownTokenError | None = None
    for text in texts:
        try:
            matches.append(explorer.resolve_token(text))
        except UnknownTokenError as error:  # "#" ids beyond the vocabulary have no close names
            problem = error
    completions: list[Token] = []
    for text in texts:
        if not text.startswith("#"):
            completions.extend(explorer.complete_token(text, limit))
    return arrange(typed, named, tuple(matches), tuple(completions), problem, enter=enter, doors=doors)


def arrange(
    typed: str,
    named: tuple[Candidate, ...],
    matches: tuple[TokenMatch, ...],
    completions: tuple[Token, ...],
    problem: UnknownTokenError | None = None,
    *,
    enter: str,
    doors: str,
) -> Candidates:
    """Order what was found, the neuron or head of that name first; each token once."""
    rows: list[Candidate] = []
    seen: set[int] = set()

    def offer(token: Token, why: str) -> None:
        if token.id not in seen:
            seen.add(token.id)
            rows.append(Candidate(token, None, why))

    rows.extend(named[:1])
    for match in matches:
        if match.token is not None:
            offer(match.token, WITH_SPACE if match.token.text.startswith(" ") else "as typed")
    exact = len(rows)
    rows.extend(named[1:])
    for token in completions:
        offer(token, "starts with it")
    if exact:
        note = (
            f"{enter} opens the marked row" if exact == 1 else f"both exist and differ: choose, then {enter}"
        )
        return Candidates(typed, tuple(rows), exact, note)
    for match in matches:
        for token in match.close:
            offer(token, "similar")
    similar = bool(rows)
    as_typed = next((m for m in reversed(matches) if len(m.pieces) > 1), None)
    pieces = () if as_typed is None else as_typed.pieces
    for token in pieces:
        offer(token, "a piece of it")
    if doors and is_passage(typed):
        note = f"a text: {doors}" + ("; or its pieces:" if rows else "")
    elif pieces:
        count = f"{len(pieces)} pieces"
        note = (
            f"no such token; similar ones, then its {count}:"
            if similar
            else f"not one token but {count}: choose one"
        )
    elif rows:
        note = "no such token; similar ones:"
    else:
        note = str(problem) if problem is not None else "no such token"
    return Candidates(typed, tuple(rows), 0, note)


def _named(typed: str, neuron_id: type[NeuronId]) -> tuple[Candidate, ...]:
    """The neuron or head of that name, the likelier meaning first; none for most texts."""
    try:
        if "h" in typed.casefold():
            head = HeadId.parse(typed)
            serves = Candidate(None, None, "what it serves", head, serves=True)
            return serves, Candidate(None, None, "behind neuron", head)
        return (Candidate(None, neuron_id.parse(typed), neuron_id.kind),)
    except BadIdError:
        return ()  # which is no error here
