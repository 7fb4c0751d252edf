"""The token and neuron to open with, where nobody has said what to look at."""

from __future__ import annotations

from collections.abc import Sequence

from tui_lookups.analysis.congruence import rank_tokens
from tui_lookups.errors import LookupsError, Poll
from tui_lookups.model.file_weights import Writes
from tui_lookups.results import FirstView, NeuronScore, Token
from tui_lookups.visible import visible_token

FIRST_WORDS = (
    " because", " instead", " such", " each", " same", " time", " right", " other", " better", " rather",
    " first", " only", " hand", " door", " night", " himself", " herself", " enough", " together", " again",
)  # fmt: skip
"""Words the first view chooses from: frequent, and decided by the context before them."""


def first_view(model: Writes, layers: Sequence[int], poll: Poll) -> FirstView:
    """The token and neuron to open with, by a rule.

    Of `FIRST_WORDS` that are one token, the word and neuron with the largest cosine such that the word is
    the neuron's top token; where there is none, the largest cosine of all. A vocabulary with none of the
    words is searched from its first tokens that are a space and letters.
    """
    matches = [model.vocabulary.match(word).token for word in FIRST_WORDS]
    tokens = [token for token in matches if token is not None] or _spaced_words(model)
    best: tuple[bool, float, Token, NeuronScore] | None = None
    ranked = rank_tokens(model, [token.id for token in tokens], top=8, layers=layers, poll=poll)
    for token, rows in zip(tokens, ranked, strict=True):
        for row in rows:
            candidate = (row.top_token.id == token.id, row.cosine, token, row)
            if best is None or candidate[:2] > best[:2]:
                best = candidate
    if best is None:
        raise LookupsError("The vocabulary has no word to open with.", "Type a token.")
    own, _, token, row = best
    more = "more than towards any other token" if own else f"(rank {row.token_rank} of its tokens)"
    writes = f"{row.neuron} writes towards “{visible_token(token.text)}” {more}"
    story = f"{writes}. Which text fires it, and which heads?"
    return FirstView(token, row.neuron, story)


def _spaced_words(model: Writes, limit: int = 20) -> list[Token]:
    tokens = [
        Token(i, text)
        for i, text in enumerate(model.vocabulary.texts)
        if text.startswith(" ") and text[1:].isalpha() and len(text) > 3
    ]
    return tokens[:limit] or [model.vocabulary.token(0)]
