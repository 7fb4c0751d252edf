"""Where a token is asked about: a position of a text, or of a prompt of the corpus."""

from __future__ import annotations

from tui_lookups.answering.checks import check_folded, check_prompt_id, check_text
from tui_lookups.answering.engine import Engine
from tui_lookups.errors import LookupsError
from tui_lookups.ids import check_position
from tui_lookups.results import Token


def place_in_text(
    engine: Engine, text: str | None, prompt_id: int | None, position: int | None
) -> tuple[list[int], int]:
    """Token ids of what is asked about, and the position, the last one where none is named.

    Raises LookupsError for no such prompt or position, or a text of no token or of too many.
    """
    check_folded(engine.basis)
    row = row_of(engine, "Why a token is asked", text, prompt_id)
    at = len(row) - 1 if position is None else position
    check_position(at, len(row))
    return row, at


def row_of(engine: Engine, asked: str, text: str | None, prompt_id: int | None) -> list[int]:
    """Token ids of a text, or of a prompt of the corpus; `asked` is what, for who names both or none.

    Raises LookupsError for no such prompt, or a text of no token or of too many.
    """
    if (text is None) == (prompt_id is None):
        raise LookupsError(f"{asked} of a text or of a prompt.", "Give one of the two.")
    if prompt_id is None:
        return encoded(engine, text or "")
    corpus = engine.corpus(arrays=True)
    check_prompt_id(prompt_id, corpus.info.prompts)
    row: list[int] = corpus.window_tokens(prompt_id).tolist()
    return row


def encoded(engine: Engine, text: str) -> list[int]:
    """Token ids of a text, begin-of-text in front. Raises LookupsError for no token, or too many."""
    vocabulary, info = engine.vocabulary(), engine.model_info()
    row = vocabulary.encode_prompt(text)
    check_text(row, vocabulary.bos_id, info)
    info.check_token(vocabulary.token(max(row)))
    return row


def named_token(engine: Engine, asked: str | int | None) -> Token | None:
    """A token by its text or id, one that the model has a logit for; None where none is named."""
    if asked is None:
        return None
    token = engine.vocabulary().resolve(asked)
    engine.model_info().check_token(token)
    return token
